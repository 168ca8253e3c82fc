//! What becomes of what policies decide: other services, second sendings, gates, bodies, and what operators force. The
//! policy is the guest `scripted`, which does what its settings say.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::plugins::guest;
use sluice_tests::until;
use sluice_tests::upstream::{Behaviour, Upstream};

/// A service whose host is its name, and a policy of the same name on it.
struct Case<'a> {
    name: &'a str,
    upstream: &'a Upstream,
    config: &'a str,
}

async fn start(cases: &[Case<'_>], more: &[Service], settings: &str) -> Gateway {
    let service = |case: &Case<'_>| {
        let rule = format!("traefik.http.routers.{0}.rule=Host(`{0}.test`)", case.name);
        Service::new(case.name, &[&rule]).at(case.upstream)
    };
    let services: Vec<_> = cases.iter().map(service).chain(more.iter().cloned()).collect();
    let mut setup = Setup::with_services(&services).with_plugin_directory().with_plugin("scripted", &guest("scripted"));
    for Case { name, config, .. } in cases {
        setup = setup.config(&format!(
            "[[policies]]\nname = \"{name}\"\nplugin = \"scripted\"\nattach = [\"service:{name}\"]\nconfig = {config}"
        ));
    }
    setup.config(settings).start().await
}

fn plain(name: &str, upstream: &Upstream) -> Service {
    Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")]).at(upstream)
}

/// What the policy published last, once it says so many exchanges were seen.
async fn outcome(gateway: &Gateway, name: &str, seen: u64) -> Value {
    let path = format!("/api/policies/{name}");
    until(&format!("{name} has seen {seen}"), async || gateway.api(&path).await["status"]["seen"] == seen).await;
    gateway.api(&path).await["status"].clone()
}

#[tokio::test]
pub(crate) async fn exchanges_go_to_other_services() {
    let (main, broken, spare) =
        (Upstream::echo().await, Upstream::start(Behaviour::Status(503)).await, Upstream::echo().await);
    let cases = [
        Case { name: "before", upstream: &main, config: "{ request = { reroute = { service = \"spare\" } } }" },
        Case {
            name: "after",
            upstream: &broken,
            config: "{ response = [500, { reroute = { service = \"spare@file\", path = \"/page?a=b\", status = 502 } }] }",
        },
        Case { name: "kept", upstream: &broken, config: "{ response = [500, { reroute = { service = \"spare\" } }] }" },
        Case { name: "lost", upstream: &main, config: "{ request = { reroute = { service = \"nowhere\" } } }" },
    ];
    let gateway = start(&cases, &[plain("spare", &spare)], "").await;

    let answer = gateway.send(Request::new("POST", "before.test", "/cart?x=1").body(b"all of it")).await;
    assert_eq!((answer.status(), answer.head.get("x-rerouted")), (200, Some("yes")));
    assert_eq!((&answer.json()["uri"], &answer.json()["body"]), (&json!("/cart?x=1"), &json!("all of it")));
    assert_eq!(main.received().len(), 0);
    assert_eq!(outcome(&gateway, "before", 1).await["rerouted"], true);

    let answer = gateway.send(Request::new("POST", "after.test", "/cart").body(b"gone")).await;
    assert_eq!((answer.status(), answer.head.get("x-rerouted")), (502, Some("yes")));
    assert_eq!((&answer.json()["uri"], &answer.json()["body"]), (&json!("/page?a=b"), &json!("")));
    let told = outcome(&gateway, "after", 1).await;
    assert_eq!((&told["rerouted"], &told["status"], &told["upstreamStatus"]), (&json!(true), &json!(502), &json!(503)));
    assert_eq!(told["requestBytes"], 4);

    let answer = gateway.get("kept.test", "/").await;
    assert_eq!(answer.status(), 503, "the discarded answer's status stays");
    assert_eq!(answer.json()["method"], "GET");
    let last = spare.received().pop().expect("a request");
    assert_eq!(last.head.all("x-forwarded-for").len(), 1, "the head is finished once for each sending");

    assert_eq!(gateway.get("lost.test", "/").await.status(), 503, "as if the policy had failed");
}

#[tokio::test]
async fn requests_are_sent_again_to_other_instances() {
    let (bad, good) = (Upstream::start(Behaviour::Status(500)).await, Upstream::echo().await);
    let cases = [Case { name: "shop", upstream: &bad, config: "{ response = [500, \"retry\"] }" }];
    let pair = plain("pair", &bad).at(&good);
    let policy = "[[policies]]\nname = \"pair\"\nplugin = \"scripted\"\nattach = [\"service:pair\"]\n\
                  config = { response = [500, \"retry\"] }";
    let gateway = start(&cases, &[pair], policy).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 500);
    assert_eq!(bad.received().len(), 10, "at most ten times");

    for _ in 0..4 {
        assert_eq!(gateway.get("pair.test", "/").await.status(), 200);
    }
    let before = good.received().len();
    let answer = gateway.send(Request::new("POST", "pair.test", "/").body(b"once")).await;
    assert!([200, 500].contains(&answer.status()));
    assert!(good.received().len() <= before + 1, "a body that is gone is not sent again");
}

#[tokio::test]
async fn bodies_that_were_read_to_their_end_are_sent_again() {
    let (bad, good) = (Upstream::start(Behaviour::Status(500)).await, Upstream::echo().await);
    let pair = |name: &str| plain(name, &bad).at(&good);
    let buffered = pair("buffered")
        .tag("traefik.http.routers.buffered.middlewares=buffered")
        .tag("traefik.http.middlewares.buffered.buffering.maxRequestBodyBytes=1000");
    let policy = |name: &str, config: &str| {
        format!(
            "[[policies]]\nname = \"{name}\"\nplugin = \"scripted\"\nattach = [\"service:{name}\"]\nconfig = {config}"
        )
    };
    let kept = policy("kept", "{ request-body = 100, response = [500, \"retry\"] }");
    let other = "{ request-body = 100, response = [500, { reroute = { service = \"spare\" } }] }";
    let more = [kept, policy("buffered", "{ response = [500, \"retry\"] }"), policy("other", other)].join("\n");
    let services = [pair("kept"), buffered, plain("other", &bad), plain("spare", &good)];
    let gateway = start(&[], &services, &more).await;
    let send = async |host: &str, body: &[u8]| gateway.send(Request::new("POST", host, "/").body(body)).await;
    for _ in 0..4 {
        let answer = send("kept.test", b"quietly").await;
        assert_eq!((answer.status(), &answer.json()["body"]), (200, &json!("QUIETLY")), "as the policies made it");
        let answer = send("buffered.test", b"all of it").await;
        assert_eq!((answer.status(), &answer.json()["body"]), (200, &json!("all of it")));
    }
    let failed = bad.received();
    assert!(failed.iter().any(|request| request.body == b"QUIETLY"), "the first sending had it, too");
    let answer = send("other.test", b"there").await;
    assert_eq!((answer.status(), &answer.json()["body"]), (500, &json!("THERE")), "it goes to other services as well");
}

#[tokio::test]
async fn gates_are_left_however_an_exchange_ends() {
    let slow = Upstream::start(Behaviour::Slow(Duration::from_secs(30))).await;
    let gateway = start(&[Case { name: "shop", upstream: &slow, config: "{ in-flight = 1 }" }], &[], "").await;
    let in_flight = async || gateway.api("/api/policies/shop").await["gates"][0]["inFlight"].clone();
    let mut wire = sluice_tests::wire::Wire::connect(gateway.web()).await.expect("connect");
    wire.write(Request::get("shop.test", "/").bytes()).await.expect("send");
    until("one is inside", async || in_flight().await == 1).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 429);
    drop(wire);
    until("the client that went away is out", async || in_flight().await == 0).await;
}

#[tokio::test]
async fn outcomes_fields_and_what_is_forced() {
    let (echo, closing) = (Upstream::echo().await, Upstream::start(Behaviour::Close).await);
    let cases = [
        Case { name: "shop", upstream: &echo, config: "{ request = { respond = 418 } }" },
        Case { name: "plain", upstream: &echo, config: "{}" },
        Case { name: "gone", upstream: &closing, config: "{}" },
    ];
    let gateway = start(&cases, &[], "").await;

    let secrets =
        Request::get("plain.test", "/?q=a%20b").header("Authorization", "Basic x").header("Cookie", "session=1");
    let answer = gateway.send(secrets.clone()).await;
    assert_eq!(answer.head.get("x-fields"), Some("- - a b 32"), "nothing is granted");
    let told = outcome(&gateway, "plain", 1).await;
    assert_eq!(told["instance"], echo.address().to_string());
    assert_eq!((&told["upstreamStatus"], &told["failure"]), (&json!(200), &Value::Null));
    assert_eq!(told["responseBytes"], answer.body.len());

    assert_eq!(gateway.get("gone.test", "/").await.status(), 502);
    let told = outcome(&gateway, "gone", 1).await;
    assert_eq!((&told["upstreamStatus"], &told["errors"]), (&Value::Null, &json!(1)));
    assert!(told["failure"].as_str().is_some_and(|failure| failure.ends_with("Connect")), "{told}");

    assert_eq!(gateway.get("shop.test", "/").await.status(), 418);
    let force = async |word: &str| {
        Request::new("POST", "admin", "/api/policies/shop/force")
            .header("Content-Type", "application/json")
            .body(word.as_bytes())
            .send(gateway.admin())
            .await
    };
    let forced = force("disabled").await;
    assert_eq!((forced.status(), &forced.json()["forced"]), (200, &json!("disabled")));
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    assert_eq!(force("ajar").await.status(), 400);
    assert_eq!(force("none").await.json()["forced"], Value::Null);
    assert_eq!(gateway.get("shop.test", "/").await.status(), 418);
}

#[tokio::test]
async fn what_is_granted_is_seen_and_a_wrong_grant_is_named() {
    let echo = Upstream::echo().await;
    let granted = "[plugins.settings.scripted]\ngrants = [\"headers:authorization\", \"headers:cookie\"]";
    let gateway = start(&[Case { name: "plain", upstream: &echo, config: "{}" }], &[], granted).await;
    let secrets = Request::get("plain.test", "/").header("Authorization", "Basic x").header("Cookie", "a=0; session=1");
    assert_eq!(gateway.send(secrets).await.head.get("x-fields"), Some("Basic x 1 - 32"));

    let wrong = "[plugins.settings.scripted]\ngrants = [\"files\"]";
    let gateway = start(&[Case { name: "plain", upstream: &echo, config: "{}" }], &[], wrong).await;
    let plugin = gateway.api("/api/plugins/scripted").await;
    let error = plugin["lastError"].as_str().expect("an error");
    assert!(error.starts_with("its `grants`: `files` is not a grant"), "{error}");
}

#[tokio::test]
async fn bodies_are_shown_and_replaced() {
    let echo = Upstream::echo().await;
    let cases = [
        Case { name: "ask", upstream: &echo, config: "{ request-body = 16 }" },
        Case { name: "told", upstream: &echo, config: "{ response-body = 65536 }" },
        Case { name: "short", upstream: &echo, config: "{ response-body = 16 }" },
    ];
    let gateway = start(&cases, &[], "").await;
    let send = async |host: &str, body: &[u8]| gateway.send(Request::new("POST", host, "/").body(body)).await;
    assert_eq!(send("ask.test", b"quietly").await.json()["body"], "QUIETLY");
    assert_eq!(send("ask.test", b"seventeen letters").await.status(), 413);
    let chunked = Request::new("POST", "ask.test", "/").header("Transfer-Encoding", "chunked");
    let mut wire = sluice_tests::wire::Wire::connect(gateway.web()).await.expect("connect");
    wire.write([chunked.bytes(), b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec()].concat()).await.expect("send");
    let head = wire.read_head().await.expect("read").expect("an answer");
    let body = wire.read_answer_body(&head).await.expect("a body");
    assert!(String::from_utf8_lossy(&body).contains("\"ABCDE\""));

    let answer = send("told.test", b"loud").await;
    assert!(answer.text().contains("\"BODY\":\"LOUD\""), "{}", answer.text());
    let answer = send("short.test", b"calm").await;
    assert_eq!(answer.json()["body"], "calm", "a longer answer goes on as it is");
    assert_eq!(gateway.get("told.test", "/").await.status(), 200);
}

#[tokio::test]
pub(crate) async fn policies_wait_for_answers_of_others() {
    let (main, yes, no) = (
        Upstream::echo().await,
        Upstream::start(Behaviour::Slow(Duration::from_millis(300))).await,
        Upstream::start(Behaviour::Status(401)).await,
    );
    let origin = format!("http://{}", no.address());
    let policy = |name: &str, target: &str| {
        format!(
            "[[policies]]\nname = \"{name}\"\nplugin = \"waiting\"\nattach = [\"service:{name}\"]\n\
             config = {{ target = \"{target}\", path = \"/verify?x\", tell = \"content-type\" }}"
        )
    };
    let services = ["let", "kept", "refused", "local"].map(|name| plain(name, &main));
    let services: Vec<_> = services.into_iter().chain([plain("auth", &yes)]).collect();
    let gateway = Setup::with_services(&services)
        .with_plugin_directory()
        .with_plugin("waiting", &guest("waiting"))
        .config(&policy("let", "auth"))
        .config(&policy("kept", &origin))
        .config(&policy("refused", "http://127.0.0.1:1"))
        .config(&policy("local", "http://localhost:1"))
        .config(&format!(
            "[plugins.settings.waiting]\ngrants = [\"outbound:auth\", \"outbound:{origin}\", \"outbound:http://localhost:1\"]"
        ))
        .start()
        .await;

    // Four at once: none waits for another, and time spent waiting is not the guest's.
    let asked = tokio::join!(
        gateway.get("let.test", "/a"),
        gateway.get("let.test", "/b"),
        gateway.get("let.test", "/c"),
        gateway.get("let.test", "/d")
    );
    for answer in [asked.0, asked.1, asked.2, asked.3] {
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json()["headers"]["x-answered"][0], "200");
        assert_eq!(answer.head.get("x-told"), Some("application/json"));
    }
    let request = yes.received().pop().expect("a request");
    assert_eq!((request.head.word(0), request.head.word(1)), ("GET", "/verify?x"));
    assert_eq!(gateway.get("kept.test", "/").await.status(), 401);
    let refused = gateway.get("refused.test", "/").await;
    assert!(refused.text().contains("without the grant `outbound:http://127.0.0.1:1`"), "{}", refused.text());
    let local = gateway.get("local.test", "/").await;
    assert!(local.text().contains("which is not a public address"), "{}", local.text());

    let before = yes.received().len();
    let mut wire = sluice_tests::wire::Wire::connect(gateway.web()).await.expect("connect");
    wire.write(Request::get("let.test", "/gone").bytes()).await.expect("send");
    until("it is asked", async || yes.received().len() > before).await;
    drop(wire);
    assert_eq!(gateway.get("let.test", "/after").await.status(), 200);
}

//! The `headers` step of both dialects, all on one gateway: section A6 and B11.

use serde_json::{Value, json};
use sluice_tests::catalog::Service;
use sluice_tests::client::{Answer, Request};
use sluice_tests::gateway::Setup;
use sluice_tests::upstream::{Behaviour, Upstream};

fn v1(name: &str, tags: &[&str]) -> Service {
    tags.iter()
        .fold(Service::on_host(name, name), |service, tag| service.tag(&format!("traefik.frontend.headers.{tag}")))
}

fn v3(name: &str, options: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}`)");
    let uses = format!("traefik.http.routers.{name}.middlewares={name}");
    options.iter().fold(Service::new(name, &[&rule, &uses]), |service, option| {
        service.tag(&format!("traefik.http.middlewares.{name}.headers.{option}"))
    })
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.get(name)
}

#[tokio::test]
async fn requests_and_answers_are_changed_and_guarded() {
    let upstream = Upstream::echo().await;
    let failing = Upstream::start(Behaviour::Status(503)).await;
    let cors = [
        "accesscontrolalloworiginlist=https://o.test",
        "accesscontrolallowmethods=GET,PUT",
        "accesscontrolmaxage=100",
        "addvaryheader=true",
    ];
    let services = [
        v1("one", &["customRequestHeaders=X-Set:1||X-Gone:", "customResponseHeaders=X-Said:2||Content-Type:"])
            .at(&upstream),
        v1("only", &["allowedHosts=elsewhere"]).at(&upstream),
        v1("secure", &["SSLRedirect=true", "SSLTemporaryRedirect=true", "SSLHost=tls.test"]).at(&upstream),
        v1("sts", &["STSSeconds=60", "STSIncludeSubdomains=true", "forceSTSHeader=true", "frameDeny=true"])
            .at(&upstream),
        v3("three", &["customrequestheaders.Host=inner.test", "customrequestheaders.X-Set=1", "stsseconds=60"])
            .at(&upstream),
        v3("cors", &cors).at(&upstream),
        v3("fails", &["customresponseheaders.X-Said=2", "contenttypenosniff=true"]).at(&failing),
        v3("empty", &["customresponseheaders.X-Said=2"]).at_port(1, &[]),
        v3("bad", &["customrequestheaders.a b=1"]).at(&upstream),
    ];
    let gateway = Setup::with_services(&services).start().await;

    let answer = gateway.send(Request::get("one", "/").header("X-Gone", "1")).await;
    assert_eq!((header(&answer, "x-said"), header(&answer, "content-type")), (Some("2"), None));
    let seen = answer.json();
    assert_eq!((&seen["headers"]["x-set"], &seen["headers"]["x-gone"]), (&json!(["1"]), &Value::Null));

    let seen = gateway.get("three", "/").await;
    assert_eq!(header(&seen, "strict-transport-security"), None, "this is not TLS");
    let seen = seen.json();
    assert_eq!(seen["host"], "inner.test");
    assert_eq!(seen["headers"]["x-forwarded-host"], json!(["three"]));

    let answer = gateway.get("only", "/").await;
    assert_eq!((answer.status(), answer.text().as_str()), (500, "Bad Host"));
    let answer = gateway.get("secure", "/a?b").await;
    assert_eq!((answer.status(), header(&answer, "location")), (307, Some("https://tls.test/a?b")));
    let answer = gateway.get("sts", "/").await;
    assert_eq!(header(&answer, "strict-transport-security"), Some("max-age=60; includeSubDomains"));
    assert_eq!(header(&answer, "x-frame-options"), Some("DENY"));

    for (host, status) in [("fails", 503), ("empty", 502)] {
        let answer = gateway.get(host, "/").await;
        assert_eq!((answer.status(), header(&answer, "x-said")), (status, Some("2")), "{host}: also on errors");
    }
    assert_eq!(gateway.get("bad", "/").await.status(), 404, "a header that is none costs the route");
    let routers = gateway.api("/api/http/routers/bad@file").await;
    assert!(routers["error"].to_string().contains("`a b` is not a name of a header"), "{routers}");

    let preflight = |origin| {
        Request::new("OPTIONS", "cors", "/").header("Origin", origin).header("Access-Control-Request-Method", "PUT")
    };
    let before = upstream.received().len();
    for (origin, allowed) in [("https://o.test", Some("https://o.test")), ("https://bad.test", None)] {
        let answer = gateway.send(preflight(origin)).await;
        assert_eq!((answer.status(), header(&answer, "content-length")), (200, Some("0")));
        assert_eq!(header(&answer, "access-control-allow-origin"), allowed);
        assert_eq!(header(&answer, "access-control-allow-methods"), Some("GET,PUT"));
        assert_eq!(header(&answer, "access-control-max-age"), Some("100"));
    }
    assert_eq!(upstream.received().len(), before, "no preflight reaches the service");
    let answer = gateway.send(Request::get("cors", "/").header("Origin", "https://o.test")).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://o.test"));
    assert_eq!(header(&answer, "vary"), Some("Origin"));

    let shown = gateway.api("/api/http/middlewares/cors@file").await;
    assert_eq!(shown["headers"]["accessControlAllowMethods"], json!(["GET", "PUT"]));
}

//! Redirects of both dialects, all on one gateway: sections A6 and B11.

use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::free_address;
use sluice_tests::upstream::Upstream;

/// A v1 service on the host of its name.
fn v1(name: &str, tags: &[&str]) -> Service {
    tags.iter()
        .fold(Service::on_host(name, name), |service, tag| service.tag(&format!("traefik.frontend.redirect.{tag}")))
}

/// A v3 service on the host of its name, with one middleware.
fn v3(name: &str, options: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}`)");
    let uses = format!("traefik.http.routers.{name}.middlewares={name}");
    options.iter().fold(Service::new(name, &[&rule, &uses]), |service, option| {
        service.tag(&format!("traefik.http.middlewares.{name}.{option}"))
    })
}

async fn location(gateway: &Gateway, method: &str, host: &str, target: &str) -> (u16, Option<String>) {
    let answer = gateway.send(Request::new(method, host, target)).await;
    (answer.status(), answer.head.get("location").map(str::to_owned))
}

#[tokio::test]
async fn every_form_of_redirect() {
    let upstream = Upstream::echo().await;
    let services = [
        v1("entry", &["entryPoint=other"]),
        v1("same", &["entryPoint=web"]),
        v1("ghost", &["entryPoint=nowhere"]),
        v1("old", &["regex=^http://old/(.*)", "replacement=https://new/$1", "permanent=true"]),
        v1(
            "said",
            &["regex=^http://said/(.*)", "replacement=https://{{.Request.Header.Get \"X-To\"}}.{{.Request.Host}}/$1"],
        ),
        v1("unsaid", &["regex=a", "replacement={{.Request.Body}}"]),
        v3("rx", &["redirectregex.regex=^http://rx(?::\\d+)?/(.*)", "redirectregex.replacement=https://new/${1}"]),
        v3("scheme", &["redirectscheme.scheme=https"]),
        v3("port", &["redirectscheme.scheme=https", "redirectscheme.port=8443", "redirectscheme.permanent=true"]),
        v3("stays", &["redirectscheme.scheme=http", "redirectscheme.port=80"]),
    ];
    let services: Vec<_> = services.into_iter().map(|service| service.at(&upstream)).collect();
    let other = free_address();
    let entrypoint = format!("[entrypoints.other]\naddress = \"{other}\"\ntls = {{}}");
    let gateway = Setup::with_services(&services).config(&entrypoint).start().await;
    let entry = format!("https://entry:{}/a", other.port());
    for (method, host, target, status, wanted) in [
        ("GET", "entry", "/a?b=1", 302, &*format!("{entry}?b=1")),
        ("POST", "entry:9000", "/a", 307, &*entry),
        ("GET", "old", "/a?b", 301, "https://new/a?b"),
        ("PUT", "old", "/a", 308, "https://new/a"),
        ("GET", "rx", "/a//b/../c", 302, "https://new/a/c"),
        ("HEAD", "rx:81", "/", 307, "https://new/"),
        ("GET", "scheme:8080", "/a", 302, "https://scheme/a"),
        ("GET", "port", "/a", 301, "https://port:8443/a"),
    ] {
        let got = location(&gateway, method, host, target).await;
        assert_eq!(got, (status, Some(wanted.to_owned())), "{method} {host}{target}");
    }
    let said = gateway.send(Request::get("said", "/{{.Request.Method}}?$1").header("X-To", "$0{{a}}")).await;
    assert_eq!(
        said.head.get("location"),
        Some("https://$0{{a}}.said/{{.Request.Method}}?$1"),
        "no client writes templates"
    );
    let unsaid = gateway.api("/api/http/routers/unsaid@file").await;
    assert!(unsaid["error"][0].as_str().unwrap().contains("`{{.Request.Body}}`"), "{unsaid}");
    for (host, status) in [("same", 200), ("ghost", 404), ("stays", 200), ("unsaid", 404)] {
        assert_eq!(location(&gateway, "GET", host, "/").await, (status, None), "{host}");
    }
    let body = gateway.get("port", "/").await.text();
    assert_eq!(body, "Moved Permanently");
    let spoofed = gateway.send(Request::get("scheme", "/").header("X-Forwarded-Proto", "https")).await;
    assert_eq!(spoofed.status(), 302, "nobody trusts this client");
}

#[tokio::test]
async fn an_entrypoint_sends_its_clients_to_another_one_and_has_steps_of_its_own() {
    let upstream = Upstream::echo().await;
    let tags = [
        "traefik.http.routers.shop.rule=Host(`shop`)",
        "traefik.http.routers.shop.entrypoints=web,inner",
        "traefik.http.middlewares.pre.addprefix.prefix=/pre",
        "traefik.http.middlewares.both.chain.middlewares=pre",
    ];
    let (inner, lost) = (free_address(), free_address());
    let entrypoints = format!(
        "[entrypoints.web.redirect]\nto = \"inner\"\n\n\
         [entrypoints.inner]\naddress = \"{inner}\"\nsteps = [\"both@file\"]\n\n\
         [entrypoints.lost]\naddress = \"{lost}\"\nsteps = [\"gone@file\"]"
    );
    let gateway = Setup::with_services(&[Service::new("shop", &tags).at(&upstream)]).config(&entrypoints).start().await;
    for (method, host, status) in [("GET", "shop", 301), ("POST", "shop", 308), ("GET", "nobody", 301)] {
        let got = location(&gateway, method, host, "/a?b").await;
        assert_eq!(got, (status, Some(format!("https://{host}:{}/a?b", inner.port()))), "{method} {host}");
    }
    let seen = Request::get("shop", "/a").send(inner).await;
    assert_eq!(seen.json()["uri"], "/pre/a");
    assert_eq!(Request::get("nobody", "/a").send(inner).await.status(), 404);
    assert_eq!(Request::get("shop", "/").send(lost).await.status(), 404, "it fails closed");
    let discovery = gateway.api("/api/discovery").await;
    let refused = &discovery["config"]["refused"][0];
    assert_eq!((&refused["object"], &refused["severity"]), (&"entrypoint lost".into(), &"error".into()), "{discovery}");
    let router = gateway.api("/api/http/routers/web-to-inner@config").await;
    assert_eq!((&router["status"], &router["using"][0]), (&"enabled".into(), &"web".into()), "{router}");
    let shown = gateway.api("/api/entrypoints/web").await;
    assert_eq!(shown["http"]["redirections"]["entryPoint"]["to"], "inner", "{shown}");
    let why = gateway.api(&format!("/api/explain?method=GET&url=http://shop:{}/a", gateway.web().port())).await;
    assert_eq!(why["chain"][0]["name"], "web-to-inner@config", "{why}");
}

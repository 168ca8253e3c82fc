//! The command line: what it prints and how it exits.

use std::fs;
use std::process::{Command, Output};

use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Setup, binary};
use sluice_tests::process::{Folder, free_address};
use sluice_tests::upstream::Upstream;

fn sluice(folder: &Folder, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(folder.path()).output().expect("start sluice")
}

fn everything(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Writes a configuration and runs `sluice check` on it.
fn check(config: &str, services: &str) -> (Option<i32>, String) {
    let folder = Folder::new();
    fs::write(folder.join("sluice.toml"), config).unwrap();
    fs::write(folder.join("services.toml"), services).unwrap();
    let output = sluice(&folder, &["check", "--config", "sluice.toml"]);
    (output.status.code(), everything(&output))
}

const GOOD: &str = "[entrypoints.web]\naddress = \"127.0.0.1:8000\"\n\n[providers.file]\npath = \"services.toml\"\n";

#[test]
fn check_accepts_what_works() {
    let services = "[[service]]\nname = \"shop\"\ntags = [\"traefik.frontend.rule=Host:shop.test\"]\n\
                    instances = [{ id = \"one\", address = \"127.0.0.1\", port = 9091 }]\n";
    let (code, text) = check(GOOD, services);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn check_lists_every_problem_with_its_place_and_a_suggestion() {
    let config = "[entrypoints.web]\nadress = \"127.0.0.1:8000\"\n\n[providers.file]\npath = \"services.toml\"\n\n\
                  [[policies]]\nname = \"edge\"\nplugin = \"rate-limt\"\nattach = [\"entrypoint:web\"]\n\n\
                  [plugins.settings.rate-limit]\ndeadline = \"soon\"\n";
    let (code, text) = check(config, "");
    assert_eq!(code, Some(1), "{text}");
    for expected in ["adress", "address", "sluice.toml", "soon"] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn check_names_a_plugin_that_does_not_exist_and_settings_it_refuses() {
    let policy = |plugin: &str, config: &str| {
        let lines =
            format!("name = \"edge\"\nplugin = \"{plugin}\"\nattach = [\"entrypoint:web\"]\nconfig = {config}\n");
        check(&format!("{GOOD}\n[[policies]]\n{lines}"), "")
    };
    let (code, text) = policy("rate-limt", "{}");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("rate-limt"), "{text}");
    let (code, text) = policy("rate-limit", "{ avarage = 5 }");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("avarage") && text.contains("edge"), "{text}");
}

#[test]
fn check_names_the_service_and_the_tag_at_fault() {
    let services = "[[service]]\nname = \"shop\"\ntags = [\"traefik.http.routers.shop.rule=Hots(`shop.test`)\"]\n\
                    instances = [{ id = \"one\", address = \"127.0.0.1\", port = 9091 }]\n";
    let (code, text) = check(GOOD, services);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("shop") && text.contains("Hots"), "{text}");
}

#[test]
fn run_refuses_a_broken_configuration() {
    let folder = Folder::new();
    fs::write(folder.join("sluice.toml"), "[entrypoints.web]\nadress = \"127.0.0.1:8000\"\n").unwrap();
    let output = sluice(&folder, &["run", "--config", "sluice.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(everything(&output).contains("adress"));
}

#[test]
fn an_admin_address_beyond_loopback_needs_a_token() {
    let admin = format!("[admin]\naddress = \"0.0.0.0:{}\"\n", free_address().port());
    let (code, text) = check(&format!("{GOOD}\n{admin}"), "");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("token-file"), "{text}");
}

#[test]
fn version_and_usage() {
    let folder = Folder::new();
    let version = sluice(&folder, &["version"]);
    assert!(version.status.success());
    assert!(everything(&version).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(sluice(&folder, &["rnu"]).status.code(), Some(2));
    assert_eq!(sluice(&folder, &["run", "--config", "absent.toml"]).status.code(), Some(1));
}

/// Answers by exit code, output for people and JSON.
fn explained(folder: &Folder, whom: &[&str], url: &str) -> (Option<i32>, String, serde_json::Value) {
    let ask = |more: &[&str]| sluice(folder, &[&["explain"], whom, &["GET", url], more].concat());
    let (text, json) = (ask(&[]), ask(&["--output", "json"]));
    assert_eq!(text.status.code(), json.status.code());
    (text.status.code(), everything(&text), serde_json::from_slice(&json.stdout).unwrap_or_default())
}

#[tokio::test]
async fn explain_says_the_same_of_a_configuration_and_of_a_running_gateway() {
    let upstream = Upstream::echo().await;
    let shop = Service::on_host("shop", "shop.test").tag("traefik.frontend.priority=7").at(&upstream);
    let other = Service::on_host("other", "other.test").at(&upstream);
    let setup = Setup::with_services(&[shop, other]);
    let gateway = setup.start().await;
    let folder = Folder::new();
    let admin = format!("http://{}", gateway.admin());
    let file = gateway.config_file().display().to_string();
    let url = format!("http://{}/cart", gateway.web());
    let named = |whom: &[&str]| {
        let (code, text, json) = explained(&folder, &[whom, &["-H", "Host: shop.test"]].concat(), &url);
        assert_eq!((code, json["route"].as_str()), (Some(0), Some("shop@file")), "{text}");
        for part in
            ["route shop@file", "wins", &format!("http://127.0.0.1:{}", upstream.port()), "the host is `shop.test`"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        json
    };
    let (running, tried) = (named(&["--admin", &admin]), named(&["--config", &file]));
    for part in ["route", "chain", "service", "candidates", "request"] {
        assert_eq!(running[part], tried[part], "{part}");
    }
    let (code, text, json) = explained(&folder, &["--admin", &admin], "http://nobody.test/");
    assert_eq!((code, &json["route"]), (Some(1), &serde_json::Value::Null), "{text}");
    assert!(text.contains("no route answers"), "{text}");

    let wrong = sluice(&folder, &["explain", "--admin", &admin, "GET", "http://a b/"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(everything(&wrong).contains("not a host"), "{}", everything(&wrong));
    for usage in [&["explain", "GET"][..], &["explain", "--admin", &admin, "--config", &file, "GET", "http://a/"]] {
        assert_eq!(sluice(&folder, usage).status.code(), Some(2), "{usage:?}");
    }
}

#[test]
fn check_warns_of_tags_it_repaired_and_passes() {
    let services = "[[service]]\nname = \"shop\"\ntags = [\" traefik.frontend.rule=Host:shop.test\"]\n\
                    instances = [{ id = \"one\", address = \"127.0.0.1\", port = 9091 }]\n";
    let (code, text) = check(GOOD, services);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning: ") && text.contains("blanks around this tag"), "{text}");
}

#[test]
fn migrate_writes_a_configuration_and_reports_what_differs() {
    let folder = Folder::new();
    fs::write(folder.join("traefik.yml"), "entryPoints:\n  web:\n    address: ':80'\nproviders:\n  docker: {}\n")
        .unwrap();
    let output = sluice(&folder, &["migrate", "traefik.yml", "--out", "sluice.toml"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    assert!(everything(&output).contains("not supported: providers.docker"), "{}", everything(&output));
    assert_eq!(sluice(&folder, &["check", "--config", "sluice.toml"]).status.code(), Some(0));
    let json = sluice(&folder, &["migrate", "traefik.yml", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json["config"].as_str().unwrap().contains("[entrypoints.web]"), "{json}");
    assert_eq!(sluice(&folder, &["migrate", "absent.toml"]).status.code(), Some(1));
}

/// Everything that has an equivalent, in files of Traefik that are complete.
const OLD: &str = r#"
defaultEntryPoints = ["http", "https"]
insecureSkipVerify = true
[entryPoints.http]
address = ":8000"
[entryPoints.http.redirect]
entryPoint = "https"
[entryPoints.https]
address = ":8443"
whitelistSourceRange = ["10.0.0.0/8"]
[entryPoints.https.auth.basic]
users = ["jo:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="]
[entryPoints.https.proxyProtocol]
trustedIPs = ["10.0.0.1"]
[entryPoints.https.tls]
minVersion = "VersionTLS13"
sniStrict = true
[entryPoints.https.tls.clientCA]
files = ["ca.pem"]
[[entryPoints.https.tls.certificates]]
certFile = "a.pem"
keyFile = "a.key"
[consulCatalog]
endpoint = "127.0.0.1:8500"
"#;
const NEW: &str = r#"
entryPoints:
  web:
    address: ":8000"
    http:
      redirections: { entryPoint: { to: websecure, permanent: false } }
  websecure:
    address: ":8443"
    http:
      middlewares: [secured@consulcatalog]
      encodedCharacters: { allowEncodedSlash: false }
      tls: {}
    proxyProtocol: { insecure: true }
    transport: { keepAliveMaxTime: 5m, keepAliveMaxRequests: 100 }
serversTransport:
  rootCAs: [ca.pem]
providers:
  consulCatalog: {}
"#;

#[test]
fn what_migrate_writes_passes_check() {
    let folder = Folder::new();
    let authority = sluice_tests::tls::Authority::new();
    authority.issue(&["a.test"]).write(folder.path(), "a");
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for (name, text) in [("old.toml", OLD), ("new.yml", NEW)] {
        fs::write(folder.join(name), text).unwrap();
        let output = sluice(&folder, &["migrate", name, "--out", "sluice.toml"]);
        let report = everything(&output);
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert!(!report.contains("not supported") && !report.contains("unknown"), "{report}");
        let check = sluice(&folder, &["check", "--config", "sluice.toml"]);
        assert_eq!(check.status.code(), Some(0), "{}", everything(&check));
    }
}

#[test]
fn completion_scripts_know_the_verbs() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = everything(&sluice(&folder, &["completion", shell]));
        assert!(script.contains("healthcheck") && script.contains("explain"), "{shell}");
    }
    assert_eq!(sluice(&folder, &["completion", "cmd"]).status.code(), Some(2));
}

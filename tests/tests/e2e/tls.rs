//! TLS towards clients: certificates by name, renewed while serving, client certificates by host, and slow hands.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::HandshakeKind;
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::{Folder, free_address};
use sluice_tests::tls::{Authority, connect, get};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A second entrypoint, TLS as a whole; `tls` are its keys besides the certificates for `names`.
async fn secure(services: &[Service], folder: &Path, certificates: &str, more: &str) -> (Gateway, SocketAddr) {
    let address = free_address();
    let folder = folder.display();
    let certificates = certificates.replace('@', &format!("{folder}/"));
    let tls = format!("[entrypoints.secure]\naddress = \"{address}\"\n{certificates}");
    let gateway = Setup::with_services(services).config(&tls).config(&more.replace('@', &format!("{folder}/")));
    (gateway.start().await, address)
}

fn routed(name: &str, host: &str, more: &[&str]) -> Service {
    let prefix = format!("traefik.http.routers.{name}");
    let more: Vec<String> = more.iter().map(|tag| format!("{prefix}.{tag}")).collect();
    let rule = format!("{prefix}.rule=Host(`{host}`)");
    more.iter().fold(Service::new(name, &[&rule]), |service, tag| service.tag(tag))
}

async fn metric(gateway: &Gateway, start: &str) -> Option<f64> {
    let text = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    text.lines().find(|line| line.starts_with(start))?.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_renewed_without_losing_anybody() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (one, wild, other) = (
        authority.issue(&["one.test"]),
        authority.issue(&["*.wild.test"]),
        authority.issue(&["other.test", "none.test"]),
    );
    for (identity, name) in [(&one, "one"), (&wild, "wild"), (&other, "other")] {
        identity.write(folder.path(), name);
    }
    let upstream = Upstream::echo().await;
    let services = [Service::new("all", &["traefik.http.routers.all.rule=PathPrefix(`/`)"]).at(&upstream)];
    let tls = r#"tls = { certificates = [{ cert = "@one.pem", key = "@one.key" }, { cert = "@wild.pem", key = "@wild.key" }, { cert = "@other.pem", key = "@other.key", default = true }] }"#;
    let (gateway, address) = secure(&services, folder.path(), tls, "").await;
    let client = Arc::new(authority.client(None));
    let shown = async |name: &str| {
        let stream = connect(address, name, &client).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown("one.test").await, *one.certificate());
    assert_eq!(shown("A.wild.test").await, *wild.certificate());
    assert_eq!(shown("none.test").await, *other.certificate(), "the marked one where no name fits");

    // A session is gone on with whichever worker it meets.
    let mut open = connect(address, "one.test", &client).await.unwrap();
    assert_eq!(get(&mut open, "one.test", "/").await.unwrap().0, 200);
    for _ in 0..4 {
        let mut again = connect(address, "one.test", &client).await.unwrap();
        assert_eq!(get(&mut again, "one.test", "/").await.unwrap().0, 200);
        assert_eq!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    }

    let renewed = authority.issue(&["one.test"]);
    renewed.write(folder.path(), "one");
    let fresh = || Arc::new(authority.client(None));
    let shown_to_a_stranger = async || {
        let stream = connect(address, "one.test", &fresh()).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    until("the renewed certificate is shown", async || shown_to_a_stranger().await == *renewed.certificate()).await;
    assert_eq!(get(&mut open, "one.test", "/").await.unwrap().0, 200, "who was connected stays connected");

    let before = metric(&gateway, "sluice_tls_reloads_total{entrypoint=\"secure\",result=\"failed\"}").await;
    std::fs::write(folder.join("one.key"), "no key").unwrap();
    until("the broken pair is reported", async || {
        let now = metric(&gateway, "sluice_tls_reloads_total{entrypoint=\"secure\",result=\"failed\"}").await;
        now.unwrap_or(0.0) > before.unwrap_or(0.0)
    })
    .await;
    assert_eq!(shown_to_a_stranger().await, *renewed.certificate());
    let end =
        metric(&gateway, "sluice_tls_certificate_not_after_seconds{entrypoint=\"secure\",names=\"one.test\"}").await;
    assert!(end.unwrap() > 1_700_000_000.0);
    let mut alpn = authority.client(None);
    alpn.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(address, "one.test", &Arc::new(alpn)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

const MTLS: &str = "[tls.options.mtls]\nclient-auth = { ca = \"@ca.pem\" }\n\
                    [tls.options.new]\nmin-version = \"1.3\"\nstrict-sni = true";

#[tokio::test]
async fn client_certificates_are_asked_for_by_host_and_no_host_leads_to_another() {
    let (folder, authority, stranger) = (Folder::new(), Authority::new(), Authority::new());
    let hosts = ["open.test", "pay.test", "torn.test", "new.test", "lost.test"];
    authority.issue(&hosts).write(folder.path(), "all");
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let upstream = Upstream::echo().await;
    let services = [
        routed("open", "open.test", &["tls=true"]).at(&upstream),
        routed("pay", "pay.test", &["tls.options=mtls@file"]).at(&upstream),
        routed("torn-a", "torn.test", &["tls.options=mtls"]).at(&upstream),
        routed("torn-b", "torn.test", &["tls=true", "priority=1"]).at(&upstream),
        routed("new", "new.test", &["tls.options=new"]).at(&upstream),
        routed("lost", "lost.test", &["tls.options=none@file"]).at(&upstream),
    ];
    let tls = r#"tls = { certificates = [{ cert = "@all.pem", key = "@all.key" }] }"#;
    let (gateway, address) = secure(&services, folder.path(), tls, MTLS).await;
    let anonymous = Arc::new(authority.client(None));
    let known = Arc::new(authority.client(Some(&authority.issue(&["me"]))));
    let unknown = Arc::new(authority.client(Some(&stranger.issue(&["me"]))));
    let ask = async |client, name: &str, host: &str| {
        let mut stream = connect(address, name, client).await?;
        get(&mut stream, host, "/").await.map(|(status, _)| status)
    };
    assert_eq!(ask(&anonymous, "open.test", "open.test").await.unwrap(), 200);
    assert!(ask(&anonymous, "pay.test", "pay.test").await.is_err());
    assert!(ask(&unknown, "pay.test", "pay.test").await.is_err());
    assert_eq!(ask(&known, "pay.test", "pay.test").await.unwrap(), 200);
    // The connection was made under the rules of another host.
    assert_eq!(ask(&anonymous, "open.test", "pay.test").await.unwrap(), 421, "H6");
    assert_eq!(ask(&anonymous, "open.test", "PAY.test.").await.unwrap(), 421, "H6");
    assert_eq!(ask(&known, "pay.test", "open.test").await.unwrap(), 421, "H6");
    assert_eq!(metric(&gateway, "sluice_rejected_total{reason=\"misdirected\"}").await, Some(3.0), "H6");
    // Who disagrees gets what the entrypoint has, and is told.
    assert_eq!(ask(&anonymous, "torn.test", "torn.test").await.unwrap(), 200);
    let told = gateway.api("/api/discovery").await.to_string();
    assert!(told.contains("name different tls options"), "{told}");
    let lost = gateway.api("/api/http/routers/lost@file").await;
    assert_eq!(lost["status"], "disabled");
    assert!(lost["error"][0].as_str().unwrap().contains("declare `[tls.options.none]`"), "{lost}");
    // TLS 1.2 is refused where 1.3 is the least.
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates([authority.certificate()]);
    let old = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12]);
    let old = Arc::new(old.with_root_certificates(roots).with_no_client_auth());
    assert!(connect(address, "new.test", &old).await.is_err());
    assert_eq!(ask(&old, "open.test", "open.test").await.unwrap(), 200);
    assert_eq!(ask(&anonymous, "new.test", "new.test").await.unwrap(), 200);
}

/// CVE-2025-23419: a ticket of a host that asks for nothing must not open one that asks for a certificate.
#[tokio::test]
async fn a_session_of_one_host_is_not_gone_on_with_at_another() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: there is no `openssl` to carry a ticket from one host to another");
        return;
    }
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.issue(&["open.test", "pay.test"]).write(folder.path(), "all");
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let upstream = Upstream::echo().await;
    let services = [
        routed("open", "open.test", &["tls=true"]).at(&upstream),
        routed("pay", "pay.test", &["tls.options=mtls@file"]).at(&upstream),
    ];
    let tls = r#"tls = { certificates = [{ cert = "@all.pem", key = "@all.key" }] }"#;
    let (_gateway, address) = secure(&services, folder.path(), tls, MTLS).await;
    let session = folder.join("session.pem");
    let openssl = move |name: &str, flag: &str| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-tls1_2", "-connect", &address.to_string(), "-servername", name, flag]);
        command.arg(&session).stdin(std::process::Stdio::null());
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    let (first, again, elsewhere) = tokio::task::spawn_blocking(move || {
        let first = openssl("open.test", "-sess_out");
        let again = openssl("open.test", "-sess_in");
        (first, again, openssl("pay.test", "-sess_in"))
    })
    .await
    .unwrap();
    assert!(first.contains("New, TLSv1.2"), "{first}");
    assert!(again.contains("Reused, TLSv1.2"), "{again}");
    assert!(!elsewhere.contains("Reused"), "{elsewhere}");
}

#[tokio::test]
async fn handshakes_that_take_too_long_are_ended() {
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.issue(&["a.test"]).write(folder.path(), "a");
    let tls =
        "tls = { certificates = [{ cert = \"@a.pem\", key = \"@a.key\" }] }\ntimeouts = { tls-handshake = \"300ms\" }";
    let (gateway, address) = secure(&[Service::on_host("a", "a.test")], folder.path(), tls, "").await;
    let silence = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.read(&mut [0; 64]).await
    };
    let read = tokio::time::timeout(sluice_tests::PATIENCE, silence).await.expect("silence is ended");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    // A record that announces more than ever comes, byte by byte.
    let drip = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).await.unwrap();
        while stream.write_all(&[3]).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(sluice_tests::PATIENCE, drip).await.expect("a drip is ended");
    let counted = metric(&gateway, "sluice_request_errors_total{reason=\"tls-timeout\"}").await;
    assert!(counted.unwrap() >= 2.0);
}

#[tokio::test]
async fn one_plain_entrypoint_answers_tls_where_a_route_asks_for_it() {
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.issue(&["a.test"]).write(folder.path(), "a");
    let (plain, secret) = (Upstream::echo().await, Upstream::echo().await);
    let services = [
        routed("plain", "a.test", &[]).at(&plain),
        routed("secret", "a.test", &["tls=true"]).at(&secret),
        Service::on_host("both", "b.test").at(&plain),
    ];
    let shared = format!(
        "[tls]\ncertificates = [{{ cert = {:?}, key = {:?} }}]",
        folder.join("a.pem").display().to_string(),
        folder.join("a.key").display().to_string()
    );
    let gateway = Setup::with_services(&services).config(&shared).start().await;
    assert_eq!(gateway.get("a.test", "/").await.status(), 200);
    assert_eq!((plain.received().len(), secret.received().len()), (1, 0));
    let client = Arc::new(authority.client(None));
    let mut stream = connect(gateway.web(), "a.test", &client).await.unwrap();
    let (status, body) = get(&mut stream, "a.test", "/").await.unwrap();
    assert_eq!((status, plain.received().len(), secret.received().len()), (200, 1, 1));
    assert!(body.contains("\"x-forwarded-proto\":[\"https\"]"), "{body}");
    assert_eq!(get(&mut stream, "b.test", "/").await.unwrap().0, 200, "v1 frontends answer both");
}

/// Mozilla's intermediate profile, as sslyze from PyPI checks it. It is installed below `target/` at the first run.
#[tokio::test]
async fn sslyze_finds_mozillas_intermediate_profile() {
    let Some(python) = sslyze() else {
        eprintln!("SKIPPED: sslyze cannot be installed here");
        return;
    };
    let (folder, authority) = (Folder::new(), Authority::new());
    authority.issue_for_this_year(&["localhost"]).write(folder.path(), "all");
    let tls = r#"tls = { certificates = [{ cert = "@all.pem", key = "@all.key" }] }"#;
    let (_gateway, address) = secure(&[Service::on_host("a", "a.test")], folder.path(), tls, "").await;
    let mut scan = Command::new(python);
    let target = format!("localhost:{}", address.port());
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    scan.args(["-m", "sslyze", "--mozilla_config=intermediate", "--certinfo_ca_file"]);
    scan.arg(folder.join("ca.pem")).arg(&target);
    let output = tokio::task::spawn_blocking(move || scan.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("OK - Compliant"), "{text}");
}

/// The interpreter of an environment that has sslyze.
fn sslyze() -> Option<std::path::PathBuf> {
    let folder = sluice_tests::process::target_dir().join("tests/sslyze");
    let python = folder.join("bin/python");
    let works = || {
        let output = Command::new(&python).args(["-m", "sslyze", "--help"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !works() {
        Command::new("python3").args(["-m", "venv"]).arg(&folder).output().ok()?;
        Command::new(&python).args(["-m", "pip", "install", "--quiet", "sslyze"]).output().ok()?;
    }
    works().then_some(python)
}

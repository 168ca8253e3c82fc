//! The watcher over real sockets: what it sends, and what it makes of connections that break, agents that refuse and
//! certificates that do not fit. The agent is a listener that writes bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sluice_consul::{ConsulConfig, ConsulError, Handle, Scheme, TlsOptions, TokenSource, Watcher};
use sluice_model::Catalog;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(30);
const LIST: &str = r#"{"web":["on"]}"#;
const WEB: &str = r#"[{"Node":{"Node":"n1","Address":"10.0.0.1"},"Service":{"ID":"web-1","Service":"web","Port":80}}]"#;

/// What the agent does with a request, given its head.
enum Act {
    Write(String),
    WriteAndClose(String),
    Hang,
}

/// A listener that acts.
struct Agent {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

struct Watching {
    handle: Handle,
    snapshots: mpsc::UnboundedReceiver<Arc<Catalog>>,
    running: JoinHandle<()>,
}

impl Agent {
    async fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::over(None, act).await
    }

    async fn over(tls: Option<Arc<ServerConfig>>, act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (log, act) = (Arc::clone(&heads), Arc::new(act));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, log, act) = (tls.clone(), Arc::clone(&log), Arc::clone(&act));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &log, &*act).await,
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                serve(stream, &log, &*act).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, heads, serving }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn config(&self) -> ConsulConfig {
        ConsulConfig::new(&self.address)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Watching {
    fn start(config: ConsulConfig) -> Self {
        let watcher = Watcher::new(config, |_, _| true).unwrap();
        let handle = watcher.handle();
        let (out, snapshots) = mpsc::unbounded_channel();
        let running = tokio::spawn(async move {
            watcher.run(move |catalog| drop(out.send(catalog))).await;
        });
        Self { handle, snapshots, running }
    }

    async fn next(&mut self) -> Arc<Catalog> {
        timeout(PATIENCE, self.snapshots.recv()).await.expect("a snapshot").unwrap()
    }

    /// Waits for an error that says this.
    async fn error(&mut self, part: &str) {
        let said = async {
            loop {
                let error = self.handle.status().last_error.clone();
                if error.is_some_and(|error| error.message.contains(part)) {
                    return;
                }
                assert!(self.handle.changed().await);
            }
        };
        let found = timeout(PATIENCE, said).await.is_ok();
        assert!(found, "no error says {part:?}: {:?}", self.handle.status());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    log: &Mutex<Vec<String>>,
    act: &(impl Fn(&str) -> Act + ?Sized),
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        log.lock().unwrap().push(text.clone());
        let (bytes, close) = match act(&text) {
            Act::Write(text) => (text, false),
            Act::WriteAndClose(text) => (text, true),
            Act::Hang => std::future::pending().await,
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() || close {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

fn ok(index: u64, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nX-Consul-Index: {index}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nX-Consul-Index: 1\r\nContent-Length: 6\r\n\r\nno way")
}

/// One service, and nothing new ever.
fn quiet(head: &str) -> Act {
    if head.contains("index=") {
        Act::Hang
    } else if head.starts_with("GET /v1/catalog/services") {
        Act::Write(ok(5, LIST))
    } else {
        Act::Write(ok(5, WEB))
    }
}

fn file(name: &str, content: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(std::process::id().to_string());
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn queries_carry_what_the_configuration_says() {
    let agent = Agent::start(quiet).await;
    let config = ConsulConfig {
        datacenter: Some("dc2".into()),
        namespace: Some("team".into()),
        token: Some(TokenSource::Literal("secret".into())),
        stale: true,
        ..agent.config()
    };
    let mut watching = Watching::start(config);
    assert_eq!(watching.next().await.services["web"].instances[0].id, "n1/web-1");
    while agent.heads().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let heads = agent.heads();
    assert!(heads[0].starts_with("GET /v1/catalog/services?dc=dc2&ns=team&stale HTTP/1.1\r\n"));
    let blocking = "GET /v1/health/service/web?index=5&wait=55000ms&dc=dc2&ns=team&stale HTTP/1.1\r\n";
    assert!(heads.iter().any(|head| head.starts_with(blocking)), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains("x-consul-token: secret\r\n")), "{heads:?}");
}

#[tokio::test]
async fn a_rotated_token_file_is_read_again() {
    let token = file("token", "old\n");
    let agent = Agent::start(|head| {
        if head.contains("x-consul-token: new\r\n") { quiet(head) } else { Act::Write(status("403 Forbidden")) }
    })
    .await;
    let config = ConsulConfig { token: Some(TokenSource::File(token.clone())), ..agent.config() };
    let mut watching = Watching::start(config);
    watching.error("403 (no way)").await;
    std::fs::write(&token, "").unwrap();
    watching.error("holds no usable token").await;
    std::fs::remove_file(&token).unwrap();
    watching.error("No such file").await;
    std::fs::write(&token, "new").unwrap();
    assert_eq!(watching.next().await.services.len(), 1);
}

#[tokio::test]
async fn an_answer_cut_short_is_no_answer() {
    let cut = Mutex::new(3);
    let agent = Agent::start(move |head| {
        let mut cut = cut.lock().unwrap();
        if head.contains("/health/") && *cut > 0 {
            *cut -= 1;
            let whole = ok(5, "[]        ");
            return Act::WriteAndClose(whole[..whole.len() - 5].to_owned());
        }
        quiet(head)
    })
    .await;
    let mut watching = Watching::start(agent.config());
    assert_eq!(watching.next().await.services["web"].instances.len(), 1);
    assert!(watching.handle.status().last_error.as_ref().unwrap().message.contains("service web"));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let agent = Agent::start(|head| {
        if head.contains("/health/") {
            let moved = "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
            return Act::Write(moved.into());
        }
        quiet(head)
    })
    .await;
    let mut watching = Watching::start(agent.config());
    assert!(watching.next().await.services.is_empty());
    watching.error("301").await;
    assert!(agent.heads().iter().all(|head| !head.contains("elsewhere")));
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut watching = Watching::start(ConsulConfig::new(address));
    watching.error("refused").await;
    assert!(!watching.handle.status().reachable);
}

#[tokio::test]
async fn hidden_results_are_an_error() {
    let agent = Agent::start(|head| {
        if head.contains("/health/") {
            let hidden = ok(5, "[]").replace("\r\n\r\n", "\r\nX-Consul-Results-Filtered-By-ACLs: true\r\n\r\n");
            return Act::Write(hidden);
        }
        quiet(head)
    })
    .await;
    let mut watching = Watching::start(agent.config());
    watching.error("filtered by acls").await;
    assert_eq!(watching.handle.status().snapshots, 0);
}

/// Proxies of the environment are for the outside world. Runs another test of this file with one that is not there.
#[test]
fn proxies_of_the_environment_are_ignored() {
    let test = "queries_carry_what_the_configuration_says";
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .envs([
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("http_proxy", "http://127.0.0.1:1"),
            ("ALL_PROXY", "http://127.0.0.1:1"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

/// A certificate authority, with a server and a client certificate of its own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn certificate(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn server(&self, with_clients: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (certificate, key) = self.certificate("127.0.0.1");
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if with_clients {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

fn https(agent: &Agent, tls: TlsOptions) -> ConsulConfig {
    ConsulConfig { scheme: Scheme::Https, tls, ..agent.config() }
}

#[tokio::test]
async fn tls_trusts_the_configured_authority_only() {
    let (ours, other) = (Authority::new(), Authority::new());
    let agent = Agent::over(Some(ours.server(false)), quiet).await;
    let with = |name: &str, authority: &Authority| TlsOptions {
        ca: Some(file(name, &authority.issuer.pem())),
        ..TlsOptions::default()
    };
    let mut good = Watching::start(https(&agent, with("ours.pem", &ours)));
    assert_eq!(good.next().await.services.len(), 1);
    let mut bad = Watching::start(https(&agent, with("other.pem", &other)));
    bad.error("certificate").await;
    let careless = TlsOptions { insecure_skip_verify: true, ..with("other.pem", &other) };
    assert_eq!(Watching::start(https(&agent, careless)).next().await.services.len(), 1);
}

#[tokio::test]
async fn tls_presents_the_client_certificate() {
    let authority = Authority::new();
    let agent = Agent::over(Some(authority.server(true)), quiet).await;
    let (certificate, key) = authority.certificate("gateway");
    let mut tls = TlsOptions { ca: Some(file("ca.pem", &authority.issuer.pem())), ..TlsOptions::default() };
    Watching::start(https(&agent, tls.clone())).error("reach the consul agent").await;
    tls.cert = Some(file("client.pem", &certificate.pem()));
    tls.key = Some(file("client.key", &key.serialize_pem()));
    assert_eq!(Watching::start(https(&agent, tls)).next().await.services.len(), 1);
}

#[test]
fn what_cannot_work_is_refused_before_it_runs() {
    let refused = |config: ConsulConfig| match Watcher::new(config, |_, _| true) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    };
    let config = ConsulConfig::default();
    let https = |tls| ConsulConfig { scheme: Scheme::Https, tls, ..config.clone() };
    let ca = |path: PathBuf| TlsOptions { ca: Some(path), ..TlsOptions::default() };
    assert!(matches!(refused(ConsulConfig::new("consul")), ConsulError::Address { .. }));
    assert!(matches!(refused(https(ca("/no/such/file".into()))), ConsulError::File { .. }));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(https(ca(file("broken.pem", broken)))), ConsulError::Pem { .. }));
    let token = Some(TokenSource::Literal("a\nb".into()));
    assert!(matches!(refused(ConsulConfig { token, ..config.clone() }), ConsulError::Token));
}

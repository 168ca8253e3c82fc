//! A Consul Connect mesh: both sides prove which service they are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::consul::Consul;
use sluice_tests::gateway::Setup;
use sluice_tests::until;
use sluice_tests::upstream::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A proxy of the mesh that answers by itself, and the certificates it was shown.
struct Proxy {
    address: SocketAddr,
    shown: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl Proxy {
    /// Shows the certificate of `service`, and wants one of the mesh.
    async fn start(consul: &Consul, service: &str) -> Self {
        let config = Arc::new(member(consul, service).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shown) = (listener.local_addr().unwrap(), Arc::default());
        let seen: Arc<Mutex<Vec<_>>> = Arc::clone(&shown);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
                    seen.lock().unwrap().extend(certificates.into_iter().take(1).map(CertificateDer::into_owned));
                    let mut read = Vec::new();
                    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                        stream.read_buf(&mut read).await.ok().filter(|read| *read > 0)?;
                    }
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nmember";
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    stream.shutdown().await.ok()
                });
            }
        });
        Self { address, shown }
    }

    /// Whether somebody has shown a certificate with this in it.
    fn was_shown(&self, name: &str) -> bool {
        let shown = self.shown.lock().unwrap();
        shown.iter().any(|certificate| certificate.windows(name.len()).any(|part| part == name.as_bytes()))
    }
}

/// TLS as the mesh knows a service.
async fn member(consul: &Consul, service: &str) -> ServerConfig {
    let authorities = consul.get("/v1/agent/connect/ca/roots").await;
    let leaf = consul.get(&format!("/v1/agent/connect/ca/leaf/{service}")).await;
    let certificates = |pem: &serde_json::Value| {
        let all = CertificateDer::pem_slice_iter(pem.as_str().unwrap().as_bytes());
        all.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let mut roots = RootCertStore::empty();
    for root in authorities["Roots"].as_array().unwrap() {
        roots.add(certificates(&root["RootCert"]).remove(0)).unwrap();
    }
    let key = PrivateKeyDer::from_pem_slice(leaf["PrivateKeyPEM"].as_str().unwrap().as_bytes()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier);
    builder.with_single_cert(certificates(&leaf["CertPEM"]), key).unwrap()
}

fn service(name: &str, more: &[&str]) -> Service {
    let rule = format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)");
    Service::new(name, &[&["traefik.enable=true", &rule], more].concat())
}

#[tokio::test]
async fn members_are_asked_by_their_proxies_and_have_to_prove_their_name() {
    let Some(consul) = Consul::start().await else { return };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let bare = Upstream::echo().await;
    let (web, liar) = (Proxy::start(&consul, "web").await, Proxy::start(&consul, "web").await);
    let on = &["traefik.consulcatalog.connect=true"];
    for (name, more, proxy) in [("web", &on[..], Some(&web)), ("pay", on, Some(&liar)), ("plain", &[], None)] {
        let service = service(name, more).at(&bare);
        consul.register(&service).await;
        if let Some(proxy) = proxy {
            consul.register_proxy(&service, proxy.address).await;
        }
    }
    let gateway =
        Setup::with_consul(consul.address()).config("connect-aware = true\nservice-name = \"edge\"").start().await;
    until("the gateway is a member", async || gateway.get("web.test", "/").await.status() == 200).await;
    assert_eq!(gateway.get("web.test", "/").await.text(), "member");
    assert!(web.was_shown("/svc/edge"), "the gateway proves its own name");
    // The proxy proves to be another service.
    gateway.until_status("pay.test", 500).await;
    assert!(!liar.was_shown("/svc/edge"), "no request reaches it");
    until("others are asked themselves", async || gateway.get("plain.test", "/").await.status() == 200).await;
    let servers = gateway.api("/api/http/services/web@consulcatalog").await["loadBalancer"]["servers"].clone();
    assert_eq!(servers[0]["url"], format!("https://{}", web.address));
    let proxies = Request::get("web-proxy.test", "/").send(gateway.web()).await;
    assert_eq!(proxies.status(), 404, "a proxy is no service of its own");
}

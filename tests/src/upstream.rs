//! Instances for the gateway to send requests to: each records what reached it and answers as told.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::wire::{Head, Wire};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Request line and headers.
    pub head: Head,
    /// The whole body.
    pub body: Vec<u8>,
}

/// How an upstream answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// 200 with what it received, as JSON.
    Echo,
    /// This status and an empty body.
    Status(u16),
    /// As `Echo`, after a while.
    Slow(Duration),
    /// Reads the request and closes the connection.
    Close,
    /// These bytes, whatever they are; then the connection is closed.
    Raw(&'static [u8]),
}

/// A server on a port of its own; it stops when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    behaviour: Arc<Mutex<Behaviour>>,
    connections: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Upstream {
    /// Answers every request of every connection in the same way.
    pub async fn start(behaviour: Behaviour) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&received);
        let behaviour = Arc::new(Mutex::new(behaviour));
        let current = Arc::clone(&behaviour);
        let serve = move |wire| serve(wire, Arc::clone(&current), Arc::clone(&record));
        Self::listen(serve, received, behaviour).await
    }

    /// Answers in another way from the next request on.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn turn_into(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("lock") = behaviour;
    }

    /// As `Behaviour::Echo`.
    pub async fn echo() -> Self {
        Self::start(Behaviour::Echo).await
    }

    /// Hands every connection to the test.
    pub async fn custom<F>(serve: impl Fn(Wire) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::listen(serve, Arc::default(), Arc::new(Mutex::new(Behaviour::Echo))).await
    }

    async fn listen<F>(
        serve: impl Fn(Wire) -> F + Send + 'static,
        received: Arc<Mutex<Vec<Received>>>,
        behaviour: Arc<Mutex<Behaviour>>,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("learn the port");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let server = tokio::spawn(async move {
            let mut open = JoinSet::new(); // dropped with this task, and every connection with it
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                open.spawn(serve(Wire::new(stream)));
                while open.try_join_next().is_some() {}
            }
        });
        Self { address, received, behaviour, connections, server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests that arrived so far.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("lock").clone()
    }

    /// The requests for a target that arrived so far.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    #[must_use]
    pub fn count(&self, target: &str) -> usize {
        self.received().iter().filter(|request| request.head.word(1) == target).count()
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers until the connection ends or breaks; a broken one is the business of whoever broke it.
async fn serve(mut wire: Wire, behaviour: Arc<Mutex<Behaviour>>, record: Arc<Mutex<Vec<Received>>>) {
    while let Ok(Some(head)) = wire.read_head().await {
        let Ok(body) = wire.read_request_body(&head).await else { return };
        let request = Received { head, body };
        record.lock().expect("lock").push(request.clone());
        let behaviour = behaviour.lock().expect("lock").clone();
        if let Behaviour::Slow(delay) = behaviour {
            tokio::time::sleep(delay).await;
        }
        let sent = match behaviour {
            Behaviour::Close => return,
            Behaviour::Raw(bytes) => {
                let _ = wire.write(bytes).await;
                return;
            }
            Behaviour::Status(status) => wire.write(answer(status, "")).await,
            Behaviour::Echo | Behaviour::Slow(_) => wire.write(answer(200, &echo(&request))).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// An answer with a body of known length.
#[must_use]
pub fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn echo(request: &Received) -> String {
    let mut headers = BTreeMap::<String, Vec<&str>>::new();
    for (name, value) in &request.head.headers {
        headers.entry(name.to_ascii_lowercase()).or_default().push(value);
    }
    let (method, uri) = (request.head.word(0), request.head.word(1));
    let body = String::from_utf8_lossy(&request.body);
    let host = request.head.get("host");
    json!({ "method": method, "uri": uri, "host": host, "headers": headers, "body": body }).to_string()
}

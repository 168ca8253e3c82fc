//! The least a hyper proxy can be, as a mark for the gateway's own: a runtime on each core with a listener of its own
//! (`SO_REUSEPORT`) and a list of kept connections. No routes, no timeouts, no checks.
//!
//! Usage: bare-proxy ADDRESS UPSTREAM
#![allow(clippy::expect_used, reason = "a failing start is shown as it is")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

type Pool = Rc<RefCell<Vec<SendRequest<Incoming>>>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() {
    let mut addresses = std::env::args().skip(1).map(|text| text.parse::<SocketAddr>().expect("an address"));
    let (listen, upstream) = (addresses.next().expect("ADDRESS"), addresses.next().expect("UPSTREAM"));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().expect("start a runtime");
                LocalSet::new().block_on(&runtime, serve(listen, upstream));
            });
        }
    });
}

fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn serve(listen: SocketAddr, upstream: SocketAddr) {
    let listener = listen_on(listen).expect("listen");
    let pool = Pool::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let pool = Rc::clone(&pool);
        tokio::task::spawn_local(async move {
            stream.set_nodelay(true).ok();
            let service = service_fn(|request| forward(request, upstream, &pool));
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

async fn forward(request: Request<Incoming>, upstream: SocketAddr, pool: &Pool) -> Result<Response<Kept>, Failure> {
    let mut sender = match take(pool).await {
        Some(sender) => sender,
        None => connect(upstream).await?,
    };
    let answer = sender.send_request(request).await?;
    Ok(answer.map(|body| Kept { body, sender: Some(sender), pool: Rc::clone(pool) }))
}

/// A kept connection that is still open.
async fn take(pool: &Pool) -> Option<SendRequest<Incoming>> {
    let mut sender = pool.borrow_mut().pop()?;
    sender.ready().await.ok()?;
    Some(sender)
}

/// A body that puts its connection back once it was read to its end.
struct Kept {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    pool: Pool,
}

impl Body for Kept {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.pool.borrow_mut().extend(self.sender.take());
        }
    }
}

async fn connect(upstream: SocketAddr) -> Result<SendRequest<Incoming>, Failure> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

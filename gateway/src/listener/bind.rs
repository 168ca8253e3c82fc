//! Sockets for every worker, bound before any of them starts, so that a bad address is an error and not a surprise.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel may hold for a worker that is busy.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for entrypoint `{entrypoint}`: {source}")]
pub struct BindError {
    /// The entrypoint.
    pub entrypoint: String,
    /// Its address.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

/// As many sockets on one address as there are workers.
///
/// # Errors
/// [`BindError`], also where another process listens there already, which `SO_REUSEPORT` alone would not notice.
pub fn bind(entrypoint: &str, address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    let fail = |source| BindError { entrypoint: entrypoint.to_owned(), address, source };
    // Port 0 asks for any port; the first socket tells which one the others have to share.
    drop(socket(address, false).map_err(fail)?);
    let first = socket(address, true).map_err(fail)?;
    let address = first.local_addr().map_err(fail)?;
    let others = (1..workers).map(|_| socket(address, true).map_err(fail));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Linux hands it on to every connection that is accepted, which saves each of them a system call.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn workers_share_a_port_and_others_are_kept_out() {
        let sockets = bind("web", ([127, 0, 0, 1], 0).into(), 3).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        let alone = bind("web", ([127, 0, 0, 1], 0).into(), 1).unwrap();
        let _client = std::net::TcpStream::connect(alone[0].local_addr().unwrap()).unwrap();
        alone[0].set_nonblocking(false).unwrap();
        assert!(alone[0].accept().unwrap().0.nodelay().unwrap(), "connections send at once unasked");
        let error = bind("web", address, 1).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen on {address} for entrypoint `web`")));
    }
}

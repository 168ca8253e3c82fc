//! What the tests of several steps need.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use hyper::Request;

use crate::http::{Client, Exchange, Rules, TlsSession, Trust, accept};
use crate::proxy::chain::Stopped;

/// A request on the entrypoint `web` from 127.0.0.1, without TLS.
pub(super) fn exchange(method: &str, host: &str, target: &str) -> Box<Exchange> {
    on(false, method, host, target)
}

/// The same with TLS.
pub(super) fn exchange_with_tls(method: &str, host: &str, target: &str) -> Box<Exchange> {
    on(true, method, host, target)
}

fn on(tls: bool, method: &str, host: &str, target: &str) -> Box<Exchange> {
    let tls = tls.then(TlsSession::default);
    let trust = Some(Arc::new(Trust::default()));
    let client = Client::new(([127, 0, 0, 1], 40000).into(), "web".into(), 0, tls, trust, Rules::default());
    let request = Request::builder().method(method).uri(target).header("host", host).body(()).unwrap();
    accept(request.into_parts().0, Arc::new(client)).unwrap()
}

/// The status and location of an answer.
pub(super) fn answered(stopped: Option<Stopped>) -> (u16, Option<String>) {
    match stopped {
        Some(Stopped::Answered(response)) => {
            let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
            (response.status().as_u16(), location)
        }
        Some(Stopped::Failed(failure)) => panic!("{failure:?}"),
        None => panic!("not answered"),
    }
}

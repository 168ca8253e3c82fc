//! Whatever bytes come, in whatever pieces: the same verdict, and nothing hyper would stumble over.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWrite;

use super::*;
use crate::http::Rules;
use crate::timer::pass;

/// A socket that brings one piece for each read, and then nothing more.
struct Pieces {
    pieces: std::vec::IntoIter<Vec<u8>>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl AsyncRead for Pieces {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(piece) = this.pieces.next() else { return Poll::Pending };
        let (now, later) = piece.split_at(piece.len().min(buf.remaining()));
        buf.put_slice(now);
        if !later.is_empty() {
            let rest: Vec<Vec<u8>> = std::iter::once(later.to_vec()).chain(this.pieces.by_ref()).collect();
            this.pieces = rest.into_iter();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn limits() -> Limits {
    Limits { body_bytes: Some(100_000), ..Limits::default() }
}

fn guarded(bytes: &[u8], cuts: &[usize]) -> (StrictStream<Pieces>, Arc<Client>, Rc<RefCell<Vec<u8>>>) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let pieces: Vec<Vec<u8>> = cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect();
    let address = ([127, 0, 0, 1], 1).into();
    let client = Arc::new(Client::new(address, "web".into(), 0, None, None, Rules::default()));
    let written = Rc::new(RefCell::new(Vec::new()));
    let socket = Pieces { pieces: pieces.into_iter(), written: Rc::clone(&written) };
    let stream = StrictStream::new(socket, Arc::clone(&client), &limits(), &Timeouts::default());
    (stream, client, written)
}

/// What passes, without the mark, and the reason where something was refused.
pub(super) fn passed(bytes: &[u8], cuts: &[usize], room: usize) -> (Vec<u8>, Option<(&'static str, bool)>) {
    let (mut stream, client, _) = guarded(bytes, cuts);
    let mut out = Vec::new();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut space = vec![0; room];
    loop {
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut stream).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => out.extend_from_slice(buf.filled()),
            _ => break,
        }
    }
    let refused = client.refused().map(|refused| (refused.refusal.reason, refused.in_body));
    if matches!(refused, Some((_, false))) {
        assert!(out.ends_with(REFUSED), "{:?}", String::from_utf8_lossy(&out));
        out.truncate(out.len() - REFUSED.len());
    }
    (out, refused)
}

fn verdict(bytes: &[u8]) -> Option<&'static str> {
    passed(bytes, &[], 64 * 1024).1.map(|(reason, _)| reason)
}

#[test]
fn every_fault_has_its_reason() {
    let cases: [(&[u8], Option<&str>); 46] = [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GET / HTTP/1.0\r\n\r\n", None),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nX: \ta\xff\tb \r\nY:\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nContent-Length:  3 \r\n\r\nabcGET / HTTP/1.1\r\n\r\n", None),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3 ;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
        (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some("bad_request_line")),
        (b"GET  / HTTP/1.1\r\n\r\n", Some("bad_request_line")),
        (b"GET /\tx HTTP/1.1\r\n\r\n", Some("control_character")),
        (b"GET / HTTP/1.1 \r\n\r\n", Some("bad_request_line")),
        (b"GET /\r\n\r\n", Some("bad_request_line")),
        (b"G(T / HTTP/1.1\r\n\r\n", Some("bad_request_line")),
        (b"GET admin HTTP/1.1\r\n\r\n", Some("bad_target")),
        (b"GET refused HTTP/1.1\r\n\r\n", Some("bad_target")),
        (b"GET * HTTP/1.1\r\n\r\n", Some("bad_target")),
        (b"GET /a#b HTTP/1.1\r\n\r\n", Some("bad_target")),
        (b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", Some("bad_target")),
        (b"GET / HTTP/1.2\r\n\r\n", Some("unsupported_version")),
        (b"GET / HTTP/2.0\r\n\r\n", Some("unsupported_version")),
        (b"GET / HTTP/1.1x\r\n\r\n", Some("bad_request_line")),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", Some("connect")),
        (b"GET / HTTP/1.1\n", Some("bare_lf")),
        (b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n", Some("bare_lf")),
        (b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", Some("bare_cr")),
        (b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", Some("control_character")),
        (b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", Some("obs_fold")),
        (b"GET / HTTP/1.1\r\n X: a\r\n\r\n", Some("obs_fold")),
        (b"GET / HTTP/1.1\r\nX : a\r\n\r\n", Some("bad_header_name")),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", Some("bad_header_name")),
        (b"GET / HTTP/1.1\r\nX\r\n\r\n", Some("bad_header_name")),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", Some("duplicate_content_length")),
        (b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n", Some("bad_content_length")),
        (b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\n", Some("bad_content_length")),
        (b"POST / HTTP/1.1\r\nContent-Length: 100001\r\n\r\n", Some("body_too_large")),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Some("length_and_coding")),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Some("coding_on_http_10")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Some("unknown_transfer_encoding")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Some("bad_transfer_encoding")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", Some("control_character")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc", Some("bad_chunk")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX", Some("bad_chunk")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;\r\nabc\r\n", Some("bad_chunk")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX y: z\r\n\r\n", Some("bad_trailer")),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", Some("body_too_large")),
    ];
    for (bytes, reason) in cases {
        assert_eq!(verdict(bytes), reason, "{:?}", String::from_utf8_lossy(bytes));
        if reason.is_none() {
            assert_eq!(passed(bytes, &[], 64).0, bytes);
        }
    }
}

#[test]
fn lengths_have_limits() {
    let long = |target: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(target)).into_bytes();
    assert_eq!(verdict(&long(8 * 1024 - 1)), None);
    assert_eq!(verdict(&long(8 * 1024)), Some("target_too_long"));
    assert_eq!(verdict(&vec![b'a'; 9 * 1024]), Some("target_too_long"), "before the line has ended");
    let fields = |count: usize, len: usize| {
        format!("GET / HTTP/1.1\r\n{}\r\n", format!("X: {}\r\n", "a".repeat(len)).repeat(count)).into_bytes()
    };
    assert_eq!(verdict(&fields(100, 10)), None);
    assert_eq!(verdict(&fields(101, 10)), Some("too_many_headers"));
    assert_eq!(verdict(&fields(1, 30_000)), None);
    assert_eq!(verdict(&fields(1, 33_000)), Some("head_too_large"));
    let endless = fields(1, 33_000);
    assert_eq!(verdict(&endless[..32_900]), Some("head_too_large"), "before the line has ended");
    let extension = |len: usize| {
        format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{}\r\n", "a".repeat(len)).into_bytes()
    };
    assert_eq!(verdict(&extension(16_000)), None);
    assert_eq!(verdict(&extension(17_000)), Some("bad_chunk"));
}

#[test]
fn what_was_refused_is_shown_by_its_first_line() {
    let (mut stream, client, _) = guarded(b"GET /x HTTP/1.1\r\nX\x01\r\n\r\n", &[]);
    let mut space = [0; 100];
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut ReadBuf::new(&mut space)).is_ready());
    assert_eq!(client.refused().unwrap().line, "GET /x HTTP/1.1");
}

#[test]
fn bytes_behind_an_upgrade_wait_for_its_answer() {
    let (head, more) = (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".as_slice(), b"GET /\n".as_slice());
    for switches in [false, true] {
        let (mut stream, client, _) = guarded(&[head, more].concat(), &[]);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut read = |stream: &mut StrictStream<Pieces>| {
            let mut space = [0; 100];
            let mut buf = ReadBuf::new(&mut space);
            let ready = Pin::new(stream).poll_read(&mut cx, &mut buf).is_ready();
            ready.then(|| buf.filled().to_vec())
        };
        assert_eq!(read(&mut stream).unwrap(), head);
        assert_eq!(read(&mut stream), None);
        if switches {
            client.switch();
            assert_eq!(read(&mut stream).unwrap(), more);
        } else {
            client.note_answered();
            assert_eq!(read(&mut stream).unwrap(), REFUSED);
        }
    }
}

#[test]
fn a_rest_between_requests_has_its_limit_and_an_answer_under_way_has_none() {
    let (mut stream, client, _written) = guarded(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[]);
    let rest = Timeouts::default().keep_alive;
    let mut space = [0; 100];
    let mut read = |after: Duration| {
        pass(after);
        let mut buf = ReadBuf::new(&mut space);
        let ready = Pin::new(&mut stream).poll_read(&mut Context::from_waker(std::task::Waker::noop()), &mut buf);
        ready.is_ready().then(|| buf.filled().len())
    };
    assert_eq!(read(Duration::ZERO), Some(27));
    assert_eq!(read(Duration::ZERO), None);
    assert_eq!(read(2 * rest), None, "the answer is under way");
    client.note_answered();
    assert_eq!(read(2 * rest), None, "the rest begins when the answer has ended");
    assert_eq!(read(rest / 2), None);
    assert!(client.is_resting());
    assert_eq!(read(rest), Some(0), "an end");
}

/// What hyper does not read again once an answer is written is seen to all the same.
#[test]
fn the_end_of_an_answer_begins_a_rest_or_wakes_hyper() {
    struct Woken(std::sync::atomic::AtomicU32);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let rest = Timeouts::default().keep_alive;
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let with_more = format!("{upgrade}GET");
    for (request, now) in [(plain, 0), (upgrade, 1), (&*with_more, 1)] {
        let (mut stream, client, _written) = guarded(request.as_bytes(), &[]);
        let woken = Arc::new(Woken(0.into()));
        let count = || woken.0.load(std::sync::atomic::Ordering::Relaxed);
        let waker = std::task::Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut space = [0; 100];
        let mut read = |stream: &mut StrictStream<Pieces>, cx: &mut Context<'_>| {
            Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut space))
        };
        assert!(read(&mut stream, &mut cx).is_ready());
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        pass(2 * rest);
        assert_eq!(count(), 0, "{request}: the answer is under way");
        client.note_answered();
        for _ in 0..3 {
            assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        }
        assert_eq!(count(), now, "{request}");
        assert!(read(&mut stream, &mut cx).is_pending());
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        pass(2 * rest);
        assert!(count() > now, "{request}: a rest has a limit");
    }
}

/// Runs hyper behind the reader; answers how many requests it saw, marks not counted, and how it ended.
fn behind_hyper(bytes: &[u8], cuts: &[usize]) -> (usize, hyper::Result<()>) {
    let (stream, client, _written) = guarded(bytes, cuts);
    let seen = Rc::new(RefCell::new(0));
    let count = Rc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let (client, count) = (Arc::clone(&client), Rc::clone(&count));
        async move {
            let is_mark = request.uri().authority().is_some() && request.uri().scheme().is_none();
            *count.borrow_mut() += usize::from(!is_mark);
            // A body that breaks off is its reader's business.
            request.into_body().collect().await.ok();
            client.note_answered();
            let response = Response::builder().header("connection", if is_mark { "close" } else { "keep-alive" });
            Ok::<_, Infallible>(response.body(Empty::<hyper::body::Bytes>::new()).unwrap())
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let connection =
        hyper::server::conn::http1::Builder::new().half_close(false).serve_connection(TokioIo::new(stream), service);
    let ended = runtime.block_on(async {
        let mut connection = std::pin::pin!(connection);
        // The socket never ends, so hyper is polled until it has had every chance: it yields now and then.
        let mut ended = Poll::Pending;
        for _ in 0..100 {
            if ended.is_pending() {
                ended = std::future::poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await;
            }
        }
        ended
    });
    let seen = *seen.borrow();
    (
        seen,
        match ended {
            Poll::Ready(ended) => ended,
            Poll::Pending => Ok(()),
        },
    )
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"3;x=y\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\nT: v\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nUpgrade: x\r\n\r\n",
        b"PUT http://a/ HTTP/1.1\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"X: \t y\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b":",
        b"\0",
        b"a",
    ];
    prop_oneof![
        8 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(fragment(), 1..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn pieces_make_no_difference(bytes in stream(), cuts in proptest::collection::vec(any::<usize>(), 0..12), room in 1_usize..200) {
        let whole = passed(&bytes, &[], 64 * 1024);
        prop_assert!(bytes.starts_with(&whole.0));
        prop_assert_eq!(&whole, &passed(&bytes, &cuts, room));
        let every: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(&whole, &passed(&bytes, &every, 7));
    }

    #[test]
    fn hyper_never_stumbles(bytes in stream(), cuts in proptest::collection::vec(any::<usize>(), 0..12)) {
        let (whole, ended) = behind_hyper(&bytes, &[]);
        if let Err(error) = ended {
            prop_assert!(!error.is_parse() && !error.is_parse_too_large(), "{error} {:?}", String::from_utf8_lossy(&bytes));
        }
        let (pieces, ended) = behind_hyper(&bytes, &cuts);
        prop_assert_eq!(whole, pieces);
        if let Err(error) = ended {
            prop_assert!(!error.is_parse(), "{error} {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

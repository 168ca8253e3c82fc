//! The instance behind the plugin under test: answers what the case says and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cases::Reply;

/// A message as read from a connection. Header names are in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    /// Request or status line.
    pub(super) first: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// Listens for as long as the process lives, which is as long as its verb.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    reply: Reply,
    seen: Vec<Message>,
}

/// More than a case would send.
const MOST_BYTES: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

impl Upstream {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Ok(Self { address, shared })
    }

    /// Answers like this from now on, and forgets what it was asked.
    pub(super) fn expect(&self, reply: &Reply) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        *shared = Shared { reply: reply.clone(), seen: Vec::new() };
    }

    /// The last request since then.
    pub(super) fn last(&self) -> Option<Message> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).seen.last().cloned()
    }
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>) {
    // The gateway has its own reasons to end a connection.
    let Ok(clone) = stream.try_clone() else { return };
    let (mut reader, mut writer) = (BufReader::new(clone), stream);
    while let Ok(Some(message)) = read_message(&mut reader, false) {
        let reply = {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.seen.push(message);
            shared.reply.clone()
        };
        let mut head = format!("HTTP/1.1 {} Reply\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if writer.write_all(format!("{head}\r\n{}", reply.body).as_bytes()).is_err() {
            return;
        }
    }
}

/// Sends a request on a connection of its own.
pub(super) fn ask(address: SocketAddr, request: &super::cases::Request) -> io::Result<Message> {
    let mut stream = TcpStream::connect(address)?;
    let mut head =
        format!("{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", request.method, request.path, request.host);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !request.body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", request.body.len()));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{head}\r\n{}", request.body).as_bytes())?;
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without an answer");
    read_message(&mut BufReader::new(stream), true)?.ok_or_else(ended)
}

/// Reads one message; none at the end of a connection. `to_end` is where a body without a length goes to its end.
pub(super) fn read_message(reader: &mut impl BufRead, to_end: bool) -> io::Result<Option<Message>> {
    let mut message = Message::default();
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    message.first = line.trim_end().to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let values = message.headers.entry(name.to_ascii_lowercase()).or_default();
        let glue = if values.is_empty() { "" } else { ", " };
        values.push_str(&format!("{glue}{}", value.trim()));
    }
    let length = message.headers.get("content-length").and_then(|length| length.parse::<u64>().ok());
    if message.headers.get("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        read_chunks(reader, &mut message.body)?;
    } else if let Some(length) = length.map(|length| length.min(MOST_BYTES)) {
        reader.take(length).read_to_end(&mut message.body)?;
    } else if to_end {
        reader.take(MOST_BYTES).read_to_end(&mut message.body)?;
    }
    Ok(Some(message))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk without a size"))?;
        reader.take(size.min(MOST_BYTES)).read_to_end(body)?;
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn messages_are_read_in_every_framing() {
        let read = |text: &str, to_end| read_message(&mut text.as_bytes(), to_end).unwrap();
        let sized = read("GET / HTTP/1.1\r\nA: 1\r\na: 2\r\ncontent-length: 2\r\n\r\nhixx", false).unwrap();
        assert_eq!((sized.first.as_str(), sized.body.as_slice()), ("GET / HTTP/1.1", &b"hi"[..]));
        assert_eq!(sized.headers.get("a").map(String::as_str), Some("1, 2"));
        let chunked =
            read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n", true);
        assert_eq!(chunked.unwrap().body, b"hi!");
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\nto the end", true).unwrap().body, b"to the end");
        assert!(read("", true).is_none());
    }

    #[test]
    fn the_instance_answers_as_told_and_remembers() {
        let upstream = Upstream::start().unwrap();
        upstream.expect(&Reply { status: 418, body: "tea".to_owned(), ..Reply::default() });
        let request = super::super::cases::Request { body: "x".to_owned(), ..Default::default() };
        let answer = ask(upstream.address, &request).unwrap();
        assert_eq!((answer.first.as_str(), answer.body.as_slice()), ("HTTP/1.1 418 Reply", &b"tea"[..]));
        assert_eq!(upstream.last().unwrap().body, b"x");
    }
}

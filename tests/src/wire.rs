//! HTTP/1.1 on a socket, for both ends, with control over every byte: no library tidies what a test sends or sees.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A read that takes longer is an error of kind `TimedOut`.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// The first line and the headers of a message, as sent.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The request line or the status line.
    pub start: String,
    /// Names and values in their order.
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> io::Result<Self> {
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("no header: {line}")))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { start, headers })
    }

    /// A word of the first line.
    #[must_use]
    pub fn word(&self, index: usize) -> &str {
        self.start.split(' ').nth(index).unwrap_or_default()
    }

    /// The status of an answer, 0 where there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_default()
    }

    /// Every value of a header.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let matching = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    fn framing(&self, of_answer: bool) -> Framing {
        let bodiless = of_answer && matches!(self.status(), 100..=199 | 204 | 304);
        let chunked = self.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = self.get("content-length").and_then(|value| value.parse().ok());
        match (bodiless, chunked, length) {
            (true, ..) => Framing::Length(0),
            (_, true, _) => Framing::Chunked,
            (.., Some(length)) => Framing::Length(length),
            _ if of_answer => Framing::UntilClose,
            _ => Framing::Length(0),
        }
    }
}

enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// One connection and what was read ahead from it.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    trailers: Vec<String>,
}

impl Wire {
    /// Takes over an accepted connection.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        // Small writes are the point of several tests; a socket that cannot do this is still usable.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: Vec::new(), trailers: Vec::new() }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The socket's.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(address).await.map(Self::new)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The socket's.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends one chunk of a chunked body; an empty one ends the body.
    ///
    /// # Errors
    /// The socket's.
    pub async fn write_chunk(&mut self, data: &[u8]) -> io::Result<()> {
        let head = format!("{:x}\r\n", data.len());
        self.write([head.as_bytes(), data, b"\r\n"].concat()).await
    }

    /// Reads a head, or none where the connection ends before its first byte.
    ///
    /// # Errors
    /// The socket's, and `InvalidData` for what is no head.
    pub async fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                return Head::parse(&text).map(Some);
            }
            if self.fill().await? == 0 {
                let clean = self.buffer.is_empty();
                return if clean { Ok(None) } else { Err(bad("the connection ended within a head".to_owned())) };
            }
        }
    }

    /// Reads the body that a request's head announces.
    ///
    /// # Errors
    /// The socket's, and `UnexpectedEof` for a body that breaks off.
    pub async fn read_request_body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        self.read_body(head.framing(false)).await
    }

    /// Reads the body that an answer's head announces.
    ///
    /// # Errors
    /// The socket's, and `UnexpectedEof` for a body that breaks off.
    pub async fn read_answer_body(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        self.read_body(head.framing(true)).await
    }

    async fn read_body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => self.read_exactly(length).await,
            Framing::UntilClose => {
                while self.fill().await? > 0 {}
                Ok(std::mem::take(&mut self.buffer))
            }
            Framing::Chunked => {
                let mut body = Vec::new();
                while let Some(chunk) = self.read_chunk().await? {
                    body.extend(chunk);
                }
                Ok(body)
            }
        }
    }

    /// Reads one chunk of a chunked body, or none at its end.
    ///
    /// # Errors
    /// The socket's, and `InvalidData` for broken chunks.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.read_line().await?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| bad(format!("no chunk size: {line}")))?;
        if size == 0 {
            self.trailers.clear();
            loop {
                match self.read_line().await? {
                    line if line.is_empty() => return Ok(None),
                    line => self.trailers.push(line),
                }
            }
        }
        let chunk = self.read_exactly(size).await?;
        let end = self.read_line().await?;
        if end.is_empty() { Ok(Some(chunk)) } else { Err(bad(format!("a chunk is followed by {end}"))) }
    }

    /// The lines after the last chunked body.
    #[must_use]
    pub fn trailers(&self) -> &[String] {
        &self.trailers
    }

    /// Reads a number of bytes.
    ///
    /// # Errors
    /// The socket's, and `UnexpectedEof` when the connection ends before.
    pub async fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill().await? == 0 {
                let text = format!("{} bytes of {count} arrived", self.buffer.len());
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.fill().await? == 0 {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended within a line"));
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let late = |_| io::Error::new(ErrorKind::TimedOut, format!("nothing arrived within {READ_LIMIT:?}"));
        timeout(READ_LIMIT, self.stream.read_buf(&mut self.buffer)).await.map_err(late)?
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn bad(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

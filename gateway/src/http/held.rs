//! Bodies that are read to their end before they go on: they can be measured, and sent more than once. What exceeds
//! memory goes to a file without a name, which is gone when the last use of the body is.

use std::collections::VecDeque;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::BodyError;

/// How much of a body is taken, and where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct HoldLimits {
    /// Nothing longer is taken.
    pub most: u64,
    /// What exceeds this goes to a file.
    pub in_memory: u64,
}

/// A whole body. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Held {
    content: Arc<Content>,
}

#[derive(Debug, Default)]
struct Content {
    /// The beginning.
    memory: Vec<Bytes>,
    /// The rest, and how long it is.
    file: Option<(Arc<File>, u64)>,
    length: u64,
    trailers: Option<HeaderMap>,
}

/// What became of a body that was to be held.
pub enum Taken {
    /// It is here.
    Whole(Held),
    /// It is longer than the limit. This is what was read of it, unless a part of that went to a file.
    TooLong(VecDeque<Bytes>),
}

/// A held body on its way.
#[derive(Debug)]
pub struct Replay {
    held: Held,
    chunk: usize,
    offset: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    trailers_sent: bool,
}

/// Read back at once.
const FILE_CHUNK: u64 = 64 * 1024;

impl Held {
    /// Reads a body to its end, or to the limit.
    ///
    /// # Errors
    /// The body's own, and those of the file it goes to.
    pub async fn take(
        body: &mut (impl HttpBody<Data = Bytes, Error = BodyError> + Unpin),
        limits: HoldLimits,
    ) -> Result<Taken, BodyError> {
        let mut content = Content::default();
        if body.size_hint().exact().is_some_and(|length| length > limits.most) {
            return Ok(Taken::TooLong(VecDeque::new()));
        }
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            match frame?.into_data() {
                Ok(data) => content.add(data, limits).await.map_err(BodyError::Lost)?,
                Err(other) => content.trailers = other.into_trailers().ok(),
            }
            if content.length > limits.most {
                return Ok(Taken::TooLong(content.memory.into()));
            }
        }
        Ok(Taken::Whole(Self { content: Arc::new(content) }))
    }

    /// A body that is there already.
    #[must_use]
    pub fn of(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self { content: Arc::new(Content { memory: vec![bytes], length, ..Content::default() }) }
    }

    /// The body, once more from its beginning.
    #[must_use]
    pub fn replay(&self) -> Replay {
        Replay { held: self.clone(), chunk: 0, offset: 0, reading: None, trailers_sent: false }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.content.length
    }

    /// Whether there is nothing of it, not even trailers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.length == 0 && self.content.trailers.is_none()
    }
}

impl Content {
    async fn add(&mut self, data: Bytes, limits: HoldLimits) -> io::Result<()> {
        self.length += data.len() as u64;
        if self.file.is_none() && self.length <= limits.in_memory.min(limits.most) {
            self.memory.push(data);
            return Ok(());
        }
        // Beyond the limit nothing has to be kept but what is in memory.
        if self.length > limits.most {
            self.memory.push(data);
            return Ok(());
        }
        let (file, written) = match self.file.take() {
            Some(known) => known,
            None => (Arc::new(spawn_blocking(tempfile::tempfile).await.map_err(io::Error::other)??), 0),
        };
        let end = written + data.len() as u64;
        let target = Arc::clone(&file);
        spawn_blocking(move || target.write_all_at(&data, written)).await.map_err(io::Error::other)??;
        self.file = Some((file, end));
        Ok(())
    }
}

impl Replay {
    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some((file, length)) = &self.held.content.file else { return Poll::Ready(None) };
        let left = length - self.offset;
        if left == 0 {
            return Poll::Ready(None);
        }
        let (file, offset) = (Arc::clone(file), self.offset);
        let reading = self.reading.get_or_insert_with(|| {
            spawn_blocking(move || {
                let mut chunk = vec![0; usize::try_from(left.min(FILE_CHUNK)).unwrap_or(0)];
                file.read_exact_at(&mut chunk, offset)?;
                Ok(chunk.into())
            })
        });
        let read = ready!(Pin::new(reading).poll(cx)).unwrap_or_else(|error| Err(io::Error::other(error)));
        self.reading = None;
        Poll::Ready(Some(read.map_err(BodyError::Lost).map(|bytes: Bytes| {
            self.offset += bytes.len() as u64;
            Frame::data(bytes)
        })))
    }
}

impl HttpBody for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(chunk) = this.held.content.memory.get(this.chunk) {
            this.chunk += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if let Some(frame) = ready!(this.poll_file(cx)) {
            return Poll::Ready(Some(frame));
        }
        let trailers = this.held.content.trailers.as_ref().filter(|_| !this.trailers_sent);
        let frame = trailers.map(|trailers| Ok(Frame::trailers(trailers.clone())));
        this.trailers_sent = true;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let content = &self.held.content;
        self.chunk >= content.memory.len()
            && content.file.as_ref().is_none_or(|(_, length)| self.offset >= *length)
            && (self.trailers_sent || content.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        let content = &self.held.content;
        match content.trailers {
            // With a length there is no place for trailers.
            Some(_) => SizeHint::default(),
            None => {
                let sent: u64 = content.memory.iter().take(self.chunk).map(|chunk| chunk.len() as u64).sum();
                SizeHint::with_exact(content.length - sent - self.offset)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn made_of(pieces: &[&'static str], trailers: Option<HeaderMap>) -> Replay {
        let memory: Vec<_> = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        let length = memory.iter().map(|piece| piece.len() as u64).sum();
        let held = Held { content: Arc::new(Content { memory, file: None, length, trailers }) };
        held.replay()
    }

    async fn whole(pieces: &[&'static str], limits: HoldLimits) -> Option<Held> {
        match Held::take(&mut made_of(pieces, None), limits).await.unwrap() {
            Taken::Whole(held) => Some(held),
            Taken::TooLong(_) => None,
        }
    }

    async fn read(mut replay: Replay) -> (String, Option<HeaderMap>) {
        let (mut text, mut trailers) = (Vec::new(), None);
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut replay).poll_frame(cx)).await {
            match frame.unwrap().into_data() {
                Ok(data) => text.extend(data),
                Err(other) => trailers = other.into_trailers().ok(),
            }
        }
        assert!(replay.is_end_stream());
        (String::from_utf8(text).unwrap(), trailers)
    }

    #[tokio::test]
    async fn a_body_comes_again_as_often_as_wanted_wherever_it_is_kept() {
        for in_memory in [100, 5, 4, 0] {
            let held = whole(&["abc", "de", "fghij"], HoldLimits { most: 10, in_memory }).await.unwrap();
            assert_eq!(held.length(), 10);
            assert_eq!(held.content.file.is_some(), in_memory < 10, "{in_memory}");
            for _ in 0..2 {
                assert_eq!(held.replay().size_hint().exact(), Some(10));
                assert_eq!(read(held.replay()).await.0, "abcdefghij", "{in_memory}");
            }
        }
    }

    #[tokio::test]
    async fn nothing_longer_than_the_limit_is_taken() {
        for in_memory in [100, 0] {
            assert!(whole(&["abc", "de"], HoldLimits { most: 4, in_memory }).await.is_none());
            assert!(whole(&["abc", "d"], HoldLimits { most: 4, in_memory }).await.is_some());
        }
        assert!(whole(&[], HoldLimits { most: 0, in_memory: 0 }).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn trailers_come_last_and_leave_the_length_open() {
        let trailers = HeaderMap::from_iter([("x-a".parse().unwrap(), "1".parse().unwrap())]);
        let mut body = made_of(&["abc"], Some(trailers.clone()));
        let Taken::Whole(held) = Held::take(&mut body, HoldLimits { most: 9, in_memory: 9 }).await.unwrap() else {
            panic!("it is not too long");
        };
        assert_eq!(held.replay().size_hint().exact(), None);
        assert_eq!(read(held.replay()).await, ("abc".to_owned(), Some(trailers)));
    }
}

//! An upstream's body in a shorter coding, frame by frame. What is in the encoder is flushed whenever the upstream
//! pauses, so that nothing is held back for longer than the upstream takes.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::http::{BodyError, Streaming};
use crate::live::native::Coding;

/// Above this, brotli takes more time for an answer than its shorter way saves.
const BROTLI_QUALITY: u32 = 4;
/// The size of the window brotli looks back into, as a power of two.
const BROTLI_WINDOW: u32 = 20;
/// Brotli gathers as much before it writes.
const BROTLI_BUFFER: usize = 4096;
/// zstd's own choice.
const ZSTD_LEVEL: i32 = 0;

/// The body in a coding.
pub(super) fn compressed(body: Box<dyn Streaming>, coding: Coding) -> Box<dyn Streaming> {
    let encoder = Encoder::new(coding);
    Box::new(Compressed { body, encoder, state: State::Flushed, trailers: None })
}

struct Compressed {
    body: Box<dyn Streaming>,
    /// `None` where it cannot be set up, and once it is finished.
    encoder: io::Result<Encoder>,
    state: State,
    trailers: Option<HeaderMap>,
}

enum State {
    /// Nothing is in the encoder.
    Flushed,
    /// Something may be in the encoder.
    Written,
    /// The body has ended; what was in the encoder is out.
    Finished,
}

/// Encoders that write into memory.
enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
            Coding::Brotli => {
                let (quality, window) = (BROTLI_QUALITY, BROTLI_WINDOW);
                Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, quality, window)))
            }
            Coding::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    /// What has come out so far.
    fn output(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// All that is still to come out.
    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Compressed {
    /// Passes one step on: a frame of the body into the encoder, or what a pause or the end brings out of it.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, BodyError>> {
        let polled = match Pin::new(&mut *self.body).poll_frame(cx) {
            Poll::Pending if matches!(self.state, State::Flushed) => return Poll::Pending,
            polled => polled,
        };
        let frame = match polled {
            Poll::Ready(frame) => frame.transpose()?,
            Poll::Pending => {
                self.state = State::Flushed;
                return Poll::Ready(self.encode(|encoder| encoder.writer().flush()));
            }
        };
        Poll::Ready(match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                self.state = State::Written;
                self.encode(|encoder| encoder.writer().write_all(&data))
            }
            Some(Err(other)) => {
                self.trailers = other.into_trailers().ok();
                Ok(Vec::new())
            }
            None => {
                self.state = State::Finished;
                let encoder = std::mem::replace(&mut self.encoder, Err(io::ErrorKind::BrokenPipe.into()));
                encoder.and_then(Encoder::finish).map_err(BodyError::Lost)
            }
        })
    }

    fn encode(&mut self, work: impl FnOnce(&mut Encoder) -> io::Result<()>) -> Result<Vec<u8>, BodyError> {
        match &mut self.encoder {
            Ok(encoder) => work(encoder).map(|()| encoder.output()).map_err(BodyError::Lost),
            Err(error) => Err(BodyError::Lost(error.kind().into())),
        }
    }
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if let State::Finished = this.state {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let bytes = ready!(this.poll_step(cx))?;
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes)))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Streaming for Compressed {}

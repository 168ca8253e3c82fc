//! Where one message ends and the next begins: the state of a whole connection, apart from any socket.

use hyper::StatusCode;

use super::chunks::ChunkScan;
use super::head::{Framing, Head, HeadLimits, HeadScan, HeadStep};
use crate::config::Limits;
use crate::http::ingress::Refusal;

/// Follows the messages of a connection through its bytes.
#[derive(Debug)]
pub(super) struct Messages {
    limits: HeadLimits,
    body_limit: u64,
    at: At,
    /// Heads passed on so far.
    heads: u32,
    odd_names: bool,
}

#[derive(Debug)]
enum At {
    Head(HeadScan),
    Length {
        left: u64,
        upgrade: bool,
    },
    Chunked {
        scan: ChunkScan,
        upgrade: bool,
    },
    /// Behind a message that asked for another protocol.
    Undecided,
    Refused,
}

/// What to do with the bytes at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// So many may be passed on.
    pub(super) passed: usize,
    /// What follows them may not.
    pub(super) refused: Option<Fault>,
}

/// Where a refusal hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing of the request was passed on.
    Head(Refusal),
    /// Its head was.
    Body(Refusal),
}

impl Messages {
    pub(super) fn new(limits: &Limits) -> Self {
        let head = HeadLimits { bytes: limits.header_bytes, fields: limits.header_count, target: limits.uri_bytes };
        let body_limit = limits.body_bytes.unwrap_or(u64::MAX);
        Self { limits: head, body_limit, at: At::Head(HeadScan::default()), heads: 0, odd_names: false }
    }

    /// Goes on with `bytes`. Those that were not passed the last time have to come first again.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Verdict {
        let mut passed = 0;
        loop {
            let rest = bytes.get(passed..).unwrap_or_default();
            if rest.is_empty() {
                return Verdict { passed, refused: None };
            }
            match self.step(rest) {
                Ok(0) => return Verdict { passed, refused: None },
                Ok(taken) => passed += taken,
                Err((taken, fault)) => {
                    self.at = At::Refused;
                    return Verdict { passed: passed + taken, refused: Some(fault) };
                }
            }
        }
    }

    /// Takes what belongs to one head or one stretch of a body.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, (usize, Fault)> {
        match &mut self.at {
            At::Head(scan) => match scan.scan(bytes, &self.limits) {
                HeadStep::More => Ok(0),
                HeadStep::Refused(refusal) => Err((0, Fault::Head(refusal))),
                HeadStep::Whole(head) => self.enter_body(&head).map_err(|refusal| (0, Fault::Head(refusal))),
            },
            At::Length { left, upgrade } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.at = after(*upgrade);
                }
                Ok(taken)
            }
            At::Chunked { scan, upgrade } => {
                let (taken, refused) = scan.scan(bytes);
                if let Some(refusal) = refused {
                    return Err((taken, Fault::Body(refusal)));
                }
                if scan.is_over() {
                    self.at = after(*upgrade);
                }
                Ok(taken)
            }
            At::Undecided | At::Refused => Ok(0),
        }
    }

    fn enter_body(&mut self, head: &Head) -> Result<usize, Refusal> {
        let upgrade = head.upgrade;
        self.at = match head.body {
            Framing::Length(0) => after(upgrade),
            Framing::Length(left) if left > self.body_limit => {
                return Err(Refusal { reason: "body_too_large", status: StatusCode::PAYLOAD_TOO_LARGE });
            }
            Framing::Length(left) => At::Length { left, upgrade },
            Framing::Chunked => At::Chunked { scan: ChunkScan::new(self.body_limit), upgrade },
        };
        self.heads = self.heads.wrapping_add(1);
        self.odd_names |= head.odd_names;
        Ok(head.len)
    }

    /// Heads passed on so far.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// Whether one of them has a header with an unusual name.
    pub(super) fn odd_names(&self) -> bool {
        self.odd_names
    }

    /// Whether a head is awaited or has begun.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.at, At::Head(_))
    }

    /// Whether what follows may belong to another protocol.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self.at, At::Undecided)
    }

    /// The other protocol was not accepted: what follows is a request.
    pub(super) fn stay(&mut self) {
        self.at = At::Head(HeadScan::default());
    }

    /// Nothing more is passed on.
    pub(super) fn refuse(&mut self) {
        self.at = At::Refused;
    }
}

fn after(upgrade: bool) -> At {
    if upgrade { At::Undecided } else { At::Head(HeadScan::default()) }
}

//! One configured check: what becomes of a request.

use std::hash::{BuildHasher, Hasher, RandomState};

use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::state::Cell;
use sluice_plugin_sdk::policy::{Field, Fields, Reply, Subscription, Verdict, clock, exchange};

use crate::basic::Basic;
use crate::digest::{Asked, Digest, Proven, Refusal};
use crate::settings::{Kind, Settings};

/// A configured check.
pub(crate) struct Check {
    way: Way,
    realm: String,
    remove_header: bool,
    header_field: Option<String>,
}

/// How a name is proven.
enum Way {
    Basic(Box<Basic>),
    Digest {
        digest: Box<Digest>,
        /// What nonces are proven with, the same for all workers.
        secret: Cell,
        /// The highest count of each nonce.
        counts: Cell,
    },
}

impl Check {
    /// Opens what it keeps in the host.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let Settings { kind, realm, remove_header, header_field } = settings;
        let way = match kind {
            Kind::Basic(users) => {
                let key = [random().to_le_bytes(), random().to_le_bytes()].concat();
                Way::Basic(Box::new(Basic::new(users, key.try_into().unwrap_or_default())))
            }
            Kind::Digest(users) => Way::Digest {
                digest: Box::new(Digest { users, realm: realm.clone(), secret: [0; 2] }),
                secret: Cell::open("secret")?,
                counts: Cell::open("counts")?,
            },
        };
        Ok(Self { way, realm, remove_header, header_field })
    }

    pub(crate) fn subscription(&self) -> Subscription {
        let authorization = Field::Header("authorization".to_owned());
        match self.way {
            Way::Basic(_) => Subscription::new().on_request([authorization]),
            Way::Digest { .. } => {
                Subscription::new().on_request([authorization, Field::Method, Field::Path, Field::Query])
            }
        }
    }

    pub(crate) fn decide(&mut self, fields: &Fields) -> Verdict {
        let authorization = fields.get(0).unwrap_or_default();
        match &mut self.way {
            Way::Basic(basic) => match basic.check(authorization) {
                Some(name) => self.pass(&name),
                None => Verdict::Respond(challenge(format!(r#"Basic realm="{}""#, self.realm))),
            },
            Way::Digest { digest, secret, counts } => {
                digest.secret = shared(*secret);
                let asked = Asked {
                    method: fields.get(1).unwrap_or_default(),
                    path: fields.get(2).unwrap_or_default(),
                    query: fields.get(3),
                };
                let now_ms = clock::wall_ms();
                match digest.check(authorization, asked, now_ms).and_then(|proven| once(*counts, proven)) {
                    Ok(name) => self.pass(&name),
                    Err(refusal) => Verdict::Respond(challenge(digest.challenge(refusal == Refusal::Stale, now_ms))),
                }
            }
        }
    }

    fn pass(&self, name: &str) -> Verdict {
        exchange::annotate("user", name);
        let set = self.header_field.as_ref().map(|field| exchange::set_request_header(field, name));
        let removed = self.remove_header.then(|| exchange::remove_request_header("authorization"));
        for reason in [set, removed].into_iter().flatten().filter_map(Result::err) {
            log::warn(&format!("a request passes with other headers than it should: {reason}"));
        }
        Verdict::next()
    }
}

/// 401 with what a client has to answer.
fn challenge(header: String) -> Reply {
    Reply::text(401, "401 Unauthorized\n").with_header("WWW-Authenticate", header)
}

/// The name of whoever has proven it, if the nonce has not been used with this count or a higher one.
fn once(counts: Cell, proven: Proven) -> Result<String, Refusal> {
    let Proven { name, nonce, count } = proven;
    let mut highest = counts.load(&nonce);
    while count > highest {
        match counts.swap_if(&nonce, highest, count) {
            Ok(()) => return Ok(name),
            Err(other) => highest = other,
        }
    }
    Err(Refusal::Stale)
}

/// The secret all workers use: whoever needs it first makes it.
fn shared(secret: Cell) -> [u64; 2] {
    ["first", "second"].map(|key| match secret.load(key) {
        0 => {
            let made = random().max(1);
            secret.swap_if(key, 0, made).map_or_else(|other| other, |()| made)
        }
        known => known,
    })
}

/// Random enough for secrets: the standard library's hashers have keys from the system.
fn random() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(clock::now_ns());
    hasher.finish()
}

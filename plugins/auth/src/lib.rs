//! Who may pass: whoever knows a name and its password, sent as they are (`basic`) or as a proof (`digest`).
//!
//! This file is the glue; `settings` says what an operator can set, `users` and `hash` are the names and what proves
//! them, and `basic` and `digest` the kinds.

mod basic;
mod digest;
mod hash;
mod remembered;
mod settings;
mod users;

use std::hash::{BuildHasher, Hasher, RandomState};

use basic::Basic;
use digest::{Asked, Digest, Proven, Refusal};
use settings::{Kind, RawSettings, Settings};
use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::state::Cell;
use sluice_plugin_sdk::policy::{Field, Fields, Policy, Reply, Subscription, Verdict, clock, exchange};

/// A configured check.
struct Auth {
    check: Check,
    realm: String,
    remove_header: bool,
    header_field: Option<String>,
}

enum Check {
    Basic(Box<Basic>),
    Digest {
        digest: Box<Digest>,
        /// What nonces are proven with, the same for all workers.
        secret: Cell,
        /// The highest count of each nonce.
        counts: Cell,
    },
}

impl Policy for Auth {
    type Settings = RawSettings;

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn configure(settings: RawSettings) -> Result<(Self, Subscription), String> {
        let Settings { kind, realm, remove_header, header_field } = Settings::check(settings)?;
        let authorization = Field::Header("authorization".to_owned());
        let wanted = Subscription::new();
        let (check, wanted) = match kind {
            Kind::Basic(users) => {
                let key = [random().to_le_bytes(), random().to_le_bytes()].concat();
                let basic = Basic::new(users, key.try_into().unwrap_or_default());
                (Check::Basic(Box::new(basic)), wanted.on_request([authorization]))
            }
            Kind::Digest(users) => {
                let digest = Box::new(Digest { users, realm: realm.clone(), secret: [0; 2] });
                let (secret, counts) = (Cell::open("secret")?, Cell::open("counts")?);
                let fields = [authorization, Field::Method, Field::Path, Field::Query];
                (Check::Digest { digest, secret, counts }, wanted.on_request(fields))
            }
        };
        Ok((Self { check, realm, remove_header, header_field }, wanted))
    }

    fn on_request(&mut self, fields: Fields) -> Verdict {
        let authorization = fields.get(0).unwrap_or_default();
        match &mut self.check {
            Check::Basic(basic) => match basic.check(authorization) {
                Some(name) => self.pass(&name),
                None => Verdict::Respond(challenge(format!(r#"Basic realm="{}""#, self.realm))),
            },
            Check::Digest { digest, secret, counts } => {
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
}

impl Auth {
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

sluice_plugin_sdk::export_policy!(Auth);

#[cfg(test)]
mod tests;

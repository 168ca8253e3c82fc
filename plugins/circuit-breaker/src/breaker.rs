//! One configured breaker: what becomes of requests, and what their ends mean for it.

use std::collections::HashMap;
use std::time::Duration;

use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::state::{Forced, Gate, GateSpec, forced};
use sluice_plugin_sdk::policy::{Fields, Outcome, Reply, Reroute, Subscription, Verdict, clock, exchange, random};
use sluice_policy_kit::duration;
use sluice_policy_kit::status::reason_phrase;

use crate::machine::{Admission, Machine, Phase};
use crate::measure::{Class, Measure};
use crate::report;
use crate::settings::{Fallback, Scope, Settings, Trigger};

/// Keys are numbered, for an exchange keeps a number and no text. There are as many as there are routes or services;
/// where a client can choose them, those beyond this share the last number.
const MAX_KEYS: usize = 4096;
/// Above the key's number in what an exchange keeps: that it is a probe, and of which round.
const PROBE: u64 = 1 << 48;
const ROUND_SHIFT: u32 = 32;

/// A breaker for each key.
pub(crate) struct Breaker {
    settings: Settings,
    measure: Measure,
    machine: Machine,
    keys: Keys,
    /// How many requests each key has at once, where that is limited.
    bulkhead: Option<Gate>,
    /// For keys that are made of several values.
    buffer: String,
}

impl Breaker {
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        settings.notes.iter().for_each(|note| log::warn(note));
        let measure = Measure::open(&settings)?;
        let machine = Machine::open(settings.timing.clone())?;
        let open = |limit| Gate::open("in-flight", &GateSpec::fixed(limit));
        let bulkhead = settings.max_in_flight.map(open).transpose()?;
        Ok(Self { settings, measure, machine, keys: Keys::default(), bulkhead, buffer: String::new() })
    }

    pub(crate) fn subscription(&self) -> Subscription {
        match &self.settings.scope {
            Scope::Instance => Subscription::new().on_complete(),
            Scope::Source(source) => Subscription::new().on_request(source.fields()).on_complete(),
        }
    }

    pub(crate) fn on_request(&mut self, fields: &Fields) -> Verdict {
        let Scope::Source(source) = &self.settings.scope else { return Verdict::next() };
        let buffer = &mut self.buffer;
        let number = match source.is_plain() {
            true => self.keys.marked(fields.mark(), move || source.key(fields, 0, buffer)),
            false => self.keys.number(source.key(fields, 0, buffer)),
        };
        match forced() {
            None => {}
            Some(Forced::Open) => return self.refuse("open", Duration::ZERO),
            Some(Forced::Closed) => return Verdict::Next(number),
            Some(Forced::Disabled) => return Verdict::next(),
        }
        let Some(Key { text: key, .. }) = self.keys.get(number) else { return Verdict::next() };
        if self.bulkhead.is_some_and(|gate| !gate.enter(key, 0).granted) {
            return self.refuse_or_pass("full", Duration::ZERO, number);
        }
        if let Some(factor) = self.settings.soft {
            let refused = random::unit() < self.measure.excess(key, factor);
            if refused {
                self.measure.refused_softly(key);
                return self.refuse_or_pass("open", Duration::ZERO, number);
            }
            return Verdict::Next(number);
        }
        if self.machine.is_closed(key) {
            return Verdict::Next(number);
        }
        let shadow = self.settings.shadow;
        let mut changed = |phase| report::transition(key, phase, why(phase), shadow);
        match self.machine.admit(key, clock::now(), &mut changed) {
            Admission::Pass => Verdict::Next(number),
            Admission::Probe(round) => Verdict::Next(number | PROBE | u64::from(round) << ROUND_SHIFT),
            Admission::Refuse { retry_in } => self.refuse_or_pass("open", retry_in, number),
        }
    }

    pub(crate) fn on_complete(&mut self, context: u64, outcome: &Outcome) {
        let of_instance = self.settings.scope == Scope::Instance;
        let number = match of_instance {
            true if outcome.instance.is_empty() || matches!(forced(), Some(Forced::Disabled | Forced::Closed)) => {
                return;
            }
            true => self.keys.number(&outcome.instance),
            false => context & u64::from(u32::MAX),
        };
        let Self { settings, measure, machine, keys, .. } = self;
        let Some(Key { text: key, quiet_until }) = keys.get_mut(number) else { return };
        let class = measure.observe(key, settings, outcome);
        if settings.soft.is_some() || class == Class::Ignored {
            return;
        }
        let now = clock::now();
        let at_once = matches!(settings.trigger, Trigger::Consecutive(_)) && class == Class::Failure;
        let is_probe = context & PROBE != 0;
        if now < *quiet_until && !at_once && !is_probe {
            return;
        }
        let due = measure.check_due(key, now, settings.check_period);
        *quiet_until = due.err().unwrap_or(now + settings.check_period);
        let key = std::mem::take(key);
        if of_instance {
            // Nobody asks for an instance's breaker; its time passes here.
            machine.admit(&key, now, &mut |phase| report::transition(&key, phase, why(phase), settings.shadow));
        }
        if is_probe {
            self.probe_ended(&key, (context >> ROUND_SHIFT & 0xFFFF) as u16, class, now);
        }
        if (at_once || due.is_ok())
            && self.machine.phase(&key) != Phase::Open
            && let Some(reason) = self.measure.verdict(&key, &self.settings)
        {
            self.trip(&key, now, &reason);
        }
        if let Some(known) = self.keys.get_mut(number) {
            known.text = key;
        }
    }

    fn probe_ended(&self, key: &str, round: u16, class: Class, now: Duration) {
        match class {
            Class::Failure => self.trip(key, now, "a probe failed"),
            Class::Success if self.machine.probe_succeeded(key, round) => {
                self.measure.forget(key);
                report::transition(key, Phase::Closed, "every probe succeeded", self.settings.shadow);
            }
            Class::Success | Class::Ignored => {}
        }
    }

    fn trip(&self, key: &str, now: Duration, reason: &str) {
        let Some(open) = self.machine.trip(key, now, random::unit()) else { return };
        self.measure.forget(key);
        let mut reason =
            format!("{reason}; for {}", duration::format(u64::try_from(open.as_nanos()).unwrap_or(u64::MAX)));
        let ejects = self.settings.scope == Scope::Instance && !self.settings.shadow;
        if ejects && !exchange::eject_instance(open) {
            reason.push_str("; it stays in use, for its service leaves out no more instances");
        }
        report::transition(key, Phase::Open, &reason, self.settings.shadow);
    }

    /// In shadow mode, the exchange goes on and the access log says what would have been.
    fn refuse_or_pass(&self, why: &str, retry_in: Duration, number: u64) -> Verdict {
        if self.settings.shadow {
            exchange::annotate("breaker", "would refuse");
            return Verdict::Next(number);
        }
        self.refuse(why, retry_in)
    }

    fn refuse(&self, why: &str, retry_in: Duration) -> Verdict {
        exchange::annotate("breaker", why);
        match &self.settings.fallback {
            Fallback::Service { name, path } => {
                Verdict::Reroute(Reroute { path: path.clone(), ..Reroute::to(name.as_str()) })
            }
            Fallback::Reply { status, body, content_type } => {
                let text = body.clone().unwrap_or_else(|| reason_phrase(*status).to_owned());
                let reply = Reply { status: *status, headers: Vec::new(), body: text.into_bytes() };
                let reply = reply.with_header("Content-Type", content_type.as_str());
                // Traefik sends none, and what is not known is not said.
                let known = self.settings.retry_after && !retry_in.is_zero();
                Verdict::Respond(if known {
                    let seconds = retry_in.as_secs() + u64::from(retry_in.subsec_nanos() > 0);
                    reply.with_header("Retry-After", seconds.to_string())
                } else {
                    reply
                })
            }
        }
    }
}

fn why(phase: Phase) -> &'static str {
    match phase {
        Phase::Closed => "it has recovered",
        Phase::Recovering => "its time is over",
        Phase::Open => "it has tripped",
    }
}

#[derive(Default)]
struct Keys {
    known: Vec<Key>,
    numbers: HashMap<String, usize>,
    /// The same by the marks of values that are keys as they are.
    by_mark: HashMap<u64, usize>,
    /// Most policies have one key, and most requests the one of the request before.
    last: usize,
    last_mark: Option<u64>,
}

struct Key {
    text: String,
    /// Before this nobody needs to look at its breaker. It only spares the host a question.
    quiet_until: Duration,
}

impl Keys {
    /// Never 0.
    fn number(&mut self, key: &str) -> u64 {
        if self.known.get(self.last).is_none_or(|known| known.text != key) {
            self.last = self.find(key);
            self.last_mark = None;
        }
        self.last as u64 + 1
    }

    /// The same for a key that has a mark of its own, which is asked for where that was not seen before.
    fn marked<'a>(&mut self, mark: u64, key: impl FnOnce() -> &'a str) -> u64 {
        if self.last_mark != Some(mark) {
            self.last = match self.by_mark.get(&mark) {
                Some(place) => *place,
                None => self.find(key()),
            };
            if self.by_mark.len() < MAX_KEYS {
                self.by_mark.insert(mark, self.last);
            }
            self.last_mark = Some(mark);
        }
        self.last as u64 + 1
    }

    fn find(&mut self, key: &str) -> usize {
        if let Some(place) = self.numbers.get(key) {
            return *place;
        }
        if self.known.len() < MAX_KEYS {
            self.numbers.insert(key.to_owned(), self.known.len());
            self.known.push(Key { text: key.to_owned(), quiet_until: Duration::ZERO });
        }
        self.known.len() - 1
    }

    fn get(&self, number: u64) -> Option<&Key> {
        self.known.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Key> {
        self.known.get_mut(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}

//! When an exchange is degraded, and by what: an answer kept from before, another service, or a reply made up here; the
//! first of these that there is.

use sluice_plugin_sdk::log;
use sluice_plugin_sdk::policy::state::{Cell, Forced, forced};
use sluice_plugin_sdk::policy::{Field, Reply, Reroute, Subscription, Verdict, clock, exchange};

use crate::ladder::Ladder;
use crate::settings::Settings;

/// What an exchange keeps of itself: that it is degraded already, or must not be; that it counts against the cap; and that
/// the service was asked before the request failed, or after it had failed with the status above these bits.
const DONE: u64 = 1;
const CAPPED: u64 = 2;
const BEFORE: u64 = 4;
const AFTER: u64 = 8;
const STATUS_SHIFT: u32 = 16;

/// What requests are answered that are degraded before they fail.
const UNAVAILABLE: u16 = 503;

/// Headers that prove who the client is.
const CREDENTIALS: [&str; 2] = ["Authorization", "Cookie"];

/// A configured degradation.
pub(crate) struct Degrader {
    settings: Settings,
    ladder: Option<Ladder>,
    /// How many exchanges the service has at once on our behalf.
    under_way: Cell,
}

impl Degrader {
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let ladder = settings.ladder.clone().map(Ladder::open).transpose()?;
        Ok(Self { settings, ladder, under_way: Cell::open("under-way")? })
    }

    pub(crate) fn subscription(&self) -> Subscription {
        let Settings { switch, schedule, stale, cap, level, .. } = &self.settings;
        let before = *switch || self.ladder.is_some() || level.is_some() || !schedule.is_empty();
        let wanted = Subscription::new().on_response::<String>([]);
        let wanted = if before { wanted.on_request([]) } else { wanted };
        let wanted = if cap.is_some() { wanted.on_complete() } else { wanted };
        match stale {
            Some(stale) => wanted.on_response_body(stale.max_body),
            None => wanted,
        }
    }

    pub(crate) fn on_request(&mut self) -> Verdict {
        match forced() {
            None => {}
            Some(Forced::Open) => return self.before("forced"),
            Some(Forced::Closed | Forced::Disabled) => return Verdict::Next(DONE),
        }
        if !self.settings.schedule.is_empty() {
            let now = clock::wall_ms();
            if self.settings.schedule.iter().any(|span| span.contains(now)) {
                return self.before("schedule");
            }
        }
        let level = self.settings.level.unwrap_or_else(|| self.ladder.as_mut().map_or(0, Ladder::level));
        if level > 0 {
            tell(exchange::set_request_header("X-Degrade-Level", &level.to_string()));
        }
        if level >= self.settings.from_level { self.before(&format!("level {level}")) } else { Verdict::next() }
    }

    pub(crate) fn on_response(&self, context: u64, status: u16) -> Verdict {
        if let Some(original) = fails(context, status) {
            let why = format!("status {original}, and its service fails");
            let reply = self.settings.reply.as_ref().map(|reply| reply.fill(self.rewritten(original)));
            return reply.map_or(Verdict::Next(context), |reply| self.respond(reply, &why));
        }
        let wanted = context & DONE == 0 && self.settings.statuses.contains(status);
        if !wanted || matches!(forced(), Some(Forced::Closed | Forced::Disabled)) {
            return Verdict::Next(context);
        }
        let why = format!("status {status}");
        if let Some(reply) = self.settings.stale.as_ref().and_then(|stale| stale.find()) {
            return self.respond(reply, &why);
        }
        if let Some(service) = self.settings.service.as_ref().filter(|_| self.enter()) {
            self.keep_only_wanted_headers();
            let shown = self.rewritten(status);
            let reroute = Reroute::to(service.as_str()).with_request("GET", self.path(shown, status));
            let reroute = self.marked(reroute.with_status(shown), &why);
            let context = reroute.context | AFTER | u64::from(status) << STATUS_SHIFT;
            return Verdict::Reroute(Reroute { context, ..reroute });
        }
        match &self.settings.reply {
            Some(reply) => self.respond(reply.fill(self.rewritten(status)), &why),
            None => Verdict::Next(context),
        }
    }

    pub(crate) fn on_response_body(&self, context: u64, status: u16, body: &[u8]) {
        if let Some(stale) = self.settings.stale.as_ref().filter(|_| context & DONE == 0) {
            stale.keep(status, body);
        }
    }

    pub(crate) fn on_complete(&self, context: u64) {
        if context & CAPPED != 0 {
            self.under_way.add("", -1);
        }
    }

    /// Degrades a request before it fails.
    fn before(&self, why: &str) -> Verdict {
        if let Some(reply) = self.settings.stale.as_ref().and_then(|stale| stale.find()) {
            return self.respond(reply, why);
        }
        if let Some(service) = self.settings.service.as_ref().filter(|_| self.enter()) {
            let reroute = Reroute::to(service.as_str());
            let shown = self.rewritten(UNAVAILABLE);
            let reroute = match self.settings.query {
                Some(_) => {
                    self.keep_only_wanted_headers();
                    reroute.with_request("GET", self.path(shown, UNAVAILABLE))
                }
                None => reroute,
            };
            let reroute = self.marked(reroute, why);
            return Verdict::Reroute(Reroute { context: reroute.context | BEFORE, ..reroute });
        }
        match &self.settings.reply {
            Some(reply) => self.respond(reply.fill(self.rewritten(UNAVAILABLE)), why),
            None => Verdict::next(),
        }
    }

    fn respond(&self, reply: Reply, why: &str) -> Verdict {
        exchange::annotate("degraded", why);
        Verdict::Respond(match &self.settings.mark {
            Some(mark) => reply.with_header(mark.as_str(), why),
            None => reply,
        })
    }

    fn marked(&self, reroute: Reroute, why: &str) -> Reroute {
        exchange::annotate("degraded", why);
        let capped = if self.settings.cap.is_some() { CAPPED } else { 0 };
        let reroute = Reroute { context: DONE | capped, ..reroute };
        let reroute = match self.settings.timeout {
            Some(timeout) => reroute.with_timeout(timeout),
            None => reroute,
        };
        match &self.settings.mark {
            Some(mark) => reroute.with_header(mark.as_str(), why),
            None => reroute,
        }
    }

    /// Whether the service may have another exchange.
    fn enter(&self) -> bool {
        let Some(cap) = self.settings.cap else { return true };
        let entered = self.under_way.add("", 1) <= cap;
        if !entered {
            self.under_way.add("", -1);
        }
        entered
    }

    fn rewritten(&self, status: u16) -> u16 {
        let rewrite = self.settings.rewrites.iter().find(|(statuses, _)| statuses.contains(status));
        rewrite.map_or(status, |(_, to)| *to)
    }

    /// What the service is asked for.
    fn path(&self, status: u16, original: u16) -> String {
        let path = || exchange::request_field(&Field::Path).unwrap_or_else(|| "/".to_owned());
        let url = || exchange::request_field(&Field::Query).map_or_else(path, |query| format!("{}?{query}", path()));
        match &self.settings.query {
            None => url(),
            Some(query) => {
                let query = query.replace("{status}", &status.to_string());
                let query = query.replace("{originalStatus}", &original.to_string());
                if query.contains("{url}") { query.replace("{url}", &escaped(&url())) } else { query }
            }
        }
    }

    fn keep_only_wanted_headers(&self) {
        let wanted = &self.settings.request_headers;
        if wanted.is_empty() {
            // What proves who the client is was meant for the service it asked.
            for name in CREDENTIALS {
                tell(exchange::remove_request_header(name));
            }
            return;
        }
        for header in exchange::request_headers() {
            if !wanted.iter().any(|name| name.eq_ignore_ascii_case(&header.name)) {
                // Those of the connection stay with it.
                let _ = exchange::remove_request_header(&header.name);
            }
        }
    }
}

/// The status a request failed with, or would have, where the service it was sent to in its place fails as well. A 503
/// may be that service's own page, unless nobody was asked.
fn fails(context: u64, status: u16) -> Option<u16> {
    if context & AFTER != 0 {
        return u16::try_from(context >> STATUS_SHIFT).ok();
    }
    let unasked = || exchange::request_field(&Field::Attempt).as_deref() == Some("0");
    let failed = context & BEFORE != 0 && (matches!(status, 502 | 504) || status == UNAVAILABLE && unasked());
    failed.then_some(UNAVAILABLE)
}

fn tell(result: Result<(), String>) {
    if let Err(reason) = result {
        log::warn(&reason);
    }
}

/// A text as the value of a query parameter.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

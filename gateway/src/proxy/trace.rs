//! What is remembered of a request for the log and the metrics, from its arrival to its last byte. Every way a request
//! can end goes through here exactly once.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hyper::body::Body as _;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};
use sluice_model::Observability;
use sluice_wasm::Outcome;

use super::Worker;
use super::chain::Passed;
use super::eject;
use super::errands::Ended;
use super::traced::Traced;
use crate::http::{Body, Client, Exchange, Failure, Leases, Refusal, reply_to};
use crate::live::{Route, Unnoted};
use crate::policy::Reading;
use crate::state::InstanceState;
use crate::telemetry::{AccessRecord, Finished, protocol};
use crate::upstream::SendError;

/// A request's record.
pub(super) struct Trace {
    worker: Rc<Worker>,
    client: Arc<Client>,
    begun: Instant,
    method: Method,
    version: Version,
    route: Option<Arc<Route>>,
    instance: Option<Arc<InstanceState>>,
    failure: Option<Failure>,
    refused: Option<&'static str>,
    retries: u32,
    leases: Leases,
    upstream_status: Option<StatusCode>,
    grpc_status: Option<u32>,
    request_bytes: u64,
    rerouted: bool,
    annotations: Vec<(String, String)>,
    unnoted: Unnoted,
    /// Gathered only where there is an access log.
    line: Option<Box<Line>>,
}

/// What the access log needs of a request that is gone when the line is written.
struct Line {
    started: SystemTime,
    target: String,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl Line {
    fn of(head: &Parts) -> Box<Self> {
        let header = |name| head.headers.get(name).cloned();
        Box::new(Self {
            started: SystemTime::now(),
            target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            host: header(HOST),
            referer: header(REFERER),
            user_agent: header(USER_AGENT),
        })
    }
}

/// What a client that went away before its answer counts as, in nginx's and Traefik's spelling.
const CLIENT_CLOSED_REQUEST: u16 = 499;
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

impl Trace {
    pub(super) fn begin(worker: &Rc<Worker>, client: &Arc<Client>, head: &Parts) -> Self {
        Self {
            worker: Rc::clone(worker),
            client: Arc::clone(client),
            begun: Instant::now(),
            method: head.method.clone(),
            version: head.version,
            route: None,
            instance: None,
            failure: None,
            refused: None,
            retries: 0,
            leases: Leases::default(),
            upstream_status: None,
            grpc_status: None,
            request_bytes: declared_length(head),
            rerouted: false,
            annotations: Vec::new(),
            unnoted: Unnoted::default(),
            line: worker.telemetry.wants_access_log().then(|| Line::of(head)),
        }
    }

    /// It has come to an entrypoint that notes less.
    pub(super) fn arrived(&mut self, unnoted: Unnoted) {
        self.unnoted = unnoted;
    }

    pub(super) fn routed(&mut self, route: &Arc<Route>) {
        let Observability { access_log, metrics } = route.spec.observability;
        self.unnoted.access_log = access_log.map_or(self.unnoted.access_log, |noted| !noted);
        self.unnoted.metrics = metrics.map_or(self.unnoted.metrics, |noted| !noted);
        self.route = Some(Arc::clone(route));
    }

    pub(super) fn trying(&mut self, instance: &Arc<InstanceState>) {
        self.retries += u32::from(self.instance.is_some());
        self.instance = Some(Arc::clone(instance));
    }

    /// Of two instances that were asked at once, this one had the last word.
    pub(super) fn answered_by(&mut self, instance: &Arc<InstanceState>) {
        self.instance = Some(Arc::clone(instance));
    }

    /// An instance did not answer.
    pub(super) fn upstream_failed(&self, instance: &InstanceState, error: &SendError) {
        if matches!(error.failure, Failure::Client | Failure::SlowBody | Failure::LargeBody) {
            return;
        }
        instance.failed(error.cause.clone());
        let service = self.route.as_ref().map(|route| route.service.name.as_ref());
        let (address, port) = (&instance.key.address, instance.key.port);
        tracing::debug!(service, address, port, cause = error.cause, "instance did not answer");
    }

    /// Takes over what has to be kept until the last byte.
    pub(super) fn hold(&mut self, exchange: &mut Exchange) {
        if let Some(notes) = &mut exchange.notes {
            self.leases = std::mem::take(&mut notes.leases);
        }
    }

    /// An instance answered.
    pub(super) fn upstream_answered(&mut self, status: StatusCode) {
        self.upstream_status = Some(status);
    }

    /// A head or trailers that may say how a gRPC call ended.
    pub(super) fn grpc(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(GRPC_STATUS) {
            self.grpc_status = status.to_str().ok().and_then(|status| status.parse().ok());
        }
    }

    /// Takes over what policies left with the exchange, once they have seen its answer.
    pub(super) fn learn(&mut self, exchange: &mut Exchange) {
        if let Some(notes) = &mut exchange.notes {
            self.rerouted = notes.rerouted;
            self.annotations = std::mem::take(&mut notes.annotations);
            self.retries = self.retries.max(exchange.attempts.saturating_sub(1));
        }
    }

    /// The exchange failed.
    pub(super) fn note(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// The head was refused.
    pub(super) fn refused(mut self, refusal: Refusal, response: Response<Body>) -> Response<Body> {
        self.refused = Some(refusal.reason);
        let shown = self.client.refused().filter(|refused| refused.refusal == refusal);
        if let (Some(line), Some(shown)) = (&mut self.line, shown) {
            line.target.clone_from(&shown.line);
        }
        let target = shown.map(|shown| &shown.line);
        tracing::debug!(reason = refusal.reason, client = %self.client.address, ?target, "request refused");
        self.answered(response, Vec::new())
    }

    /// The exchange failed before it had a route.
    pub(super) fn failed(mut self, failure: Failure) -> Response<Body> {
        self.note(failure);
        self.answered(reply_to(failure), Vec::new())
    }

    /// The gateway answers by itself, or with an answer that was got in place of another.
    pub(super) fn answered(self, response: Response<Body>, passed: Vec<Passed>) -> Response<Body> {
        if let Body::Streaming(_) = response.body() {
            let (head, body) = response.into_parts();
            let traced = Traced { body, ending: Some((self, head.status, passed)), sent: 0 };
            return Response::from_parts(head, Body::Streaming(Box::new(traced)));
        }
        let sent = response.body().size_hint().exact().unwrap_or_default();
        self.ended(response.status(), sent, passed);
        response
    }

    /// The last byte is sent, or will never be.
    pub(super) fn ended(mut self, status: StatusCode, sent: u64, passed: Vec<Passed>) {
        self.client.note_answered();
        let now = Instant::now();
        let (duration, mut reading) = (now.saturating_duration_since(self.begun), Reading::taken(now));
        self.leave_gates();
        self.refused = self.refused.or_else(|| self.refused_later());
        if let Some(reason) = self.refused {
            self.worker.telemetry.rejected(reason);
        }
        let status = status.as_u16();
        for passed in passed.iter().filter_map(Passed::policy).filter(|passed| passed.policy.subscription.on_complete) {
            let outcome = Outcome {
                status: if self.failure == Some(Failure::Client) { CLIENT_CLOSED_REQUEST } else { status },
                failure: self.failure.and_then(outcome_failure),
                duration,
                instance: self.instance.as_ref().map_or("", |instance| &instance.authority),
                upstream_status: self.upstream_status.map(|status| status.as_u16()),
                request_bytes: self.request_bytes,
                response_bytes: sent,
                rerouted: self.rerouted,
                grpc_status: self.grpc_status,
            };
            if passed.policy.plugin.waits {
                let (passed, instance) = (passed.clone(), outcome.instance.into());
                self.worker.errands.complete(Ended { passed, instance, outcome: Outcome { instance: "", ..outcome } });
            } else {
                let instance = self.instance.as_ref().map(|instance| instance.id);
                let service = self.route.as_ref().map(|route| &route.service.name);
                let ejects = passed.policy.plugin.ejects;
                let ejector = ejects.then(|| eject::of(&self.worker, service, instance)).flatten();
                self.worker.instances.on_complete(passed, outcome, self.instance.as_ref(), ejector, &mut reading);
            }
        }
        let gone = self.failure == Some(Failure::Client) && self.refused.is_none();
        let status = if gone { CLIENT_CLOSED_REQUEST } else { status };
        if let Some(line) = self.line.as_ref().filter(|_| !self.unnoted.access_log) {
            self.log(line, status, duration, sent);
        }
        if self.unnoted.metrics {
            return;
        }
        self.worker.telemetry.finished(&Finished {
            entrypoint: self.client.entrypoint_index,
            method: &self.method,
            version: self.version,
            status,
            duration,
            sent,
            service: self.route.as_ref().map(|route| route.service.metrics.as_ref()),
            flag: self.flag(),
        });
    }

    /// A client that goes away says nothing about the service.
    fn leave_gates(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        if self.failure != Some(Failure::Client) {
            let overloaded = matches!(
                self.failure,
                Some(Failure::Connect | Failure::ConnectTimeout | Failure::ResponseTimeout | Failure::NoInstance)
            );
            leases.finish(overloaded);
        }
    }

    /// Why the request was given up on after its head, where that is the client's doing.
    fn refused_later(&self) -> Option<&'static str> {
        match self.failure {
            Some(Failure::Client) => self.client.refused_body().map(|refused| refused.reason),
            Some(Failure::SlowBody) => Some("body_timeout"),
            Some(Failure::LargeBody | Failure::BodyTooLarge) => Some("body_too_large"),
            Some(Failure::Path) => Some("path_after_steps"),
            Some(Failure::Misdirected) => Some("misdirected"),
            _ => None,
        }
    }

    fn flag(&self) -> Option<&'static str> {
        self.refused.or(self.failure.map(Failure::flag))
    }

    fn log(&self, line: &Line, status: u16, duration: Duration, sent: u64) {
        let text =
            |value: &'_ Option<HeaderValue>| value.as_ref().and_then(|value| value.to_str().ok().map(str::to_owned));
        let host = text(&line.host);
        let url = self.instance.as_ref().map(|instance| instance.key.url());
        self.worker.telemetry.access(&AccessRecord {
            client: Some(self.client.address),
            started: line.started,
            duration,
            origin_duration: None,
            method: self.method.as_str(),
            path: &line.target,
            protocol: protocol(self.version),
            scheme: self.client.scheme(),
            host: host.as_deref(),
            status,
            origin_status: None,
            received: 0,
            sent,
            referer: line.referer.as_ref().map(HeaderValue::as_bytes),
            user_agent: line.user_agent.as_ref().map(HeaderValue::as_bytes),
            entrypoint: &self.client.entrypoint,
            route: self.route.as_ref().map(|route| &*route.name),
            service: self.route.as_ref().map(|route| &*route.service.name),
            server_url: url.as_deref(),
            retries: self.retries,
            tls_version: self.client.tls.as_ref().map(|tls| tls.version),
            flag: self.flag(),
            annotations: &self.annotations,
        });
    }
}

/// As the client says. A body of unknown length counts as none.
fn declared_length(head: &Parts) -> u64 {
    head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or_default()
}

/// Failures as policies know them; those that are not an upstream's are none.
fn outcome_failure(failure: Failure) -> Option<sluice_wasm::Failure> {
    Some(match failure {
        Failure::NoInstance => sluice_wasm::Failure::NoInstance,
        Failure::Connect | Failure::Untrusted => sluice_wasm::Failure::Connect,
        Failure::ConnectTimeout | Failure::ResponseTimeout => sluice_wasm::Failure::Timeout,
        Failure::Protocol => sluice_wasm::Failure::Protocol,
        Failure::Client | Failure::SlowBody | Failure::LargeBody => sluice_wasm::Failure::Client,
        Failure::AnswerTooLarge => sluice_wasm::Failure::Protocol,
        Failure::NoRoute
        | Failure::Busy
        | Failure::Misdirected
        | Failure::Policy
        | Failure::Path
        | Failure::BodyTooLarge
        | Failure::Storage => return None,
    })
}

//! gRPC-Web: gRPC for clients that can neither see trailers nor, some of them, binary bodies. The bodies are translated
//! in [`crate::proxy::grpc_web`].

use std::sync::Arc;

use hyper::Method;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, ORIGIN, TE};
use hyper::http::response;

use super::{Entered, Form, headers};
use crate::http::Exchange;
use crate::live::native::{Cors, Native};
use crate::proxy::chain::Stopped;
use crate::proxy::planned::Plan;
use crate::upstream::AnswerBody;

const BINARY: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";
const GRPC: &str = "application/grpc";

/// What is left to do with the answer.
pub(in super::super) struct Leave {
    /// A step of this kind.
    step: Arc<Native>,
    origin: Option<HeaderValue>,
    /// Set for calls by gRPC-Web.
    form: Option<Form>,
}

/// Translates the head of a call and answers preflights; other requests pass.
pub(super) fn enter(cors: &Cors, step: &Arc<Native>, exchange: &mut Exchange, plan: &mut Option<Box<Plan>>) -> Entered {
    let origin = exchange.head.headers.get(ORIGIN).cloned();
    if let Some(answer) = origin.as_ref().and_then(|origin| headers::preflight(cors, origin, exchange)) {
        return Entered::Stop(Stopped::Answered(answer));
    }
    let form = translate(exchange);
    if form == Some(Form::GrpcWebText) {
        plan.get_or_insert_default().from_base64 = true;
    }
    Entered::PassWith(super::Leave::GrpcWeb(Leave { step: Arc::clone(step), origin, form }))
}

/// Makes a call of gRPC of one by gRPC-Web.
fn translate(exchange: &mut Exchange) -> Option<Form> {
    if exchange.head.method != Method::POST {
        return None;
    }
    let headers = &mut exchange.head.headers;
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let (form, rest) = match (kind.strip_prefix(TEXT), kind.strip_prefix(BINARY)) {
        (Some(rest), _) => (Form::GrpcWebText, rest),
        (None, Some(rest)) => (Form::GrpcWeb, rest),
        (None, None) => return None,
    };
    let inner = HeaderValue::try_from(format!("{GRPC}{rest}")).ok()?;
    headers.insert(CONTENT_TYPE, inner);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.remove(CONTENT_LENGTH);
    Some(form)
}

impl Leave {
    pub(super) fn apply(&self, head: &mut response::Parts, body: Option<&AnswerBody>) -> Option<Form> {
        if let Native::GrpcWeb(cors) = &*self.step
            && self.origin.is_some()
        {
            headers::allow(cors, self.origin.as_ref(), &mut head.headers);
        }
        let form = self.form.filter(|_| body.is_some())?;
        let kind = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let rest = kind.strip_prefix(GRPC)?;
        let outer = if form == Form::GrpcWebText { TEXT } else { BINARY };
        let outer = HeaderValue::try_from(format!("{outer}{rest}")).ok()?;
        head.headers.insert(CONTENT_TYPE, outer);
        head.headers.remove(CONTENT_LENGTH);
        Some(form)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::exchange;
    use super::*;

    #[test]
    fn only_calls_by_grpc_web_are_translated() {
        for (method, kind, form, inner) in [
            ("POST", "application/grpc-web+proto", Some(Form::GrpcWeb), "application/grpc+proto"),
            ("POST", "application/grpc-web-text", Some(Form::GrpcWebText), "application/grpc"),
            ("POST", "application/grpc", None, "application/grpc"),
            ("GET", "application/grpc-web", None, "application/grpc-web"),
        ] {
            let mut request = exchange(method, "h.test", "/a.B/C");
            request.head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(translate(&mut request), form, "{kind}");
            assert_eq!(request.head.headers.get(CONTENT_TYPE), Some(&HeaderValue::from_static(inner)));
            assert_eq!(request.head.headers.contains_key(TE), form.is_some());
        }
    }
}

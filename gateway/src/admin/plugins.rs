//! Plugins: what runs, where it came from, what it costs, and why a newer version does not run.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use sluice_wasm::World;

use super::View;
use super::answer::{self, Body, decoded, message};
use crate::control::{PluginStatus, Signed};
use crate::live::{Generation, PolicyStatus};
use crate::state::{BucketKind, BucketSnapshot, Forced, GateSnapshot};

pub(super) fn list(view: &View) -> Vec<Value> {
    view.tracker.status().plugins.iter().map(|status| plugin(view, status)).collect()
}

fn plugin(view: &View, status: &PluginStatus) -> Value {
    let kind = status.world.map(|world| match world {
        World::Router => "router",
        World::Policy => "policy",
    });
    let metrics = view.telemetry.plugin(&status.name);
    json!({
        "name": *status.name,
        "kind": kind,
        "version": status.version,
        "digest": status.digest,
        "source": status.source.as_ref().map(ToString::to_string),
        "state": status.state.as_str(),
        "lastError": status.last_error,
        "compileSeconds": status.compile_time.map(|time| time.as_secs_f64()),
        "calls": metrics.calls(),
        "failures": metrics.failures(),
        "traps": metrics.failures_of("trap") + metrics.failures_of("stack"),
        "deadlineHits": metrics.failures_of("timeout"),
        "memoryHits": metrics.failures_of("oom"),
        "memoryBytes": metrics.memory(),
        "secondsPerCall": metrics.mean().map(|mean| mean.as_secs_f64()),
        "secondsP50": metrics.within(50).map(|time| time.as_secs_f64()),
        "secondsP99": metrics.within(99).map(|time| time.as_secs_f64()),
        "grants": status.plugin.as_ref().map_or(&[][..], |plugin| &plugin.granted),
        "signature": status.signed.as_ref().map(signature),
        "imports": status.plugin.as_ref().map(|plugin| plugin.artifact.imports()),
        "droppedLogLines": status.plugin.as_ref().map(|plugin| plugin.artifact.dropped_log_lines()),
    })
}

fn signature(signed: &Signed) -> Value {
    match signed {
        Signed::Trusted(comment) => json!({ "trusted": true, "comment": comment }),
        Signed::Untrusted(reason) => json!({ "trusted": false, "reason": reason }),
    }
}

/// The JSON schema of a plugin's settings.
pub(super) fn schema(view: &View, name: &str) -> Response<Body> {
    let name = decoded(name);
    let status = view.tracker.status();
    let Some(plugin) = status.plugins.iter().find(|status| *status.name == *name) else {
        return message(StatusCode::NOT_FOUND, &format!("plugin `{name}` not found"));
    };
    let schema = plugin.plugin.as_ref().and_then(|plugin| serde_json::from_str::<Value>(&plugin.schema).ok());
    match schema {
        Some(schema) => answer::json(&schema),
        None => message(StatusCode::NOT_FOUND, &format!("plugin `{name}` has no schema")),
    }
}

/// A policy's runtime state.
pub(super) fn policy(view: &View, name: &str) -> Response<Body> {
    let name = decoded(name);
    let generation = view.live.load();
    match find(&generation, &name) {
        Some((full, status)) => answer::json(&shown(view, full, status)),
        None => message(StatusCode::NOT_FOUND, &format!("policy `{name}` not found")),
    }
}

/// Forces a policy open, closed or disabled; nothing, `null` or `none` lets it decide again. The word is the body, by
/// itself or as `{"state": "open"}`.
pub(super) fn force(view: &View, name: &str, body: &[u8]) -> Response<Body> {
    let name = decoded(name);
    let generation = view.live.load();
    let Some((full, status)) = find(&generation, &name) else {
        return message(StatusCode::NOT_FOUND, &format!("policy `{name}` not found"));
    };
    let Ok(wanted) = wanted(body) else {
        return message(StatusCode::BAD_REQUEST, "send one of `open`, `closed`, `disabled` and `none`");
    };
    let Ok(policy) = &status.policy else {
        return message(StatusCode::CONFLICT, &format!("policy `{name}` does not work; see its error"));
    };
    policy.state.force(wanted);
    tracing::warn!(policy = %full, forced = wanted.map(Forced::as_str), "an operator forces a policy");
    answer::json(&shown(view, full, status))
}

/// What a body asks for.
fn wanted(body: &[u8]) -> Result<Option<Forced>, ()> {
    let text = std::str::from_utf8(body).map_err(|_| ())?.trim();
    let word = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => object.get("state").cloned().ok_or(())?,
        Ok(value) => value,
        Err(_) => Value::String(text.to_owned()),
    };
    match word {
        Value::Null => Ok(None),
        Value::String(word) if word.is_empty() || word == "none" => Ok(None),
        Value::String(word) => Forced::parse(&word).map(Some).ok_or(()),
        _ => Err(()),
    }
}

/// By its whole name, or by the name without its provider.
fn find<'a>(generation: &'a Generation, name: &str) -> Option<(&'a Arc<str>, &'a PolicyStatus)> {
    generation.policies.iter().find(|(full, _)| ***full == *name).or_else(|| {
        let is_called = |full: &str| full.rsplit_once('@').is_some_and(|(local, _)| local == name);
        generation.policies.iter().find(|(full, _)| is_called(full))
    })
}

fn shown(view: &View, full: &str, status: &PolicyStatus) -> Value {
    let state = view.state.find(full).map(|state| state.snapshot()).unwrap_or_default();
    let settings: Value = serde_json::from_str(&status.settings).unwrap_or_default();
    json!({
        "name": full,
        "plugin": *status.plugin,
        "settings": settings,
        "error": status.policy.as_ref().err(),
        "forced": state.forced.map(Forced::as_str),
        "status": state.published.as_deref().map(|text| published(text)),
        "buckets": state.buckets.iter().map(bucket).collect::<Vec<_>>(),
        "gates": state.gates.iter().map(gate).collect::<Vec<_>>(),
        "windows": state.windows.iter().map(keyed).collect::<Vec<_>>(),
        "cells": state.cells.iter().map(keyed).collect::<Vec<_>>(),
        "kvBytes": state.kv_bytes,
    })
}

/// What a plugin wrote: JSON if it is.
fn published(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn bucket(bucket: &BucketSnapshot) -> Value {
    json!({
        "name": bucket.name,
        "kind": match bucket.spec.kind {
            BucketKind::Token => "token",
            BucketKind::SlidingWindow => "sliding-window",
            BucketKind::Calendar => "calendar",
        },
        "average": bucket.spec.average,
        "periodSeconds": bucket.spec.period_ns as f64 / 1e9,
        "burst": bucket.spec.burst,
        "keys": bucket.keys,
    })
}

fn gate(gate: &GateSnapshot) -> Value {
    json!({ "name": gate.name, "keys": gate.keys, "inFlight": gate.in_flight, "mostInFlight": gate.most_in_flight })
}

fn keyed((name, keys): &(String, usize)) -> Value {
    json!({ "name": name, "keys": keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_understood_in_every_spelling() {
        for body in ["open", "\"open\"", "{\"state\": \"open\"}", " open\n"] {
            assert_eq!(wanted(body.as_bytes()), Ok(Some(Forced::Open)), "{body}");
        }
        for body in ["", "none", "null", "{\"state\": null}"] {
            assert_eq!(wanted(body.as_bytes()), Ok(None), "{body}");
        }
        for body in ["half-open", "{}", "[1]", "7"] {
            assert_eq!(wanted(body.as_bytes()), Err(()), "{body}");
        }
    }
}

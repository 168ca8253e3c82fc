//! Plugins: what runs, where it came from, what it costs, and why a newer version does not run.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use sluice_wasm::World;

use super::View;
use super::answer::{self, Body, decoded, message};
use crate::control::PluginStatus;
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
        "digest": status.digest,
        "source": status.source.as_ref().map(ToString::to_string),
        "state": status.state.as_str(),
        "lastError": status.last_error,
        "compileSeconds": status.compile_time.map(|time| time.as_secs_f64()),
        "calls": metrics.calls(),
        "failures": metrics.failures(),
        "secondsPerCall": metrics.mean().map(|mean| mean.as_secs_f64()),
    })
}

/// A policy's runtime state.
pub(super) fn policy(view: &View, name: &str) -> Response<Body> {
    let name = decoded(name);
    let generation = view.live.load();
    let found = generation.policies.iter().find(|(full, _)| ***full == *name).or_else(|| {
        let mut called = generation
            .policies
            .iter()
            .filter(|(full, _)| full.rsplit_once('@').is_some_and(|(local, _)| local == name));
        called.next()
    });
    let Some((full, status)) = found else {
        return message(StatusCode::NOT_FOUND, &format!("policy `{name}` not found"));
    };
    let state = view.state.find(full).map(|state| state.snapshot()).unwrap_or_default();
    let settings: Value = serde_json::from_str(&status.settings).unwrap_or_default();
    answer::json(&json!({
        "name": **full,
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
    }))
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

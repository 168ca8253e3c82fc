//! The closed WASI: a runtime can say why it dies, and nothing waits or reaches the system.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use sluice_wasm::{CallError, Verdict};
use support::{Exchange, Journal, described, load, policy_with, start_artifact};

const IMPORTS: &str = r#"
    (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
    (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
    (import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.check-write" (func $room (param i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
        (func $print (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.subscribe" (func $writable (param i32) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $subscribe (param i64) (result i32)))"#;

/// Writes `was here` to standard error.
const PRINT: &str = "(call $print (call $stderr) (i32.const 3080) (i32.const 8) (i32.const 4200))";

fn run(on_request: &str) -> Result<Verdict, CallError> {
    let artifact = load(&described(&policy_with(IMPORTS, on_request), "chatty")).unwrap();
    let mut instance = start_artifact(&artifact, Arc::new(Journal::default()));
    instance.on_request(0, Exchange::default(), &[]).1
}

#[test]
fn what_a_guest_says_before_it_traps_is_in_the_error() {
    let error = run(&format!("{PRINT} (unreachable)")).unwrap_err();
    assert_eq!(error.to_string(), "the plugin trapped: wasm trap: wasm `unreachable` instruction executed: was here");
}

#[test]
fn what_earlier_calls_said_is_not() {
    // Prints, and traps when a field is pushed.
    let guest = format!("{PRINT} (if (local.get $count) (then (unreachable))) (i32.const 2048)");
    let artifact = load(&described(&policy_with(IMPORTS, &guest), "chatty")).unwrap();
    let mut instance = start_artifact(&artifact, Arc::new(Journal::default()));
    instance.on_request(0, Exchange::default(), &[]).1.unwrap();
    let error = instance.on_request(0, Exchange::default(), &[None]).1.unwrap_err();
    assert_eq!(error.to_string().matches("was here").count(), 1);
}

#[test]
fn what_is_kept_of_it_is_bounded() {
    let flood = "(local $n i32) (local $stream i32) (local.set $stream (call $stderr))
        (loop (call $print (local.get $stream) (i32.const 3080) (i32.const 8) (i32.const 4200))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 5000)))) (unreachable)";
    let text = run(flood).unwrap_err().to_string();
    assert_eq!(text.matches("was here").count(), 512);
}

#[test]
fn handles_are_bounded() {
    let error = run("(loop (drop (call $stderr)) (br 0)) (unreachable)").unwrap_err();
    assert!(matches!(error, CallError::Contract(_)), "{error}");
}

#[test]
fn writing_succeeds_and_the_environment_is_empty() {
    // The context is the result's tag, plus the room for writing, plus the number of variables.
    let look = format!(
        "{PRINT} (call $room (call $stderr) (i32.const 4304)) (call $environment (i32.const 4400))
        (i64.store (i32.const 4104) (i64.add (i64.load8_u (i32.const 4200))
            (i64.add (i64.load (i32.const 4312)) (i64.load32_u (i32.const 4404)))))
        (i32.const 4096)"
    );
    assert_eq!(run(&look).unwrap(), Verdict::Next { context: 4096 });
}

#[test]
fn output_is_always_ready() {
    // Polls two streams; the context is how many of them are ready.
    let poll = "(i32.store (i32.const 4500) (call $writable (call $stderr)))
        (i32.store (i32.const 4504) (call $writable (call $stderr)))
        (call $block (i32.load (i32.const 4500)))
        (call $poll (i32.const 4500) (i32.const 2) (i32.const 4400))
        (i64.store (i32.const 4104) (i64.load32_u (i32.const 4404)))
        (i32.const 4096)";
    assert_eq!(run(poll).unwrap(), Verdict::Next { context: 2 });
}

#[test]
fn exit_ends_the_call_and_not_the_process() {
    let error = run("(call $exit (i32.const 0)) (i32.const 2048)").unwrap_err();
    assert_eq!(error.to_string(), "the plugin broke its contract: it called exit");
}

#[test]
fn time_cannot_be_waited_for() {
    let error = run("(drop (call $subscribe (i64.const 3600000000000))) (i32.const 2048)").unwrap_err();
    assert!(error.to_string().contains("wasi:clocks/monotonic-clock@0.2.6#subscribe-duration"), "{error}");
}

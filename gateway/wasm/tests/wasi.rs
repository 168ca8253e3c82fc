//! The closed WASI: a runtime can say why it dies, and nothing waits or reaches the system.
//!
//! Every guest runs twice, the second time on a thread that is in an async runtime, as workers are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;

use sluice_wasm::{CallError, RouterInstance, Verdict};
use support::{Exchange, Journal, LIMITS, described, load, policy_with, router_with, start_artifact};

const IMPORTS: &str = r#"
    (import "wasi:cli/stdin@0.2.6" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
    (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
    (import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.check-write" (func $room (param i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
        (func $print (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-zeroes-and-flush"
        (func $print_zeroes (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-flush" (func $flush (param i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-splice" (func $splice (param i32 i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.subscribe" (func $writable (param i32) (result i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $close_output (param i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]input-stream" (func $close_input (param i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.6" "[resource-drop]pollable" (func $forget (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-instant" (func $at (param i64) (result i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $after (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.6" "now" (func $date (param i32)))
    (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $random_bytes (param i64 i32)))
    (import "wasi:random/insecure-seed@0.2.6" "insecure-seed" (func $seed (param i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.6" "create-tcp-socket" (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.6" "create-udp-socket" (func $udp (param i32 i32)))"#;

/// Writes `was here` to standard error.
const PRINT: &str = "(call $print (call $stderr) (i32.const 3080) (i32.const 8) (i32.const 4200))";
/// An hour, in nanoseconds.
const HOUR: &str = "(i64.const 3600000000000)";

fn run(on_request: &str) -> Result<Verdict, CallError> {
    let artifact = load(&described(&policy_with(IMPORTS, on_request), "chatty")).unwrap();
    let call = || {
        let mut instance = start_artifact(&artifact, Arc::new(Journal::default()));
        instance.on_request(0, Exchange::default(), &[]).1
    };
    let outside = call();
    let inside = on_worker(call);
    let text = |result: &Result<Verdict, CallError>| match result {
        Ok(verdict) => format!("{verdict:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(text(&outside), text(&inside));
    inside
}

/// On a thread that is in an async runtime, where nothing may wait for it.
fn on_worker<R>(call: impl FnOnce() -> R) -> R {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { call() })
}

/// The context a guest goes on with.
fn context(verdict: Result<Verdict, CallError>) -> u64 {
    let Verdict::Next { context } = verdict.unwrap() else { panic!("not `next`") };
    context
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
fn streams_that_block_elsewhere_do_not() {
    // The context has a byte for each result's tag: reading the empty input and copying it fail, the rest succeeds.
    let use_all = "(local $in i32) (local $out i32)
        (local.set $in (call $stdin)) (local.set $out (call $stdout))
        (call $read (local.get $in) (i64.const 10) (i32.const 4200))
        (i32.store8 (i32.const 4104) (i32.load8_u (i32.const 4200)))
        (call $splice (local.get $out) (local.get $in) (i64.const 10) (i32.const 4240))
        (i32.store8 (i32.const 4105) (i32.load8_u (i32.const 4240)))
        (call $print (local.get $out) (i32.const 3080) (i32.const 8) (i32.const 4280))
        (i32.store8 (i32.const 4106) (i32.load8_u (i32.const 4280)))
        (call $print_zeroes (local.get $out) (i64.const 8) (i32.const 4320))
        (i32.store8 (i32.const 4107) (i32.load8_u (i32.const 4320)))
        (call $flush (local.get $out) (i32.const 4360))
        (i32.store8 (i32.const 4108) (i32.load8_u (i32.const 4360)))
        (call $close_input (local.get $in)) (call $close_output (local.get $out))
        (i32.const 4096)";
    assert_eq!(context(run(use_all)), 0x00_00_00_01_01);
}

#[test]
fn a_timer_cannot_be_waited_for() {
    for wait in [
        format!("(call $block (call $after {HOUR}))"),
        format!("(call $block (call $at (i64.add (call $now) {HOUR})))"),
        format!(
            "(i32.store (i32.const 4500) (call $after {HOUR}))
            (call $poll (i32.const 4500) (i32.const 1) (i32.const 4400))"
        ),
    ] {
        let error = run(&format!("{wait} (i32.const 2048)")).unwrap_err();
        assert_eq!(error.to_string(), "the plugin broke its contract: plugins may not wait");
    }
}

#[test]
fn a_timer_may_be_there_and_one_that_is_due_is_ready() {
    // Polls an hour, standard error and no time at all: the last two are ready. Then asks each timer by itself.
    let poll = format!(
        "(local $never i32) (local $now i32)
        (local.set $never (call $after {HOUR})) (local.set $now (call $after (i64.const 0)))
        (i32.store (i32.const 4500) (local.get $never))
        (i32.store (i32.const 4504) (call $writable (call $stderr)))
        (i32.store (i32.const 4508) (local.get $now))
        (call $poll (i32.const 4500) (i32.const 3) (i32.const 4400))
        (i32.store8 (i32.const 4104) (i32.load (i32.const 4404)))
        (i32.store8 (i32.const 4105) (call $ready (local.get $never)))
        (i32.store8 (i32.const 4106) (call $ready (local.get $now)))
        (call $block (local.get $now)) (call $block (call $at (i64.const 0)))
        (call $forget (local.get $never))
        (i32.const 4096)"
    );
    assert_eq!(context(run(&poll)), 0x01_00_02);
}

#[test]
fn no_socket_can_be_had() {
    // The context has a byte for each result's tag and code: 1 is an error, and access-denied.
    let open = "(call $tcp (i32.const 0) (i32.const 4200)) (call $udp (i32.const 0) (i32.const 4240))
        (i32.store8 (i32.const 4104) (i32.load8_u (i32.const 4200)))
        (i32.store8 (i32.const 4105) (i32.load8_u (i32.const 4204)))
        (i32.store8 (i32.const 4106) (i32.load8_u (i32.const 4240)))
        (i32.store8 (i32.const 4107) (i32.load8_u (i32.const 4244)))
        (i32.const 4096)";
    assert_eq!(context(run(open)), 0x01_01_01_01);
}

#[test]
fn random_bytes_are_bounded() {
    let error = run("(call $random_bytes (i64.const 65537) (i32.const 4200)) (i32.const 2048)").unwrap_err();
    assert!(error.to_string().contains("exceeds limit 65536"), "{error}");
}

/// Writes what differs from call to call to standard error: clocks, seed and randomness.
const TELL: &str = "(call $date (i32.const 4600)) (i64.store (i32.const 4616) (call $now))
    (call $seed (i32.const 4624)) (i64.store (i32.const 4640) (call $random))
    (call $print (call $stderr) (i32.const 4600) (i32.const 48) (i32.const 4200)) (unreachable)";

#[test]
fn for_routers_time_and_chance_are_always_the_same() {
    let artifact = load(&described(&router_with(IMPORTS, TELL), "chatty-router")).unwrap();
    let call = || {
        let mut instance = RouterInstance::new(&artifact, LIMITS, Arc::new(Journal::default())).unwrap();
        instance.configure(0, "{}").unwrap_err().to_string()
    };
    assert_eq!(call(), on_worker(call));
}

#[test]
fn for_policies_they_are_not() {
    let artifact = load(&described(&policy_with(IMPORTS, TELL), "chatty")).unwrap();
    let call = || {
        let mut instance = start_artifact(&artifact, Arc::new(Journal::default()));
        instance.on_request(0, Exchange::default(), &[]).1.unwrap_err().to_string()
    };
    assert_ne!(call(), on_worker(call));
}

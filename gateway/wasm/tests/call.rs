//! What a call does, and what a hostile guest cannot do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use sluice_wasm::{CallError, Level, Outcome, Subscription, Verdict};
use support::{Exchange, Journal, described, load, policy, start, start_artifact};

const NEXT: &str = "(i32.const 2048)";

/// Runs `on-request` once and gives what went wrong.
fn failure(on_request: &str) -> CallError {
    let mut instance = start(on_request);
    let (_, result) = instance.on_request(0, Exchange::default(), &[]);
    let error = result.unwrap_err();
    assert!(instance.is_spent());
    let (_, again) = instance.on_request(0, Exchange::default(), &[]);
    assert_eq!(again.unwrap_err().kind(), "spent");
    error
}

#[test]
fn a_subscription_comes_from_configure() {
    let journal = Arc::new(Journal::default());
    let artifact = load(&described(&policy(NEXT), "policy")).unwrap();
    let mut instance = start_artifact(&artifact, journal.clone());
    let wanted = instance.configure(3, "{}", journal.clone()).unwrap().unwrap();
    let expected = Subscription { on_request: true, request_body_status: 413, ..Subscription::default() };
    assert_eq!(wanted, expected);
    assert_eq!(*journal.opened.lock().unwrap(), ["x", "x"]);
}

#[test]
fn verdicts_come_back_with_the_exchange() {
    let delay = "(i32.store8 (i32.const 4096) (i32.const 2)) (i64.store (i32.const 4104) (i64.const 5000000))
        (i64.store (i32.const 4112) (i64.const 9)) (i32.const 4096)";
    let mut instance = start(delay);
    let (_, verdict) = instance.on_request(0, Exchange::default(), &[Some("a"), None]);
    assert_eq!(verdict.unwrap(), Verdict::Delay { time: Duration::from_millis(5), context: 9 });
}

#[test]
fn pushed_fields_arrive() {
    // The first field's length (an option<string> is 12 bytes: tag, address, length) becomes the context.
    let measure = "(i64.store (i32.const 4104) (i64.load32_u offset=8 (local.get $fields))) (i32.const 4096)";
    let mut instance = start(measure);
    let (_, verdict) = instance.on_request(0, Exchange::default(), &[Some("four"), None]);
    assert_eq!(verdict.unwrap(), Verdict::Next { context: 4 });
}

#[test]
fn the_exchange_is_read_and_changed() {
    // Reads the method (case 0) and sets a header to as many bytes as it has.
    let edit = "(call $request_field (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4200))
        (call $set_response_header (i32.const 3072) (i32.const 7) (i32.const 3080)
            (i32.load (i32.const 4208)) (i32.const 4300))
        (i32.const 2048)";
    let mut instance = start(edit);
    let (exchange, verdict) = instance.on_request(0, Exchange::default(), &[]);
    assert_eq!(verdict.unwrap(), Verdict::Next { context: 0 });
    assert_eq!(exchange.set, [("x-guest".to_owned(), "was ".to_owned())]);
}

#[test]
fn state_is_that_of_the_use_being_called() {
    let reserve = "(call $reserve (i32.const 0) (i32.const 3072) (i32.const 7) (i32.const 1) (i64.const 0)
        (i32.const 4200)) (i32.const 2048)";
    let artifact = load(&described(&policy(reserve), "policy")).unwrap();
    let (first, second) = (Arc::new(Journal::default()), Arc::new(Journal::default()));
    let mut instance = start_artifact(&artifact, first.clone());
    instance.configure(1, "{}", second.clone()).unwrap().unwrap();
    instance.on_request(1, Exchange::default(), &[]).1.unwrap();
    assert_eq!(first.reserved.lock().unwrap().len(), 0);
    assert_eq!(*second.reserved.lock().unwrap(), ["x-guest"]);
    instance.release(1).unwrap();
    assert_eq!(instance.on_request(1, Exchange::default(), &[]).1.unwrap_err().kind(), "contract");
}

#[test]
fn buckets_are_not_opened_in_hooks() {
    // The result's tag, 1 for an error, becomes the context.
    let open =
        "(call $open_bucket (i32.const 3072) (i32.const 7) (i32.const 0) (i64.const 1) (i64.const 1) (i64.const 1)
        (i32.const 4200)) (i64.store (i32.const 4104) (i64.load8_u (i32.const 4200))) (i32.const 4096)";
    let (_, verdict) = start(open).on_request(0, Exchange::default(), &[]);
    assert_eq!(verdict.unwrap(), Verdict::Next { context: 1 });
}

#[test]
fn an_infinite_loop_is_stopped() {
    let error = failure("(loop (br 0)) (unreachable)");
    assert!(matches!(error, CallError::Deadline(_)), "{error}");
    assert_eq!(error.kind(), "timeout");
}

#[test]
fn a_deadline_is_new_for_every_call() {
    // A loop of some length, many times: together they take longer than one deadline, each alone does not.
    let work = "(local $n i32) (loop (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 100000)))) (i32.const 2048)";
    let mut instance = start(work);
    let start = std::time::Instant::now();
    while start.elapsed() < support::LIMITS.deadline * 3 {
        instance.on_request(0, Exchange::default(), &[]).1.unwrap();
    }
}

#[test]
fn a_memory_bomb_is_refused() {
    let error = failure("(loop (drop (memory.grow (i32.const 16))) (br 0)) (unreachable)");
    let CallError::Memory { wanted, limit } = error else { panic!("{error}") };
    assert_eq!(limit, support::LIMITS.memory);
    assert!(wanted > limit);
}

#[test]
fn endless_recursion_is_stopped() {
    let error = failure("(call $deep)");
    assert_eq!(error.kind(), "stack");
}

#[test]
fn a_trap_spends_the_instance_and_a_new_one_works() {
    // Traps when two fields are pushed.
    let picky = "(if (i32.eq (local.get $count) (i32.const 2)) (then (unreachable))) (i32.const 2048)";
    let artifact = load(&described(&policy(picky), "policy")).unwrap();
    let journal = Arc::new(Journal::default());
    let mut instance = start_artifact(&artifact, journal.clone());
    let note = || Exchange { set: vec![("kept".to_owned(), "yes".to_owned())] };
    instance.on_request(0, note(), &[]).1.unwrap();
    let (exchange, result) = instance.on_request(0, note(), &[None, None]);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), "trap");
    assert!(error.backtrace().is_some());
    assert_eq!(exchange, note());
    assert!(instance.is_spent());
    let mut fresh = start_artifact(&artifact, journal);
    fresh.on_request(0, note(), &[]).1.unwrap();
}

#[test]
fn a_trap_in_on_complete_is_an_error() {
    let mut instance = start(NEXT);
    let outcome = Outcome::new(200, Duration::ZERO);
    assert_eq!(instance.on_complete(0, 0, outcome, None).unwrap_err().kind(), "trap");
}

#[test]
fn an_answer_no_client_could_get_breaks_the_contract() {
    let status_7 = "(i32.store8 (i32.const 4096) (i32.const 1)) (i32.store16 (i32.const 4104) (i32.const 7))
        (i32.const 4096)";
    assert_eq!(
        failure(status_7).to_string(),
        "the plugin broke its contract: it answered with status 7, which is not one of 200 to 599"
    );
}

#[test]
fn an_address_outside_the_guests_memory_breaks_the_contract() {
    let error = failure("(i32.const 0x7ffffff8)");
    assert!(matches!(error, CallError::Contract(_) | CallError::Trap { .. }), "{error}");
}

#[test]
fn the_host_takes_no_more_than_its_share_of_bytes() {
    // Sixty copies of one 100 KiB header value in an answer of a few hundred bytes of guest memory.
    let bomb = "(local $n i32)
        (i32.store8 (i32.const 4096) (i32.const 1)) (i32.store16 (i32.const 4104) (i32.const 200))
        (i32.store (i32.const 4108) (i32.const 16384)) (i32.store (i32.const 4112) (i32.const 60))
        (loop (i32.store offset=16392 (i32.mul (local.get $n) (i32.const 16)) (i32.const 20000))
            (i32.store offset=16396 (i32.mul (local.get $n) (i32.const 16)) (i32.const 100000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 60))))
        (i32.const 4096)";
    let error = failure(bomb);
    assert!(matches!(error, CallError::Contract(_)), "{error}");
}

#[test]
fn log_lines_have_a_budget() {
    let flood = "(local $n i32)
        (loop (call $log (i32.const 1) (i32.const 3080) (i32.const 8))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000))))
        (i32.const 2048)";
    let journal = Arc::new(Journal::default());
    let artifact = load(&described(&policy(flood), "policy")).unwrap();
    let mut instance = start_artifact(&artifact, journal.clone());
    instance.on_request(0, Exchange::default(), &[]).1.unwrap();
    let lines = journal.lines.lock().unwrap();
    assert_eq!(lines.first(), Some(&(Level::Warn, "was here".to_owned())));
    // A second may end within the call.
    assert!((100..=200).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(lines.len() as u64 + artifact.dropped_log_lines(), 1000);
}

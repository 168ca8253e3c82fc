//! What the calls of a policy plugin cost on this machine: `call-cost PLUGIN.wasm`, for `rate-limit`.
//!
//! The host's state answers at once, so this is the price of the boundary and of the guest. It is counted in the
//! thread's CPU time, which other processes disturb less than the clock.

#![allow(clippy::print_stdout, reason = "it prints its result")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use sluice_wasm::{
    Artifact, BucketSpec, Engine, ExchangeHost, Field, Level, Limits, PluginLog, PolicyInstance, PolicyPre,
    PolicyState, Reservation,
};

const CLIENT: &str = "203.0.113.7";
const LIMITS: Limits = Limits { deadline: Duration::from_millis(50), memory: 16 << 20 };
const CALLS: u32 = 200_000;
const INSTANCES: u32 = 2_000;
const ROUNDS: usize = 9;

struct Host;

impl PluginLog for Host {
    fn write(&self, _: Level, _: &str) {}
}

impl PolicyState for Host {
    fn open_bucket(&self, _: &str, _: BucketSpec) -> Result<u32, String> {
        Ok(0)
    }

    fn reserve(&self, _: u32, key: &str, _: u32, _: u64) -> Reservation {
        black_box(key);
        Reservation::Granted { wait_ns: 0, remaining: 1 }
    }

    fn refund(&self, _: u32, _: &str, _: u32) {}
}

/// As large as what a gateway would move: a few pointers.
struct Exchange {
    _context: [usize; 4],
}

impl ExchangeHost for Exchange {
    fn request_field(&self, _: Field<'_>) -> Option<String> {
        Some(CLIENT.to_owned())
    }

    fn look(&self, _: &Field<'_>, look: &mut dyn FnMut(Option<&str>)) {
        look(Some(black_box(CLIENT)));
    }

    fn set_request_header(&mut self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn remove_request_header(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn set_response_header(&mut self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn remove_response_header(&mut self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: call-cost PLUGIN.wasm")?;
    let bytes = std::fs::read(&path)?;
    let start = cpu_time()?;
    let artifact = Artifact::load(&Engine::new(None)?, "rate-limit", &bytes)?;
    println!("load {} bytes: {:?}", bytes.len(), cpu_time()? - start);
    println!("imports: {}", artifact.imports().join(", "));

    let policy = PolicyPre::<Exchange>::new(&artifact)?;
    let host = Arc::new(Host);
    let settings = r#"{"average":100,"period":"1s","burst":50}"#;
    let start = cpu_time()?;
    for _ in 0..INSTANCES {
        black_box(PolicyInstance::new(&policy, LIMITS, host.clone())?);
    }
    let created = cpu_time()?;
    for _ in 0..INSTANCES {
        PolicyInstance::new(&policy, LIMITS, host.clone())?.configure(0, settings, host.clone())??;
    }
    println!("new instance: {:?}", (created - start) / INSTANCES);
    println!("new instance, configured: {:?}", (cpu_time()? - created) / INSTANCES);

    let mut instance = PolicyInstance::new(&policy, LIMITS, host.clone())?;
    instance.configure(0, settings, host)??;
    println!("on_request: {} ns (median of {ROUNDS} rounds)", median_request(&mut instance)?);
    Ok(())
}

/// What this thread has used, as Linux counts it.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().ok_or("no time in /proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

fn median_request(instance: &mut PolicyInstance<Exchange>) -> Result<u128, Box<dyn Error>> {
    let mut exchange = Exchange { _context: [0; 4] };
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = cpu_time()?;
        for _ in 0..CALLS {
            let (back, verdict) = instance.on_request_lean(0, exchange, black_box(1));
            black_box(verdict?);
            exchange = back;
        }
        rounds.push((cpu_time()? - start).as_nanos() / u128::from(CALLS));
    }
    rounds.sort_unstable();
    Ok(rounds.get(ROUNDS / 2).copied().unwrap_or_default())
}

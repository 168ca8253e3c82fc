//! The `sluice` binary.

use std::process::ExitCode;

/// Small, short-lived allocations on several threads are what a proxy does most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice_gateway::cli::main()
}

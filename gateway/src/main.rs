//! The `sluice` binary.

use std::process::ExitCode;

/// Small, short-lived allocations on several threads are what a proxy does most. It asks for no huge pages (the feature
/// `no_thp`): they double the memory of connections at rest, and requests cost the same without.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice_gateway::cli::main()
}

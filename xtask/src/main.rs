//! What cargo cannot say: the demo, everything CI checks, the benchmarks, and the plugins as components.
//!
//! Run as `cargo xtask VERB`. A verb that needs the gateway or a plugin builds it first.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks through them")]

mod bench;
mod conformance;
mod demo;
mod differential;
mod http;
mod layers;
mod process;
mod protocols;
mod steps;
mod suite;
mod workspace;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Tasks of the Sluice repository")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start the article's scenario and print what to try; runs until Ctrl-C
    Demo(demo::Options),
    /// Run everything CI checks
    Test(suite::Options),
    /// Compare the gateway's CPU time per request with that of other proxies
    Bench(bench::Options),
    /// Build the default plugins as components into target/plugins
    Plugins,
    /// Check which folders of the gateway import which
    Layers,
    /// Try the gateway with curl, h2load, WebSocket clients and slow attackers, as far as they are installed
    Protocols(protocols::Options),
    /// Run the tag vectors of ../shared/conformance against the built gateway and a real Consul agent
    Conformance,
    /// Compare the gateway with a real Traefik beside the same Consul
    Differential(differential::Options),
    /// One of the demo's services: answers every request with the same text
    #[command(hide = true)]
    DemoInstance {
        /// Shown in `X-Instance` and in front of each log line
        name: String,
        /// Where to listen
        address: SocketAddr,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => suite::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Plugins => workspace::build_plugins(),
        Verb::Layers => layers::check(),
        Verb::Protocols(options) => protocols::run(&options),
        Verb::Conformance => conformance::run_alone(),
        Verb::Differential(options) => differential::run(&options),
        Verb::DemoInstance { name, address } => demo::serve_instance(&name, address),
    }
}

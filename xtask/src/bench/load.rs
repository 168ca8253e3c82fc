//! The work a proxy is given, and the program that gives it: `wrk`, or `h2load` for HTTP/2, from Debian; for small
//! requests a generator of our own takes the place of a `wrk` that is missing.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Place;
use super::output::{self, Figures};
use crate::workspace::{find_program, root};

/// The route that is asked for, one of many.
pub(crate) const HOST: &str = "service-5.bench.test";
/// Connections kept open, each with one request on its way.
pub(crate) const CONNECTIONS: usize = 32;
const MIB: usize = 1024 * 1024;

/// One kind of work.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    kind: Kind,
    tls: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Small,
    /// A connection for each request.
    Connections,
    Http2,
    Download(usize),
    Upload(usize),
}

impl Work {
    pub(crate) const SMALL: Self = Self { kind: Kind::Small, tls: false };
    pub(crate) const CONNECTIONS: Self = Self { kind: Kind::Connections, tls: false };
    pub(crate) const HTTP2: Self = Self { kind: Kind::Http2, tls: true };

    pub(crate) const fn download(mib: usize) -> Self {
        Self { kind: Kind::Download(mib * MIB), tls: false }
    }

    pub(crate) const fn upload(mib: usize) -> Self {
        Self { kind: Kind::Upload(mib * MIB), tls: false }
    }

    pub(crate) const fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Works for so long, and says what came of it.
    pub(crate) fn run(&self, place: &Place, seconds: u64) -> Result<Figures> {
        match (self.kind, find_program("wrk")) {
            (Kind::Http2, _) => h2load(place, seconds),
            (_, Some(wrk)) => run(Command::new(wrk).args(self.wrk_arguments(place, seconds)), output::of_wrk),
            (Kind::Small, None) if !self.tls => own(place, seconds, None),
            (_, None) => anyhow::bail!("wrk is not installed"),
        }
    }

    fn wrk_arguments(&self, place: &Place, seconds: u64) -> Vec<String> {
        // Large bodies fill the buffers of a few connections; more of them measure the machine's cache.
        let connections = match self.kind {
            Kind::Download(size) | Kind::Upload(size) if size > MIB => 4,
            Kind::Download(_) | Kind::Upload(_) => 16,
            _ => CONNECTIONS,
        };
        let (scheme, listen) = (if self.tls { "https" } else { "http" }, place.listen);
        let mut arguments = vec!["--threads=1".to_owned(), "--latency".to_owned(), "--timeout=30s".to_owned()];
        arguments.push(format!("--connections={connections}"));
        arguments.push(format!("--duration={seconds}s"));
        arguments.push(format!("--header=Host: {HOST}"));
        let path = match self.kind {
            Kind::Download(size) => format!("bytes/{size}"),
            _ => String::new(),
        };
        match self.kind {
            Kind::Connections => arguments.push("--header=Connection: close".to_owned()),
            Kind::Upload(_) => arguments.push(format!("--script={}", root().join("tests/bench/upload.lua").display())),
            _ => {}
        }
        arguments.push(format!("{scheme}://{listen}/{path}"));
        if let Kind::Upload(size) = self.kind {
            arguments.extend(["--".to_owned(), size.to_string()]);
        }
        arguments
    }
}

/// As many streams at once on each connection as a browser's page asks for.
fn h2load(place: &Place, seconds: u64) -> Result<Figures> {
    let program = find_program("h2load").context("h2load is not installed")?;
    let mut command = Command::new(program);
    command.args(["--threads=1", "--max-concurrent-streams=4", "--clients=8"]);
    command.arg(format!("--duration={seconds}")).arg(format!("--connect-to={}", place.listen));
    run(command.arg(format!("https://{HOST}/")), output::of_h2load)
}

/// Our own generator, at a rate where one is given, else as fast as it is answered.
pub(crate) fn own(place: &Place, seconds: u64, rate: Option<u32>) -> Result<Figures> {
    ask(place, HOST, seconds, rate, None)
}

/// The same for another host, with a line of the head.
pub(crate) fn ask(place: &Place, host: &str, seconds: u64, rate: Option<u32>, header: Option<&str>) -> Result<Figures> {
    let mut command = Command::new(place.binaries.join("bench-load"));
    command.args([&place.listen.to_string(), host, &CONNECTIONS.to_string(), &seconds.to_string()]);
    run(command.args(rate.map(|rate| rate.to_string())).args(header), output::of_wrk)
}

fn run(command: &mut Command, parse: fn(&str) -> Option<Figures>) -> Result<Figures> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).with_context(|| format!("read the output of {name}:\n{text}"))
}

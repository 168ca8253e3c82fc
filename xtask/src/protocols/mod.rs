//! The gateway against programs of others: `curl` and `h2load` over HTTP/2, `websockets` from PyPI, server-sent events,
//! and `slowhttptest`. What is not installed is skipped, loudly.

mod slow;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::http;
use crate::process::Child;
use crate::steps::{Counts, Outcome, Runner};
use crate::workspace::{build_gateway, cargo, execute, find_program, target_dir};

const UPSTREAM: &str = include_str!("upstream.py");
const WEBSOCKET: &str = include_str!("websocket.py");

#[derive(Args)]
pub(crate) struct Options {
    /// Run only this case
    #[arg(long, value_name = "CASE")]
    only: Option<String>,
}

/// A gateway with an upstream behind it.
struct Stage {
    folder: PathBuf,
    gateway: SocketAddr,
    admin: SocketAddr,
    chat: SocketAddr,
    // Dropped in this order.
    _processes: [Child; 2],
}

/// Runs the cases.
pub(crate) fn run(options: &Options) -> Result<()> {
    let binary = build_gateway()?;
    let mut runner = Runner::new(options.only.clone());
    runner.step("curl", |_| with(&binary, &["curl"], curl));
    runner.step("h2load", |_| with(&binary, &["h2load"], h2load));
    runner.step("events", |_| with(&binary, &["curl"], events));
    runner.step("websockets", |_| websockets(&binary));
    runner.step("llhttp", |_| llhttp());
    runner.step("slowhttptest", |_| with(&binary, &["slowhttptest", "wrk"], slow::attack));
    runner.finish()
}

/// Runs a case where the programs it needs are installed.
fn with(binary: &Path, programs: &[&str], case: impl FnOnce(&Stage) -> Result<()>) -> Result<Outcome> {
    if let Some(missing) = ["python3"].iter().chain(programs).find(|name| find_program(name).is_none()) {
        return Ok(Outcome::Skipped(format!("{missing} is not installed")));
    }
    case(&Stage::start(binary)?)?;
    Ok(Outcome::Passed(Counts::ONE))
}

impl Stage {
    fn start(binary: &Path) -> Result<Self> {
        let folder = target_dir().join("protocols");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let (gateway, admin) = (free_address()?, free_address()?);
        let (upstream, chat) = (free_address()?, free_address()?);
        // Attackers cannot be told to ask for another host than the address they attack.
        let service = |name: &str, hosts: &str, port: u16| {
            format!(
                "[[service]]\nname = \"{name}\"\ntags = [\"traefik.frontend.rule=Host:{hosts}\"]\n\
                 instances = [{{ id = \"{name}\", address = \"127.0.0.1\", port = {port} }}]\n"
            )
        };
        let services =
            service("shop", "shop.test,127.0.0.1", upstream.port()) + &service("chat", "chat.test", chat.port());
        let config = format!(
            "[entrypoints.web]\naddress = \"{gateway}\"\n[admin]\naddress = \"{admin}\"\n[providers.file]\npath = \"services.toml\"\n\
             [state]\ndirectory = \"state\"\n"
        );
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write("services.toml", &services)?;
        write("sluice.toml", &config)?;
        write("upstream.py", UPSTREAM)?;
        write("websocket.py", WEBSOCKET)?;
        let mut python = Command::new("python3");
        python.arg(folder.join("upstream.py")).arg(upstream.port().to_string());
        let served = Child::spawn_logged("upstream", &mut python, &folder.join("upstream.log"))?;
        let mut sluice = Command::new(binary);
        sluice.args(["run", "--config"]).arg(folder.join("sluice.toml")).current_dir(&folder);
        let mut running = Child::spawn_logged("sluice", &mut sluice, &folder.join("sluice.log"))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(gateway).is_err() || !answers(gateway) || TcpStream::connect(upstream).is_err() {
            running.check()?;
            ensure!(Instant::now() < deadline, "the gateway does not serve{}", running.log_tail());
            sleep(Duration::from_millis(50));
        }
        Ok(Self { folder, gateway, admin, chat, _processes: [running, served] })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }
}

/// Whether the route is there yet.
fn answers(gateway: SocketAddr) -> bool {
    http::request(gateway, "GET", "shop.test", "/", "").is_ok_and(|answer| answer.status == 200)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?)
}

/// What a program prints; it has to end well, or with one of these codes.
fn output(command: &mut Command, codes: &[i32]) -> Result<String> {
    let output = command.output().with_context(|| format!("start {}", command.get_program().display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let fine = output.status.success() || output.status.code().is_some_and(|code| codes.contains(&code));
    ensure!(
        fine,
        "{} ended with {}: {text}{}",
        command.get_program().display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

fn curl(stage: &Stage) -> Result<()> {
    // Prior knowledge, and an upgrade that is declined.
    for (flag, version) in [("--http2-prior-knowledge", "2"), ("--http2", "1.1"), ("--http1.1", "1.1")] {
        let mut command = Command::new("curl");
        command.args(["-sS", flag, "-H", "Host: shop.test", "-w", " %{http_code} %{http_version}"]).arg(stage.url("/"));
        let text = output(&mut command, &[])?;
        ensure!(text == format!("hello 200 {version}"), "curl {flag} got {text:?}");
    }
    Ok(())
}

fn h2load(stage: &Stage) -> Result<()> {
    let mut command = Command::new("h2load");
    command.args(["-n", "5000", "-c", "10", "-m", "10", "-H", ":authority: shop.test"]).arg(stage.url("/"));
    let text = output(&mut command, &[])?;
    ensure!(text.contains("5000 succeeded") && text.contains("status codes: 5000 2xx"), "h2load says:\n{text}");
    Ok(())
}

fn events(stage: &Stage) -> Result<()> {
    const TIMED_OUT: i32 = 28;
    let mut command = Command::new("curl");
    command.args(["-sSN", "-m", "2", "-H", "Host: shop.test"]).arg(stage.url("/events"));
    let text = output(&mut command, &[TIMED_OUT])?;
    ensure!(text == "data: first\n\n", "two seconds into a stream of events the client has {text:?}");
    Ok(())
}

fn websockets(binary: &Path) -> Result<Outcome> {
    let python = match python_with_websockets() {
        Ok(python) => python,
        Err(error) => return Ok(Outcome::Skipped(format!("the package websockets cannot be had: {error:#}"))),
    };
    with(binary, &[], |stage| {
        let mut command = Command::new(python);
        command
            .arg(stage.folder.join("websocket.py"))
            .arg(stage.chat.port().to_string())
            .arg(stage.gateway.to_string());
        let text = output(&mut command, &[])?;
        ensure!(text.trim() == "ok", "the clients say {text:?}");
        Ok(())
    })
}

fn python_with_websockets() -> Result<PathBuf> {
    let environment = target_dir().join("protocols/python");
    let python = environment.join("bin/python");
    if !python.is_file() {
        execute(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    execute(Command::new(&python).args(["-m", "pip", "install", "--quiet", "websockets"]))?;
    Ok(python)
}

/// Replays the requests of llhttp's test suite, which aiohttp's source distribution carries.
fn llhttp() -> Result<Outcome> {
    let folder = target_dir().join("protocols/llhttp");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "aiohttp", "--dest"]).arg(&folder);
    if let Err(error) = execute(download.arg("aiohttp")) {
        return Ok(Outcome::Skipped(format!("the sources of aiohttp cannot be had: {error:#}")));
    }
    let archive = archives(&folder)?.pop().context("pip downloaded nothing")?;
    execute(Command::new("tar").arg("-xzf").arg(&archive).args(["--strip-components=1", "-C"]).arg(&folder))?;
    // With its neighbours, as everywhere: alone it would have everything compiled again with other features.
    let packages = ["sluice-gateway", "sluice-wasm", "sluice-tests"].map(|package| ["--package", package]).concat();
    let mut test = cargo(&["test", "--release", "--lib"]);
    test.args(packages).arg("llhttp");
    execute(test.env("SLUICE_LLHTTP", folder.join("vendor/llhttp/test/request")))?;
    Ok(Outcome::Passed(Counts::ONE))
}

/// The source distributions in a folder, the newest last.
fn archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".tar.gz") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

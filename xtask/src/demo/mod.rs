//! The article's scenario: three instances of a Go service, one of a Python service, and the gateway in front.
//!
//! Configuration, catalog and the Python service are those of `examples/article/`, with the ports filled in. Runs
//! until it is told to stop, and leaves nothing running.

mod instance;
pub(crate) mod registry;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

pub(crate) use instance::serve as serve_instance;
use registry::Registry;

use crate::http;
use crate::process::Child;
use crate::workspace::{build_gateway, find_program, root, target_dir};

const GO_HOST: &str = "go.traefix.example.localhost";
const PYTHON_HOST: &str = "python.traefix.example.localhost";
/// The article's `SERVICE_TAGS`, as its docker-compose file has them.
const GO_TAGS: &str =
    "traefik.enable=true,traefik.frontend.entryPoints=http,traefik.frontend.rule=Host:go.traefix.example.localhost";
const PYTHON_TAGS: &str =
    "traefik.enable=true,traefik.frontend.entryPoints=http,traefik.frontend.rule=Host:python.traefix.example.localhost";
/// Ports of the example files, each replaced by one that is free here.
const GO_PORTS: [&str; 3] = ["9091", "9092", "9093"];
const PYTHON_PORT: &str = "5000";
/// Generous, for a machine that is busy compiling.
const START: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// Discover the services through a real Consul agent instead of a file
    #[arg(long)]
    consul: bool,
    /// The agent to use; without it a dev agent is started from `consul` on PATH
    #[arg(long, value_name = "ADDRESS", requires = "consul")]
    consul_addr: Option<SocketAddr>,
    /// Where the gateway serves
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Where the gateway's admin API serves
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    admin: SocketAddr,
    /// Where the configuration, the catalog and the logs of this run go; target/demo unless given
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// A running instance of one of the two services.
struct Instance {
    service: &'static str,
    id: &'static str,
    tags: &'static str,
    example_port: &'static str,
    address: SocketAddr,
    process: Child,
}

/// Builds, starts everything, prints what to try, and waits for Ctrl-C.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stop = stop_flag()?;
    let gateway = build_gateway()?;
    let folder = options.folder.clone().unwrap_or_else(|| target_dir().join("demo"));
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;

    let mut instances = start_instances()?;
    // Dropped before the instances, so that the agent forgets them while they still answer.
    let registry = if options.consul { Some(register(options, &instances, &folder)?) } else { None };
    let config = write_files(options, &instances, registry.as_ref(), &folder)?;
    let mut gateway = start_gateway(&gateway, &config, &folder)?;
    wait_until_routed(options, &instances, &mut gateway)?;
    announce(options, &instances, registry.as_ref(), &folder);
    watch(&stop, &mut instances, &mut gateway)?;
    println!("\nstopping");
    Ok(())
}

fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("listen for Ctrl-C")?;
    }
    Ok(stop)
}

fn start_instances() -> Result<Vec<Instance>> {
    let mut instances = Vec::new();
    for (id, example_port) in ["go-1", "go-2", "go-3"].into_iter().zip(GO_PORTS) {
        let address = free_address()?;
        let mut command = command(&std::env::current_exe()?);
        command.args(["demo-instance", id, &address.to_string()]);
        let process = Child::spawn(id, &mut command)?;
        instances.push(Instance { service: "web-go", id, tags: GO_TAGS, example_port, address, process });
    }
    if let Some(python) = find_program("python3") {
        let address = free_address()?;
        let mut command = command(&python);
        command.arg(root().join("examples/article/app.py")).arg(address.port().to_string());
        let process = Child::spawn("python-1", &mut command)?;
        let (service, id) = ("web-python", "python-1");
        instances.push(Instance { service, id, tags: PYTHON_TAGS, example_port: PYTHON_PORT, address, process });
    } else {
        println!("note: no python3 on PATH, so the Python service is left out");
    }
    Ok(instances)
}

/// A command in a process group of its own: Ctrl-C is for the demo, which ends its processes in the right order.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

/// An address nothing listens on. Another program could take it before it is used; the start then fails and says so.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?)
}

fn register(options: &Options, instances: &[Instance], folder: &Path) -> Result<Registry> {
    let mut registry = match options.consul_addr {
        Some(address) => Registry::at(address)?,
        None => Registry::start(folder)?,
    };
    for instance in instances {
        // Registrator splits the variable at every comma.
        let tags: Vec<_> = instance.tags.split(',').collect();
        registry.register(instance.service, instance.id, instance.address, &tags)?;
    }
    Ok(registry)
}

/// Writes the example's files with this run's addresses, and returns the gateway's configuration.
fn write_files(
    options: &Options,
    instances: &[Instance],
    registry: Option<&Registry>,
    folder: &Path,
) -> Result<PathBuf> {
    let example = root().join("examples/article");
    let read =
        |name: &str| fs::read_to_string(example.join(name)).with_context(|| format!("read examples/article/{name}"));
    let name = if registry.is_some() { "sluice-consul.toml" } else { "sluice.toml" };
    let mut config = read(name)?
        .replace("127.0.0.1:8000", &options.listen.to_string())
        .replace("127.0.0.1:8080", &options.admin.to_string());
    if let Some(registry) = registry {
        config = config.replace("127.0.0.1:8500", &registry.address().to_string());
    }
    let mut services = read("services.toml")?;
    for instance in instances {
        let port = |number: &str| format!("port = {number} ");
        services = services.replace(&port(instance.example_port), &port(&instance.address.port().to_string()));
    }
    let path = folder.join("sluice.toml");
    fs::write(&path, config).with_context(|| format!("write {}", path.display()))?;
    fs::write(folder.join("services.toml"), services).context("write services.toml")?;
    Ok(path)
}

fn start_gateway(binary: &Path, config: &Path, folder: &Path) -> Result<Child> {
    let mut command = command(binary);
    command.args(["run", "--config"]).arg(config).current_dir(folder);
    Child::spawn_logged("gateway", &mut command, &folder.join("gateway.log"))
}

fn wait_until_routed(options: &Options, instances: &[Instance], gateway: &mut Child) -> Result<()> {
    let deadline = Instant::now() + START;
    let python = instances.iter().any(|instance| instance.tags == PYTHON_TAGS);
    let hosts = if python { &[GO_HOST, PYTHON_HOST][..] } else { &[GO_HOST] };
    for host in hosts {
        while !http::request(options.listen, "GET", host, "/", "").is_ok_and(|answer| answer.status == 200) {
            gateway.check()?;
            ensure!(Instant::now() < deadline, "{host} is not routed after {START:?}{}", gateway.log_tail());
            sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn announce(options: &Options, instances: &[Instance], registry: Option<&Registry>, folder: &Path) {
    let Options { listen, admin, .. } = options;
    println!("\nThe article's scenario is running:");
    for Instance { service, id, address, .. } in instances {
        println!("  {service:<11} {id:<9} http://{address}");
    }
    if let Some(registry) = registry {
        println!("  consul                http://{}/ui", registry.address());
    }
    println!("\nTry:");
    for host in [GO_HOST, PYTHON_HOST, "nobody.example.localhost"] {
        println!("  curl -s -H 'Host: {host}' http://{listen}/");
    }
    println!("\nLook at:");
    for path in ["/api/http/routers", "/api/http/services", "/api/plugins", "/api/discovery", "/api/generation"] {
        println!("  http://{admin}{path}");
    }
    let catalog = registry.map_or("edit services.toml there and watch the routes follow", |_| "the gateway's log");
    println!("\nFiles: {} ({catalog})", folder.display());
    println!("Ctrl-C stops everything.\n");
}

fn watch(stop: &AtomicBool, instances: &mut [Instance], gateway: &mut Child) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        gateway.check()?;
        for instance in &mut *instances {
            instance.process.check()?;
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_example_holds_the_articles_tags_and_every_port_that_is_filled_in() {
        let services = fs::read_to_string(root().join("examples/article/services.toml")).unwrap();
        for tag in GO_TAGS.split(',').chain(PYTHON_TAGS.split(',')) {
            assert!(services.contains(&format!("\"{tag}\"")), "{tag}");
        }
        for port in GO_PORTS.into_iter().chain([PYTHON_PORT]) {
            assert!(services.contains(&format!("port = {port} ")), "{port}");
        }
    }
}

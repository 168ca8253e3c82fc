//! gRPC through the gateway, with grpcio at both ends.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use sluice_tests::catalog::Service;
use sluice_tests::gateway::Setup;
use sluice_tests::process::{free_address, repository, target_dir};

/// A Python that has grpcio: the one `GRPC_PYTHON` names, or the one `cargo xtask test` has prepared. Where there is none
/// the test passes and says so, except in CI.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("GRPC_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| target_dir().join("grpc/bin/python"));
    let works = Command::new(&python).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
    if works.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "CI tests gRPC, and {} has no grpcio", python.display());
    let _ = writeln!(std::io::stderr(), "skipped: no Python with grpcio; `cargo xtask test` prepares one");
    None
}

/// A server that ends with the test.
struct Server {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    fn start(python: &PathBuf) -> (Self, u16) {
        let script = repository().join("tests/grpc/server.py");
        let command = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = command.expect("start the gRPC server");
        let lines = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut server = Self { process, lines };
        let port = server.line();
        (server, port.strip_prefix("port ").expect("its port").parse().expect("a number"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("read from the server");
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn service(name: &str, port: u16) -> Service {
    let service = Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")]);
    let option = |option: &str| format!("traefik.http.services.{name}.loadbalancer.{option}");
    let service = service.tag(&option("server.scheme=h2c")).tag(&option("healthcheck.mode=grpc"));
    service.tag(&option("healthcheck.interval=100ms")).at_port(port, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn all_four_kinds_of_calls_pass() {
    let Some(python) = python() else { return };
    let (mut server, port) = Server::start(&python);
    let services = [service("calls", port), service("dead", free_address().port())];
    let gateway = Setup::with_services(&services).start().await;
    sluice_tests::until("the check of the dead one fails", async || {
        gateway.api("/api/http/services/dead@file").await["serverStatus"].to_string().contains("DOWN")
    })
    .await;
    let script = repository().join("tests/grpc/client.py");
    let address = gateway.web().to_string();
    let client = Command::new(&python).arg(script).args([&address, "calls.test", "dead.test"]).output();
    let client = client.expect("run the gRPC client");
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    let results: Value = serde_json::from_slice(&client.stdout).expect("JSON");

    assert_eq!(results["unary"], json!(["HELLO", [["x-seen", "header"], ["x-trailer", "unary"]]]));
    assert_eq!(results["server-stream"], json!(["01234", [["x-trailer", "stream"]]]));
    assert_eq!((&results["client-stream"], &results["both"]), (&json!("a+b+c"), &json!(["x!", "y!"])));
    assert_eq!(results["fail"], json!(["INVALID_ARGUMENT", "no such thing"]));
    assert_eq!((&results["unknown"][0], &results["large"]), (&json!("UNIMPLEMENTED"), &json!(true)));
    assert_eq!((&results["hang"], &results["deadline"][0]), (&json!("begun"), &json!("deadline")));
    assert_eq!(results["deadline"][1], "DEADLINE_EXCEEDED");
    assert_eq!(results["broken"], json!(["UNAVAILABLE", "no available server"]));
    // The server's calls never end by themselves: that they do shows that it heard of the client's end.
    let cancelled = [server.line(), server.line()];
    let heard = |which: &str| {
        let line = cancelled.iter().find_map(|line| line.strip_prefix(&format!("cancelled {which} ")));
        line.unwrap_or_else(|| panic!("the server did not hear of {which}: {cancelled:?}"))
            .parse::<f64>()
            .expect("a time")
    };
    // Both clocks are this machine's.
    let took = heard("by-hand") - results["cancelled-at"].as_f64().expect("a time");
    let _ = writeln!(std::io::stderr(), "a cancelled call reached the server after {:.1} ms", took * 1000.0);
    assert!(took < 1.0, "{took} s; a tenth of a second is wanted, and the rest is for a busy machine");
    assert!(heard("by-hand") < heard("by-deadline"), "it did not wait for anything else");
    let checked = gateway.api("/api/http/services/calls@file").await;
    assert!(checked["servers"][0]["healthCheck"]["passes"].as_u64().unwrap() > 0, "{checked}");
}

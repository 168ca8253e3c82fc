//! `cargo xtask demo` as a newcomer runs it, and the answers the README promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use sluice_tests::client::{Answer, Request};
use sluice_tests::consul::Consul;
use sluice_tests::gateway::binary;
use sluice_tests::process::{Folder, Process, free_address, repository};
use sluice_tests::until;

/// One `$ curl -s -H 'Host: HOST' http://127.0.0.1:8000/` of the README with the output it shows.
struct Promise {
    host: String,
    output: String,
}

fn promises() -> Vec<Promise> {
    let readme = fs::read_to_string(repository().join("README.md")).expect("read README.md");
    let lines: Vec<_> = readme.lines().collect();
    let commands = lines.iter().enumerate().filter_map(|(number, line)| {
        let host = line.trim().strip_prefix("$ curl -s -H 'Host: ")?.strip_suffix("' http://127.0.0.1:8000/")?;
        let output = lines.get(number + 1).copied().unwrap_or_default().trim().to_owned();
        Some(Promise { host: host.to_owned(), output })
    });
    commands.collect()
}

struct Demo {
    process: Process,
    listen: SocketAddr,
    _folder: Folder,
}

impl Demo {
    /// Runs `cargo xtask demo` with the gateway under test and waits until it says what to try.
    async fn start(arguments: &[&str]) -> Self {
        let (folder, listen, admin) = (Folder::new(), free_address(), free_address());
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(repository()).env("SLUICE_BIN", binary());
        command.args(["xtask", "demo", "--listen", &listen.to_string(), "--admin", &admin.to_string(), "--folder"]);
        let process = Process::start("demo", command.arg(folder.path()).args(arguments), folder.join("demo.log"));
        let mut demo = Self { process, listen, _folder: folder };
        loop {
            if demo.process.log().contains("Ctrl-C stops everything") {
                return demo;
            }
            assert!(demo.process.ended().is_none(), "the demo ended");
            // Building xtask comes first, so there is no telling how long this takes.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn get(&self, host: &str) -> Answer {
        Request::get(host, "/").send(self.listen).await
    }

    async fn check(&self) {
        let promises = promises();
        assert_eq!(promises.len(), 3, "the README shows three checks");
        for Promise { host, output } in promises {
            assert_eq!(self.get(&host).await.text().trim(), output, "{host}");
        }
        let mut counts = BTreeMap::<String, u32>::new();
        for _ in 0..9 {
            let answer = self.get("go.traefix.example.localhost").await;
            *counts.entry(answer.head.get("x-instance").expect("X-Instance").to_owned()).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(counts, [("go-1", 3), ("go-2", 3), ("go-3", 3)]);
    }

    /// Ends it as Ctrl-C does; nothing may be left running.
    async fn stop(mut self) {
        self.process.signal("INT");
        let process = &mut self.process;
        until("the demo ends", async || process.ended().is_some()).await;
        let gone = Request::get("go.traefix.example.localhost", "/");
        let mut wire = sluice_tests::wire::Wire::connect(self.listen).await;
        let answered = match &mut wire {
            Ok(wire) => gone.send_on(wire).await.is_ok(),
            Err(_) => false,
        };
        assert!(!answered, "the gateway outlived the demo");
    }
}

impl Drop for Demo {
    /// A failed test leaves the demo running: killed outright it could not take its own processes with it.
    fn drop(&mut self) {
        if self.process.ended().is_none() {
            self.process.signal("TERM");
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
}

#[tokio::test]
async fn the_demo_answers_as_the_readme_says() {
    let demo = Demo::start(&[]).await;
    demo.check().await;
    demo.stop().await;
}

#[tokio::test]
async fn the_demo_answers_the_same_with_consul() {
    let Some(consul) = Consul::start().await else { return };
    let agent = consul.address();
    let demo = Demo::start(&["--consul", "--consul-addr", &agent.to_string()]).await;
    demo.check().await;
    let services = async || Request::get("consul", "/v1/agent/services").send(agent).await.json();
    assert_eq!(services().await.as_object().unwrap().len(), 4);
    demo.stop().await;
    assert_eq!(services().await.as_object().unwrap().len(), 0, "the demo takes its services out again");
}

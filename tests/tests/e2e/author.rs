//! What an author does: from nothing to a component that handles exchanges, and on to one that is swapped into a running
//! gateway whenever its source changes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Setup, binary};
use sluice_tests::process::{Folder, Process, repository, target_dir};
use sluice_tests::upstream::Upstream;

/// Cargo may wait for another test's, and compile what a plugin is made of.
const PATIENCE: Duration = Duration::from_secs(180);

/// A folder that authors work in.
struct Desk {
    folder: Folder,
}

impl Desk {
    fn new() -> Self {
        Self { folder: Folder::new() }
    }

    /// One target directory for all plugins: their dependencies are the same.
    fn target() -> PathBuf {
        target_dir().join("tests/new-plugins")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        command.env("CARGO_TARGET_DIR", Self::target()).env("CARGO_NET_OFFLINE", "true").env_remove("RUSTFLAGS");
        command
    }

    fn sluice(&self, arguments: &[&str]) -> Output {
        self.command(binary(), arguments).output().expect("start sluice")
    }

    /// The same where it has to succeed; answers what it prints.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.sluice(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", everything(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// A new plugin, with the versions of its dependencies that are known to be here.
    fn new_plugin(&self, name: &str, kind: &str) {
        let sdk = repository().join("plugin-sdk").display().to_string();
        self.done(&["plugin", "new", name, "--kind", kind, "--sdk", &sdk]);
        fs::copy(repository().join("Cargo.lock"), self.folder.join(name).join("Cargo.lock")).unwrap();
    }
}

fn everything(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Nothing of a new plugin is edited.
#[test]
fn a_new_plugin_of_either_kind_passes_its_tests_untouched() {
    let desk = Desk::new();
    for (name, kind) in [("tenant-gate", "policy"), ("host-tags", "router")] {
        desk.new_plugin(name, kind);
        assert_eq!(desk.sluice(&["plugin", "new", name]).status.code(), Some(1), "nothing is written over");
        let native = desk.command("cargo", &["test"]).current_dir(desk.folder.join(name)).output().unwrap();
        assert!(native.status.success(), "{}", everything(&native));
        desk.done(&["plugin", "build", name, "--into", "plugins"]);
        let shown = desk.json(&["plugin", "inspect", &format!("plugins/{name}.wasm")]);
        assert_eq!((shown["name"].as_str(), shown["world"].as_str()), (Some(name), Some(kind)), "{shown}");
        assert_eq!(shown["version"], "0.1.0");
        assert!(shown["size"].as_u64() > Some(10_000) && shown["compileSeconds"].as_f64() > Some(0.0), "{shown}");
        // By its folder, with the cases in it.
        let tested = desk.done(&["plugin", "test", name]);
        assert!(tested.contains("2 passed, 0 failed"), "{tested}");
    }
    let shown = desk.json(&["plugin", "inspect", "tenant-gate"]);
    let header = &shown["schema"]["properties"]["header"];
    assert_eq!(header["description"], "The request header that names the tenant.", "{shown}");
    let imports: Vec<_> = shown["imports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(imports.contains(&"sluice:gateway/exchange@0.1.0"), "{imports:?}");
    assert!(desk.done(&["plugin", "inspect", "tenant-gate"]).contains("The request header that names the tenant."));
    let bench = desk.json(&["plugin", "bench", "tenant-gate", "--requests", "50"]);
    assert!(bench["hooks"][0]["nsPerCall"].as_f64().is_some_and(|ns| ns > 0.0), "{bench}");
    assert_eq!(bench["hooks"][0]["calls"], 50.0);

    fs::write(desk.folder.join("wrong.toml"), "[[case]]\nname = \"wrong\"\nexpect = { status = 299 }\n").unwrap();
    let wrong = desk.sluice(&["plugin", "test", "plugins/tenant-gate.wasm", "wrong.toml"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(everything(&wrong).contains("status: expected `299`, got `400`"), "{}", everything(&wrong));
    for refused in [&["inspect", "absent.wasm"][..], &["build", "absent"], &["test", "tenant-gate", "absent.toml"]] {
        assert_eq!(desk.sluice(&[&["plugin"], refused].concat()).status.code(), Some(1), "{refused:?}");
    }
}

#[test]
fn default_plugins_say_what_they_are_and_want() {
    let desk = Desk::new();
    let limit = desk.json(&["plugin", "inspect", "rate-limit"]);
    assert_eq!((limit["world"].as_str(), limit["version"].as_str()), (Some("policy"), Some(env!("CARGO_PKG_VERSION"))));
    assert_eq!(limit["schema"]["properties"]["average"]["description"], "Requests in each period; 0 is no limit.");
    let wants = |shown: &Value| shown["grants"].to_string();
    assert!(!wants(&limit).contains("outbound"), "{limit}");
    let forward = desk.json(&["plugin", "inspect", "forward-auth"]);
    assert!(wants(&forward).contains("outbound:TARGET"), "{forward}");
    assert_eq!(desk.json(&["plugin", "inspect", "traefik-tags"])["schema"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_source_is_swapped_into_a_running_gateway() {
    let desk = Desk::new();
    desk.new_plugin("gate", "policy");
    let upstream = Upstream::echo().await;
    let shop = Service::new("shop", &[])
        .tag("traefik.http.routers.shop.rule=Host(`shop.test`)")
        .tag("traefik.http.routers.shop.middlewares=gate")
        .tag("traefik.http.middlewares.gate.plugin.gate.header=x-tenant")
        .at(&upstream);
    let gateway = Setup::with_services(&[shop]).with_plugin_directory().start().await;
    let (into, admin) = (gateway.plugins().path().display().to_string(), format!("http://{}", gateway.admin()));
    let mut watch = desk.command(binary(), &["plugin", "build", "gate", "--watch", "--into", &into, "--admin", &admin]);
    let watch = Process::start("sluice plugin build", &mut watch, desk.folder.join("watch.log"));
    let answered = async |text: &str| {
        let begun = Instant::now();
        while gateway.get("shop.test", "/").await.text() != text {
            assert!(begun.elapsed() < PATIENCE, "waited in vain for `{text}`");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let said = async |text: &str| {
        let begun = Instant::now();
        while !watch.log().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain for `{text}` in\n{}", watch.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    answered("the header x-tenant is missing").await;
    said("gate 0.1.0 is in force after").await;

    let source = desk.folder.join("gate/src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, format!("{text}\nfn broken(")).unwrap();
    said("cargo could not build gate").await;
    answered("the header x-tenant is missing").await;
    fs::write(&source, text.replace("{} is missing", "{} is not there")).unwrap();
    answered("the header x-tenant is not there").await;

    // What the gateway refuses is said, too, and what was in force stays.
    let manifest = desk.folder.join("gate/Cargo.toml");
    let changed = fs::read_to_string(&manifest).unwrap().replace("0.1.0", "0.2.0");
    let refuses = "if !settings.header.is_empty() {\n            return Err(\"not today\".to_owned());\n        }\n        let wanted =";
    let refuses = text.replace("let wanted =", refuses);
    assert_ne!(refuses, text);
    fs::write(&source, refuses).unwrap();
    fs::write(&manifest, changed).unwrap();
    said("not today").await;
    answered("the header x-tenant is not there").await;
    assert_eq!(gateway.api("/api/plugins/gate").await["version"], "0.1.0");
}

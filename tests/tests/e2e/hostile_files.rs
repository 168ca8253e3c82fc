//! Files in the plugin directory that are no plugins, or not yet: the version in force stays, and the reason can be read.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::load::Load;
use sluice_tests::plugins::{guest, variant};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;

/// A gateway whose one route has a policy of a plugin in the directory.
async fn start(upstream: &Upstream) -> Gateway {
    let service = Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"]).at(upstream);
    Setup::with_services(&[service])
        .with_plugin_directory()
        .with_plugin("scripted", &guest("scripted"))
        .config("[[policies]]\nname = \"shop\"\nplugin = \"scripted\"\nattach = [\"service:shop\"]")
        .start()
        .await
}

async fn plugin(gateway: &Gateway) -> Value {
    gateway.api("/api/plugins/scripted").await
}

/// Waits until a file is refused for a reason that is not the last one, and looks that nothing else has changed.
async fn refused(gateway: &Gateway, what: &str, digest: &Value, last: &mut Value) -> String {
    until(&format!("{what} is refused"), async || {
        let error = plugin(gateway).await["lastError"].clone();
        error.is_string() && error != *last
    })
    .await;
    let now = plugin(gateway).await;
    assert_eq!(now["digest"], *digest, "{what}: {now}");
    assert_eq!(gateway.get("shop.test", "/").await.head.get("x-fields"), Some("- - - 32"), "{what}");
    *last = now["lastError"].clone();
    last.as_str().expect("a reason").to_owned()
}

/// Puts what `make` makes in the place of the plugin in one step.
fn put(gateway: &Gateway, make: impl FnOnce(&Path)) -> PathBuf {
    let (made, place) = (gateway.plugins().path().join(".made"), gateway.plugins().path().join("scripted.wasm"));
    make(&made);
    fs::rename(&made, &place).expect("put it in place");
    place
}

#[tokio::test]
async fn what_is_no_component_leaves_the_old_version_in_force() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let whole = guest("scripted");
    let digest = plugin(&gateway).await["digest"].clone();
    let wrong = [
        ("half of it", whole[..whole.len() / 2].to_vec(), "compile plugin `scripted`: "),
        ("a script", b"#!/bin/sh".to_vec(), "plugin `scripted` is not WebAssembly"),
        ("compiled code", [b"\x7fELF", &whole[..]].concat(), "plugin `scripted` is not WebAssembly"),
    ];
    for (what, bytes, reason) in wrong {
        // Two of them are refused in the same words; a good version between them tells them apart.
        gateway.plugins().put("scripted", &bytes);
        let said = refused(&gateway, what, &digest, &mut Value::Null).await;
        assert!(said.starts_with(reason), "{what}: {said}");
        gateway.plugins().put("scripted", &whole);
        until("the good one counts again", async || plugin(&gateway).await["lastError"].is_null()).await;
    }
    // A plugin, but one that makes nothing of the settings in use.
    gateway.plugins().put("scripted", &guest("hostile"));
    let said = refused(&gateway, "another plugin", &digest, &mut Value::Null).await;
    assert!(said.contains("shop") && said.contains("missing field `mode`"), "{said}");
    gateway.plugins().put("scripted", &variant(&whole, 1));
    until("a good version is taken", async || plugin(&gateway).await["digest"] != digest).await;
}

#[tokio::test]
async fn of_versions_that_come_one_upon_the_other_the_last_one_stays() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let whole = guest("scripted");
    let load = Load::start(gateway.web(), "shop.test", "/", 2);
    let before = gateway.resident_bytes();
    for number in 0..100 {
        gateway.plugins().put("scripted", &variant(&whole, number));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let last = variant(&whole, 1000);
    gateway.plugins().put("scripted", &last);
    let digest = format!("{:x}", Sha256::digest(&last));
    until("the last one is in force", async || plugin(&gateway).await["digest"] == *digest).await;
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more than before");
    let report = load.stop().await;
    assert_eq!((report.refused, report.broken), (0, 0), "{:?}", report.problem);
}

#[tokio::test]
async fn what_is_no_plain_file_of_ours_is_not_read() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let (digest, mut last) = (plugin(&gateway).await["digest"].clone(), Value::Null);
    let load = Load::start(gateway.web(), "shop.test", "/", 2);
    let before = gateway.resident_bytes();

    put(&gateway, |made| {
        fs::write(made, variant(&guest("scripted"), 7)).expect("write a plugin");
        fs::set_permissions(made, fs::Permissions::from_mode(0o666)).expect("open it to everybody");
    });
    let said = refused(&gateway, "a file everybody may write to", &digest, &mut last).await;
    assert!(said.starts_with("every user may write to") && said.contains("chmod o-w"), "{said}");

    let secret = gateway.folder().join("secret");
    fs::write(&secret, variant(&guest("scripted"), 8)).expect("write a plugin elsewhere");
    put(&gateway, |made| symlink(&secret, made).expect("make a link"));
    let said = refused(&gateway, "a link", &digest, &mut last).await;
    assert!(said.contains("is not a regular file"), "{said}");

    put(&gateway, |made| File::create(made).and_then(|file| file.set_len(100 << 20)).expect("make 100 MiB"));
    let said = refused(&gateway, "a huge file", &digest, &mut last).await;
    assert!(said.contains("has 104857600 bytes, at most 16777216 are read"), "{said}");

    let place = put(&gateway, |made| {
        assert!(Command::new("mkfifo").arg(made).status().expect("start mkfifo").success());
    });
    let said = refused(&gateway, "a pipe", &digest, &mut last).await;
    assert!(said.contains("is not a regular file"), "{said}");

    fs::remove_file(&place).expect("take the pipe away");
    until("it is gone", async || plugin(&gateway).await["state"] == "orphaned").await;
    last = Value::Null;
    fs::create_dir(&place).expect("make a directory");
    let said = refused(&gateway, "a directory", &digest, &mut last).await;
    assert!(said.contains("is not a regular file"), "{said}");

    fs::remove_dir(&place).expect("take the directory away");
    let open_to = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(gateway.plugins().path(), permissions).expect("change who may write");
    };
    open_to(0o777);
    gateway.plugins().put("scripted", &variant(&guest("scripted"), 10));
    let said = refused(&gateway, "a directory everybody may write into", &digest, &mut last).await;
    assert!(said.starts_with("every user may write into") && said.contains("chmod o-w"), "{said}");
    open_to(0o755);

    let grown = gateway.resident_bytes().saturating_sub(before);
    // A gateway that has only just begun still takes some for itself; the huge file would be all of its size.
    assert!(grown < 64 << 20, "{grown} bytes more than before");
    gateway.plugins().put("scripted", &variant(&guest("scripted"), 9));
    until("a good version is taken", async || plugin(&gateway).await["digest"] != digest).await;
    let report = load.stop().await;
    assert_eq!((report.refused, report.broken), (0, 0), "{:?}", report.problem);
}

/// Writes a file in pieces for five seconds, and gives the longest time between two of them.
fn write_slowly(path: PathBuf, content: Vec<u8>) -> JoinHandle<Duration> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path).expect("open the plugin");
    std::thread::spawn(move || {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        for piece in content.chunks(content.len().div_ceil(200)) {
            file.write_all(piece).expect("write a piece");
            longest = longest.max(last.elapsed());
            last = Instant::now();
            std::thread::sleep(Duration::from_millis(25));
        }
        longest.max(last.elapsed())
    })
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_looked_into() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream).await;
    let digest = plugin(&gateway).await["digest"].clone();
    let load = Load::start(gateway.web(), "shop.test", "/", 2);
    let whole = variant(&guest("scripted"), 3);
    let writer = write_slowly(gateway.plugins().path().join("scripted.wasm"), whole);
    let mut seen = Vec::new();
    while !writer.is_finished() {
        let now = plugin(&gateway).await;
        if now["digest"] != digest || !now["lastError"].is_null() {
            seen.push(now);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let gap = writer.join().expect("all is written");
    // A machine so busy that the writer stands still is one on which the file does, too.
    assert!(seen.is_empty() || gap > Duration::from_millis(150), "longest gap {gap:?}: {:?}", seen.first());
    until("it is taken once it is whole", async || plugin(&gateway).await["digest"] != digest).await;
    assert!(plugin(&gateway).await["lastError"].is_null());
    let report = load.stop().await;
    assert_eq!((report.refused, report.broken), (0, 0), "{:?}", report.problem);
}

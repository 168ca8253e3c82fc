//! Files that come, change, go, or are not files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::mpsc::{Receiver, channel};

use super::*;

fn files(name: &str) -> (Files, Receiver<Event>, PathBuf) {
    let directory = std::env::temp_dir().join(format!("sluice-directory-{name}-{}", std::process::id()));
    fs::remove_dir_all(&directory).ok();
    fs::create_dir_all(&directory).unwrap();
    let (events, received) = channel();
    (Files { directory: directory.clone(), events, seen: BTreeMap::new() }, received, directory)
}

/// A look after as much time as a file has to stand still.
fn look(files: &mut Files, received: &Receiver<Event>) -> Vec<String> {
    let moving = files.seen.values().filter_map(|seen| match seen {
        Seen::Moving(_, since) => Some(*since),
        Seen::Settled(_) => None,
    });
    let at = moving.max().map_or_else(Instant::now, |since| since + STILL);
    look_at(files, received, at)
}

fn look_at(files: &mut Files, received: &Receiver<Event>, at: Instant) -> Vec<String> {
    assert!(files.look(&Trust::Moved(Vec::new()), at).is_ok());
    received
        .try_iter()
        .map(|event| match event {
            Event::PluginFound { name, file: Ok(file), .. } => {
                let signed = file.signature.map(|signature| format!(" signed {signature:?}")).unwrap_or_default();
                format!("{name}={}{signed}", String::from_utf8(file.bytes).unwrap())
            }
            Event::PluginFound { name, file: Err(reason), .. } => format!("{name}: {reason}"),
            Event::PluginGone { name } => format!("{name} gone"),
            _ => panic!("unexpected event"),
        })
        .collect()
}

#[test]
fn a_file_is_reported_once_it_stands_still() {
    let (mut files, received, directory) = files("still");
    let path = directory.join("limit.wasm");
    fs::write(&path, "one").unwrap();
    assert!(look(&mut files, &received).is_empty(), "it may still be written to");
    fs::write(&path, "one and more").unwrap();
    assert!(look(&mut files, &received).is_empty(), "it is");
    assert_eq!(look(&mut files, &received), ["limit=one and more"]);
    assert!(look(&mut files, &received).is_empty(), "nothing new");
    fs::remove_file(&path).unwrap();
    assert_eq!(look(&mut files, &received), ["limit gone"]);
}

#[test]
fn two_looks_in_a_hurry_say_nothing() {
    let (mut files, received, directory) = files("hurry");
    fs::write(directory.join("limit.wasm"), "half").unwrap();
    let begun = Instant::now();
    for late in [Duration::ZERO, STILL / 2, STILL - Duration::from_millis(1)] {
        assert!(look_at(&mut files, &received, begun + late).is_empty(), "{late:?}");
    }
    assert_eq!(look_at(&mut files, &received, begun + STILL), ["limit=half"]);
}

#[test]
fn a_file_that_is_moved_in_is_reported_at_once() {
    let (mut files, received, directory) = files("moved");
    fs::write(directory.join("limit.wasm"), "whole").unwrap();
    assert!(files.look(&Trust::Moved(vec![directory.join("limit.wasm")]), Instant::now()).is_ok());
    assert!(matches!(received.try_recv(), Ok(Event::PluginFound { file: Ok(file), .. }) if file.bytes == b"whole"));
}

#[test]
fn a_signature_is_reported_with_its_plugin_whenever_it_comes() {
    let (mut files, received, directory) = files("signed");
    fs::write(directory.join("limit.wasm"), "one").unwrap();
    look(&mut files, &received);
    assert_eq!(look(&mut files, &received), ["limit=one"]);
    fs::write(directory.join("limit.wasm.minisig"), "me").unwrap();
    assert!(look(&mut files, &received).is_empty(), "it may still be written to");
    assert_eq!(look(&mut files, &received), ["limit=one signed Ok(\"me\")"]);
    fs::remove_file(directory.join("limit.wasm.minisig")).unwrap();
    look(&mut files, &received);
    assert_eq!(look(&mut files, &received), ["limit=one"]);
    std::os::unix::fs::symlink("limit.wasm", directory.join("limit.wasm.minisig")).unwrap();
    look(&mut files, &received);
    let reports = look(&mut files, &received);
    assert!(
        reports.iter().all(|report| report.contains("signed Err(") && report.contains("regular file")),
        "{reports:?}"
    );
}

#[test]
fn what_is_no_plugin_file_is_left_alone_or_refused() {
    let (mut files, received, directory) = files("kinds");
    fs::write(directory.join("notes.txt"), "x").unwrap();
    fs::write(directory.join(".hidden.wasm"), "x").unwrap();
    fs::write(directory.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(directory.join("secret"), directory.join("link.wasm")).unwrap();
    fs::create_dir(directory.join("dir.wasm")).unwrap();
    look(&mut files, &received);
    let reports = look(&mut files, &received);
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports.iter().all(|report| report.contains("is not a regular file")), "{reports:?}");
}

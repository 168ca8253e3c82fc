//! Signatures made by minisign itself, and by nobody.
#![allow(clippy::unwrap_used, reason = "tests")]

use minisign_verify::PublicKey;

use super::*;
use crate::config::PluginSettings;

const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
/// The last letter of the key is another one.
const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO2";
/// Of the four bytes `test`, as the file `test`, in the older form and in the one that signs a digest.
const PLAIN: &str = "untrusted comment: signature from minisign secret key\n\
    RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
    trusted comment: timestamp:1555779966\tfile:test\n\
    QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n";
const HASHED: &str = "untrusted comment: signature from minisign secret key\n\
    RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
    trusted comment: timestamp:1556193335\tfile:test\n\
    y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n";

fn config(require_signature: RequireSignature, keys: &[&str]) -> Plugins {
    let trusted_keys = keys.iter().map(|key| PublicKey::from_base64(key).unwrap()).collect();
    Plugins { require_signature, trusted_keys, ..Plugins::default() }
}

fn file(bytes: &[u8], signature: Option<&str>) -> PluginFile {
    PluginFile { bytes: bytes.to_vec(), signature: signature.map(|text| Ok(text.to_owned())) }
}

fn refusal(keys: &[&str], file: &PluginFile) -> String {
    let error = check(&config(RequireSignature::Enforce, keys), "test", file).unwrap_err();
    error.strip_prefix("not signed by anybody trusted: ").unwrap().to_owned()
}

#[test]
fn both_forms_are_verified() {
    for text in [PLAIN, HASHED] {
        let signature = Signature::decode(text).unwrap();
        let verified = PublicKey::from_base64(KEY).unwrap().verify(b"test", &signature, true);
        assert!(verified.is_ok(), "{text}: {verified:?}");
    }
}

#[test]
fn every_way_to_be_unsigned_has_its_words() {
    let bytes = b"test";
    assert!(refusal(&[KEY], &file(bytes, None)).starts_with("there is no `test.wasm.minisig`; sign the file with"));
    assert!(refusal(&[KEY], &file(bytes, Some("x"))).starts_with("`test.wasm.minisig` is no signature of minisign"));
    assert!(refusal(&[], &file(bytes, Some(HASHED))).contains("is not in `plugins.trusted-keys`"));
    for (bytes, text) in [(b"tesu", HASHED), (b"tesu", PLAIN)] {
        assert!(refusal(&[KEY], &file(bytes, Some(text))).starts_with("the signature does not fit the file"));
    }
    assert!(refusal(&[OTHER], &file(bytes, Some(HASHED))).starts_with("the signature does not fit the file"));
    let retold = HASHED.replace("file:test", "file:test.wasm");
    assert!(refusal(&[KEY], &file(bytes, Some(&retold))).starts_with("the signature does not fit the file"));
    let unreadable = PluginFile { bytes: bytes.to_vec(), signature: Some(Err("it is a link".to_owned())) };
    assert_eq!(refusal(&[KEY], &unreadable), "it is a link");
    // The file is called `test`, and plugins are called `test.wasm`.
    assert_eq!(
        refusal(&[OTHER, KEY], &file(bytes, Some(HASHED))),
        "it is signed as `test`, and this is the place of `test.wasm`"
    );
}

#[test]
fn what_is_signed_along_has_to_fit() {
    let mut config = config(RequireSignature::Enforce, &[]);
    let fits = |config: &Plugins, comment: &str| fitting(config, "auth", comment);
    assert!(fits(&config, "timestamp:100\tfile:auth.wasm\thashed").is_ok());
    assert!(fits(&config, "file:canary.wasm").unwrap_err().starts_with("it is signed as `canary.wasm`"));
    assert!(fits(&config, "of mine").unwrap_err().contains("sign it without `-t`"));
    let settings = PluginSettings { signed_since: Some(100), ..PluginSettings::default() };
    config.settings.insert("auth".to_owned(), settings);
    assert!(fits(&config, "timestamp:100\tfile:auth.wasm").is_ok());
    assert!(fits(&config, "timestamp:99\tfile:auth.wasm").unwrap_err().starts_with("it was signed at 99, before 100"));
    assert!(fits(&config, "file:auth.wasm").unwrap_err().contains("has no `timestamp`"));
}

#[test]
fn nothing_is_asked_for_unless_it_is_required() {
    let unsigned = file(b"test", None);
    assert_eq!(check(&config(RequireSignature::Off, &[KEY]), "test", &unsigned), Ok(None));
    let warned = check(&config(RequireSignature::Warn, &[KEY]), "test", &unsigned);
    assert!(matches!(warned, Ok(Some(Signed::Untrusted(reason))) if reason.starts_with("there is no")));
}

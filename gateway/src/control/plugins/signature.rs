//! Who signed a plugin file.
//!
//! Takes a file with the signature beside it and the keys an operator trusts; gives who vouches for it, or why nobody
//! does. A signature is minisign's, `NAME.wasm.minisig`. It is good for the plugin its trusted comment names and no other:
//! else a signed file could be put in the place of one that guards something.

use minisign_verify::{Error, Signature};

use super::super::directory::PluginFile;
use crate::config::{Plugins, RequireSignature};

/// What the signature of a version says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Somebody trusted signed it; with the comment that is signed along.
    Trusted(String),
    /// Nobody trusted did, and that is no obstacle; with the reason.
    Untrusted(String),
}

/// Looks at a file's signature as far as the configuration wants that.
pub(super) fn check(config: &Plugins, name: &str, file: &PluginFile) -> Result<Option<Signed>, String> {
    if config.require_signature == RequireSignature::Off {
        return Ok(None);
    }
    match verify(config, name, file) {
        Ok(comment) => Ok(Some(Signed::Trusted(comment))),
        Err(reason) if config.require_signature == RequireSignature::Enforce => {
            Err(format!("not signed by anybody trusted: {reason}"))
        }
        Err(reason) => {
            tracing::warn!(plugin = name, %reason, "plugin file not signed by anybody trusted");
            Ok(Some(Signed::Untrusted(reason)))
        }
    }
}

/// The signed comment, once everything fits.
fn verify(config: &Plugins, name: &str, file: &PluginFile) -> Result<String, String> {
    let text = match &file.signature {
        Some(text) => text.as_deref().map_err(Clone::clone)?,
        None => {
            return Err(format!("there is no `{name}.wasm.minisig`; sign the file with `minisign -Sm {name}.wasm`"));
        }
    };
    let signature = Signature::decode(text)
        .map_err(|error| format!("`{name}.wasm.minisig` is no signature of minisign: {}", lower(&error)))?;
    let mut failure = Error::UnexpectedKeyId;
    for key in &config.trusted_keys {
        match key.verify(&file.bytes, &signature, true) {
            Ok(()) => return fitting(config, name, signature.trusted_comment()),
            Err(Error::UnexpectedKeyId) => {}
            Err(error) => failure = error,
        }
    }
    Err(match failure {
        Error::UnexpectedKeyId => "the key it is signed with is not in `plugins.trusted-keys`".to_owned(),
        _ => "the signature does not fit the file: one of the two was changed; sign the file anew".to_owned(),
    })
}

/// Whether what is signed along is about this plugin, and recent enough.
fn fitting(config: &Plugins, name: &str, comment: &str) -> Result<String, String> {
    let part = |key: &str| comment.split('\t').find_map(|part| part.strip_prefix(key)?.strip_prefix(':'));
    match part("file") {
        Some(file) if file.strip_suffix(".wasm") == Some(name) => {}
        Some(file) => return Err(format!("it is signed as `{file}`, and this is the place of `{name}.wasm`")),
        None => {
            return Err(format!(
                "its trusted comment does not say which file it is; sign it without `-t`, or with `-t 'file:{name}.wasm'`"
            ));
        }
    }
    if let Some(since) = config.settings_of(name).signed_since {
        let signed = part("timestamp").and_then(|time| time.parse::<u64>().ok());
        let signed =
            signed.ok_or("its trusted comment has no `timestamp`, and `signed-since` is set for this plugin")?;
        if signed < since {
            return Err(format!("it was signed at {signed}, before {since}, which is this plugin's `signed-since`"));
        }
    }
    Ok(comment.to_owned())
}

fn lower(error: &Error) -> String {
    error.to_string().to_lowercase()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;

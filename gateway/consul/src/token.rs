//! The ACL token: from the configuration, or from a file that may be rotated at any time.

use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderValue;

use crate::config::TokenSource;
use crate::error::{ConsulError, ReadError};

/// A token ready to be sent. A file is read when its token is first needed and whenever a read has failed since.
#[derive(Debug)]
pub(crate) struct Token {
    source: Option<TokenSource>,
    value: Mutex<Option<HeaderValue>>,
}

impl Token {
    pub(crate) fn new(source: Option<TokenSource>) -> Result<Self, ConsulError> {
        let value = match &source {
            Some(TokenSource::Literal(text)) => Some(header(text).ok_or(ConsulError::Token)?),
            Some(TokenSource::File(_)) | None => None,
        };
        Ok(Self { source, value: Mutex::new(value) })
    }

    /// The token to send; `again` reads the file even if it was read before.
    pub(crate) async fn get(&self, again: bool) -> Result<Option<HeaderValue>, ReadError> {
        let known = self.value.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(TokenSource::File(path)) = &self.source else {
            return Ok(known);
        };
        if known.is_some() && !again {
            return Ok(known);
        }
        let text = tokio::fs::read_to_string(path)
            .await
            .map_err(|source| ReadError::TokenFile { path: path.clone(), source })?;
        let fresh = header(&text).ok_or_else(|| ReadError::NoToken { path: path.clone() })?;
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        Ok(Some(fresh))
    }
}

/// `None` for an empty token and for one that no header can carry.
fn header(text: &str) -> Option<HeaderValue> {
    let text = text.trim();
    let mut value = HeaderValue::from_str(text).ok().filter(|_| !text.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

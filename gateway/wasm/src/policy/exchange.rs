//! The exchange, as the guest reads and changes it.

use std::time::Duration;

use super::data::{Now, PolicyData};
use super::wit::{exchange, policy_types};
use crate::convert;
use crate::host::{Change, ExchangeHost};

/// Notes for the access log.
const NOTE_BYTES: usize = 256;

impl<E: ExchangeHost> PolicyData<E> {
    /// What a hook reads. Outside a hook there is nothing, as the contract says.
    fn read<R: Default>(&self, read: impl FnOnce(&E) -> R) -> wasmtime::Result<R> {
        match &self.now {
            Now::Hook { exchange, .. } => Ok(read(exchange)),
            _ => Ok(R::default()),
        }
    }

    /// Outside a hook changes are ignored.
    fn change(&mut self, change: impl FnOnce(&mut E) -> Change) -> wasmtime::Result<Change> {
        match &mut self.now {
            Now::Hook { exchange, .. } => Ok(change(exchange)),
            _ => Ok(Ok(())),
        }
    }
}

impl<E: ExchangeHost> exchange::Host for PolicyData<E> {
    fn request_field(&mut self, field: policy_types::Field) -> wasmtime::Result<Option<String>> {
        let field = convert::field(field, &self.grants);
        self.read(|exchange| exchange.request_field(field))
    }

    fn request_headers(&mut self) -> wasmtime::Result<Vec<policy_types::Header>> {
        let headers = self.read(ExchangeHost::request_headers)?.into_iter();
        let readable = headers.filter(|(name, _)| self.grants.may_read(name));
        Ok(readable.map(|(name, value)| policy_types::Header { name, value }).collect())
    }

    fn request_header_values(&mut self, name: String) -> wasmtime::Result<Vec<String>> {
        if !self.grants.may_read(&name) {
            return Ok(Vec::new());
        }
        self.read(|exchange| exchange.request_header_values(&name))
    }

    fn response_header(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        if !self.grants.may_read(&name) {
            return Ok(None);
        }
        self.read(|exchange| exchange.response_header(&name))
    }

    fn set_request_header(&mut self, name: String, value: String) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.set_request_header(&name, &value))
    }

    fn add_request_header(&mut self, name: String, value: String) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.add_request_header(&name, &value))
    }

    fn remove_request_header(&mut self, name: String) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.remove_request_header(&name))
    }

    fn set_response_header(&mut self, name: String, value: String) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.set_response_header(&name, &value))
    }

    fn add_response_header(&mut self, name: String, value: String) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.add_response_header(&name, &value))
    }

    fn remove_response_header(&mut self, name: String) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.remove_response_header(&name))
    }

    fn set_path(&mut self, path: String) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.set_path(&path))
    }

    fn set_query(&mut self, query: Option<String>) -> wasmtime::Result<Change> {
        self.change(|exchange| exchange.set_query(query.as_deref()))
    }

    fn annotate(&mut self, key: String, value: String) -> wasmtime::Result<()> {
        if let Now::Hook { exchange, .. } = &mut self.now
            && key.len() + value.len() < NOTE_BYTES
        {
            exchange.annotate(&key, &value);
        }
        Ok(())
    }

    fn eject_instance(&mut self, duration_ns: u64) -> wasmtime::Result<bool> {
        let time = Duration::from_nanos(duration_ns);
        Ok(match &mut self.now {
            Now::Hook { exchange, .. } => exchange.eject_instance(time),
            Now::Complete { ejector, .. } => ejector.as_ref().is_some_and(|ejector| ejector.eject(time)),
            Now::Idle | Now::Configure { .. } => false,
        })
    }
}

//! The exchange, as the guest reads and changes it.

use std::time::Duration;

use super::data::{Now, PolicyData};
use super::lean::sluice::gateway::hook;
use super::wit::{exchange, policy_types};
use crate::convert;
use crate::error::Misuse;
use crate::host::{Change, ExchangeHost, PolicyState};

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

impl<E: ExchangeHost> PolicyData<E> {
    /// Asks the state for the key that is the value of a field of the subscription.
    pub(super) fn ask_by<R>(&self, place: u32, ask: impl FnOnce(&dyn PolicyState, &str) -> R) -> Result<R, Misuse> {
        let used = self.at_hand()?;
        let Now::Hook { exchange, .. } = &self.now else {
            return Err(Misuse("it used a field of the request where there is none".to_owned()));
        };
        let field = used.fields.get(place as usize);
        let field = field.ok_or_else(|| Misuse(format!("its subscription has no field {place}")))?;
        let (mut ask, mut answer) = (Some(ask), None);
        exchange.look(field, &mut |value| {
            answer = ask.take().map(|ask| ask(&*used.state, value.unwrap_or_default()));
        });
        answer.ok_or_else(|| Misuse(format!("its field {place} cannot be looked at")))
    }
}

impl<E: ExchangeHost> hook::Host for PolicyData<E> {
    fn values(&mut self) -> wasmtime::Result<Vec<Option<String>>> {
        let Now::Hook { exchange, .. } = &self.now else { return Ok(Vec::new()) };
        Ok(self.at_hand()?.fields.iter().map(|field| exchange.request_field(field.clone())).collect())
    }

    fn instance(&mut self) -> wasmtime::Result<String> {
        Ok(match &self.now {
            Now::Complete { instance: Some(instance), .. } => instance.authority().to_owned(),
            _ => String::new(),
        })
    }

    fn decide(&mut self, verdict: policy_types::Verdict) -> wasmtime::Result<()> {
        if let Now::Hook { .. } = self.now {
            self.decided = Some(verdict);
        }
        Ok(())
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

    fn has_body(&mut self) -> wasmtime::Result<bool> {
        self.read(ExchangeHost::has_body)
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

//! The tables of an entrypoint, kept from one generation to the next: a change files anew only the routes it touches.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use sluice_model::link::Touched;
use sluice_model::table::{Entry, RouteTable};
use sluice_model::{Shards, Transport};

use super::compile::Listening;
use super::tcp;
use crate::live::{Broken, EntrypointTable, Route, RouteStatus, Step, Tcp, TcpTables, TlsHosts};

/// The tables of one entrypoint.
#[derive(Default)]
pub(super) struct Tables {
    table: RouteTable<Arc<Route>>,
    secure: Option<RouteTable<Arc<Route>>>,
    /// Routes that take TLS connections only.
    tls: HashSet<Arc<str>>,
    tcp: Option<Arc<TcpTables>>,
}

type Routes = Shards<Arc<RouteStatus>>;

/// The names of the steps of an entrypoint and these compiled, or why it routes nothing.
pub(super) type Prelude = Result<(Vec<Arc<str>>, Arc<[Step]>), Broken>;

impl Tables {
    pub(super) fn update(&mut self, entrypoint: &Listening, routes: &Routes, touched: &Touched, tcp: &Tcp) {
        if touched.tcp {
            self.tcp = tcp::tables(tcp, &entrypoint.name).map(Arc::new);
        }
        for name in &touched.routes {
            let status = routes.get(name).filter(|status| status.is_at(&entrypoint.name));
            if status.is_some_and(|status| status.spec.transport == Transport::Tls) {
                self.tls.insert(Arc::clone(name));
            } else {
                self.tls.remove(name);
            }
        }
        let without = if entrypoint.tls { None } else { Some(Transport::Tls) };
        change(&mut self.table, entrypoint, routes, &touched.routes, without);
        let some_tls = !self.tls.is_empty() || self.tcp.as_ref().is_some_and(|tcp| !tcp.tls.is_empty());
        if entrypoint.tls || !some_tls {
            self.secure = None;
        } else if let Some(secure) = &mut self.secure {
            change(secure, entrypoint, routes, &touched.routes, Some(Transport::Plain));
        } else {
            let all = routes.iter().map(|(name, _)| Arc::clone(name)).collect();
            let secure = self.secure.insert(RouteTable::default());
            change(secure, entrypoint, routes, &all, Some(Transport::Plain));
        }
    }

    /// As requests use them; without anything to route where the entrypoint's own steps do not work.
    pub(super) fn publish(&self, entrypoint: &Listening, prelude: Prelude, tls: TlsHosts) -> EntrypointTable {
        let unnoted = entrypoint.unnoted;
        match prelude {
            Ok((prelude_names, prelude)) => EntrypointTable {
                table: self.table.clone(),
                secure: self.secure.clone(),
                tls,
                tcp: self.tcp.clone(),
                prelude,
                prelude_names,
                unnoted,
                broken: None,
            },
            Err(broken) => EntrypointTable { unnoted, broken: Some(Arc::new(broken)), ..EntrypointTable::default() },
        }
    }
}

/// Files the touched routes anew but those of a transport.
fn change(
    table: &mut RouteTable<Arc<Route>>,
    entrypoint: &Listening,
    routes: &Routes,
    touched: &BTreeSet<Arc<str>>,
    without: Option<Transport>,
) {
    let here = touched.iter().filter_map(|name| routes.get(name)).filter(|status| status.is_at(&entrypoint.name));
    let entries = here.filter(|status| Some(status.spec.transport) != without).filter_map(|status| {
        let route = status.route.as_ref()?;
        Some(Entry {
            priority: route.spec.priority,
            name: Arc::clone(&route.name),
            rule: Arc::clone(&route.rule),
            value: Arc::clone(route),
        })
    });
    table.change(touched.iter().map(AsRef::as_ref), entries.collect());
}

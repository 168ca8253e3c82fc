//! How many connections each client of a TCP step has open. It outlives generations: whoever is connected counts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Counts by the name of their step. Those that nobody holds are new when asked for again.
#[derive(Debug, Default)]
pub struct AllConnectionCounts {
    by_name: Mutex<HashMap<Arc<str>, Weak<ConnectionCounts>>>,
}

/// Open connections by client address.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    open: Mutex<HashMap<IpAddr, u64>>,
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub struct CountedConnection {
    counts: Arc<ConnectionCounts>,
    client: IpAddr,
}

impl AllConnectionCounts {
    /// The counts of a step.
    pub fn get(&self, step: &Arc<str>) -> Arc<ConnectionCounts> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_name.get(step).and_then(Weak::upgrade) {
            return known;
        }
        by_name.retain(|_, counts| counts.strong_count() > 0);
        let counts = Arc::new(ConnectionCounts::default());
        by_name.insert(Arc::clone(step), Arc::downgrade(&counts));
        counts
    }
}

impl ConnectionCounts {
    /// Counts one more connection of a client; `None` where it has `most` already.
    #[must_use]
    pub fn enter(self: &Arc<Self>, client: IpAddr, most: u64) -> Option<CountedConnection> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(CountedConnection { counts: Arc::clone(self), client })
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_apart_and_as_long_as_they_are_connected() {
        let all = AllConnectionCounts::default();
        let name: Arc<str> = "few@file".into();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let counts = all.get(&name);
        let first = counts.enter(a, 1);
        assert!(first.is_some() && counts.enter(a, 1).is_none() && counts.enter(b, 1).is_some());
        drop(counts);
        // The step went and came back while the client stayed.
        assert!(all.get(&name).enter(a, 1).is_none());
        assert!(all.get(&name).enter(a, 2).is_some());
        drop(first);
        assert!(all.get(&name).enter(a, 1).is_some());
    }
}

//! `retry`: more tries for a request that got no answer, or not the right one.

use sluice_plugin_sdk::router::{Action, Retry, StatusRange};

use crate::report::Problem;
use crate::tags::schema::Bare::Refused;
use crate::tags::schema::Schema::{self, Boolean, Duration, Integer, Object, Text};
use crate::tags::tree::Node;
use crate::tags::words;

pub(super) const OPTIONS: Schema = Object(
    &[
        ("attempts", Integer),
        ("initialinterval", Duration),
        ("timeout", Duration),
        ("status", Text),
        ("maxrequestbodybytes", Integer),
        ("disableretryonnetworkerror", Boolean),
        ("retrynonidempotentmethod", Boolean),
        // Ours, not Traefik's.
        ("trytimeout", Duration),
        ("hedgeafter", Duration),
    ],
    Refused,
);

/// Larger bodies are sent once, as in Traefik.
const MAX_BODY: i64 = 2 * 1024 * 1024;

pub(super) fn action(kind: &Node) -> Result<Action, Problem> {
    let attempts = kind.integer("attempts").unwrap_or(0);
    let attempts = u32::try_from(attempts).ok().filter(|attempts| *attempts > 0).ok_or_else(|| {
        Problem::new(kind.tag_of("attempts"), "`attempts` counts all tries, so it has to be at least 1")
    })?;
    let time = |name: &str| kind.text(name).and_then(words::duration).map_or(0, |time| time.nanoseconds());
    let statuses = kind.list("status").iter().map(|text| words::statuses(text)).collect::<Option<Vec<_>>>();
    let statuses = statuses.ok_or_else(|| {
        Problem::new(kind.tag_of("status"), "`status` lists codes and ranges of codes, as in `502,520-530`")
    })?;
    Ok(Action::Retry(Retry {
        attempts,
        initial_interval_ns: time("initialinterval"),
        timeout_ns: time("timeout"),
        statuses: statuses.into_iter().map(|(first, last)| StatusRange { first, last }).collect(),
        // Traefik takes a negative limit for none.
        max_body_bytes: u64::try_from(kind.integer("maxrequestbodybytes").unwrap_or(MAX_BODY)).unwrap_or(u64::MAX),
        on_network_error: kind.flag("disableretryonnetworkerror") != Some(true),
        non_idempotent: kind.flag("retrynonidempotentmethod") == Some(true),
        try_timeout_ns: time("trytimeout"),
        hedge_after_ns: time("hedgeafter"),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::middleware;

    fn retry(options: &[&str]) -> Option<Retry> {
        let options: Vec<_> = options.iter().map(|option| format!("retry.{option}")).collect();
        match middleware(&options.iter().map(String::as_str).collect::<Vec<_>>()) {
            Some(Action::Retry(retry)) => Some(retry),
            _ => None,
        }
    }

    #[test]
    fn everything_but_the_attempts_has_a_default() {
        let found = retry(&["attempts=3"]).unwrap();
        assert_eq!((found.attempts, found.initial_interval_ns, found.timeout_ns), (3, 0, 0));
        assert_eq!((found.try_timeout_ns, found.hedge_after_ns), (0, 0));
        assert_eq!((found.statuses.len(), found.max_body_bytes), (0, 2 * 1024 * 1024));
        assert!(found.on_network_error && !found.non_idempotent);
    }

    #[test]
    fn everything_can_be_set() {
        let found = retry(&[
            "attempts=4",
            "initialinterval=100ms",
            "timeout=60",
            "status=400, 500-599",
            "maxrequestbodybytes=10",
            "disableretryonnetworkerror=true",
            "retrynonidempotentmethod=true",
            "trytimeout=2s",
            "hedgeafter=50ms",
        ]);
        let found = found.unwrap();
        assert_eq!((found.initial_interval_ns, found.timeout_ns), (100_000_000, 60_000_000_000));
        assert_eq!((found.try_timeout_ns, found.hedge_after_ns), (2_000_000_000, 50_000_000));
        let statuses: Vec<_> = found.statuses.iter().map(|range| (range.first, range.last)).collect();
        assert_eq!((statuses, found.max_body_bytes), (vec![(400, 400), (500, 599)], 10));
        assert!(!found.on_network_error && found.non_idempotent);
    }

    #[test]
    fn no_attempts_and_odd_statuses_are_refused() {
        for wrong in [&["initialinterval=1s"][..], &["attempts=0"], &["attempts=2", "status=5xx"], &["attempts=-1"]] {
            assert_eq!(retry(wrong), None, "{wrong:?}");
        }
    }
}

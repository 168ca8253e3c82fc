//! What the host has said when it called the hook at hand, so that nobody has to ask for it.

use std::cell::Cell;

use crate::bindings::policy::sluice::gateway::policy_types::Force;
use crate::host;

#[derive(Clone, Copy)]
struct AtHand {
    now_ns: u64,
    forced: Option<Force>,
}

thread_local! {
    static AT_HAND: Cell<Option<AtHand>> = const { Cell::new(None) };
}

/// Runs a hook for which these are known.
pub(super) fn during<T>(now_ns: u64, forced: Option<Force>, hook: impl FnOnce() -> T) -> T {
    AT_HAND.set(Some(AtHand { now_ns, forced }));
    let result = hook();
    AT_HAND.set(None);
    result
}

pub(super) fn now_ns() -> u64 {
    AT_HAND.get().map_or_else(host::clock::now_ns, |known| known.now_ns)
}

/// What an operator forced.
pub(super) fn forced() -> Option<Force> {
    match AT_HAND.get() {
        Some(known) => known.forced,
        None => match host::state::forced()?.as_str() {
            "open" => Some(Force::Open),
            "closed" => Some(Force::Closed),
            "disabled" => Some(Force::Disabled),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::state::Forced;

    #[test]
    fn what_is_said_is_not_asked_for() {
        let host = crate::mock::Host::new();
        host.force(Some(Forced::Closed));
        assert_eq!(during(7, Some(Force::Open), || (now_ns(), forced())), (7, Some(Force::Open)));
        assert_eq!(during(7, None, || (now_ns(), forced())), (7, None));
        assert_eq!((now_ns(), forced()), (0, Some(Force::Closed)));
    }
}

//! The host's functions as a guest calls them, served by the thread's mock.

pub(crate) mod exchange;
pub(crate) mod state;

use super::WORLD;
use crate::log::Level;

pub(crate) fn log(level: Level, message: &str) {
    WORLD.with_borrow_mut(|world| world.log.push((level, message.to_owned())));
}

pub(crate) mod hook {
    use super::WORLD;
    use crate::policy::Verdict;

    pub(crate) fn values() -> Vec<Option<String>> {
        WORLD.with_borrow(|world| world.subscribed.iter().map(|field| world.exchange.request(field)).collect())
    }

    pub(crate) fn instance() -> String {
        WORLD.with_borrow(|world| world.instance.clone())
    }

    pub(crate) fn decide(verdict: &Verdict) {
        WORLD.with_borrow_mut(|world| world.decided = Some(verdict.clone()));
    }
}

pub(crate) mod clock {
    use super::WORLD;

    pub(crate) fn now_ns() -> u64 {
        WORLD.with_borrow(|world| world.now_ns)
    }

    pub(crate) fn wall_ms() -> u64 {
        WORLD.with_borrow(|world| world.now().wall_ms)
    }
}

pub(crate) mod random {
    use super::WORLD;

    /// What the test asked for, then a sequence that is always the same (splitmix64).
    pub(crate) fn random_u64() -> u64 {
        WORLD.with_borrow_mut(|world| {
            if let Some(next) = world.randoms.pop_front() {
                return next;
            }
            world.seed = world.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (world.seed ^ (world.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }
}

pub(crate) mod system {
    use super::WORLD;
    use crate::policy::system::Pressure;

    pub(crate) fn measure() -> Pressure {
        WORLD.with_borrow(|world| world.pressure)
    }
}

pub(crate) mod outbound {
    use super::WORLD;
    use crate::policy::outbound::{Request, Response};

    pub(crate) fn send(request: &Request) -> Result<Response, String> {
        let answer = WORLD.with_borrow_mut(|world| {
            world.sent.push(request.clone());
            world.outbound.take()
        });
        // Called with the mock free, so that it may use it.
        let Some(mut answer) = answer else {
            return Err(format!("nobody answers for `{}`", request.target));
        };
        let response = answer(request);
        WORLD.with_borrow_mut(|world| {
            world.outbound.get_or_insert(answer);
        });
        response
    }
}

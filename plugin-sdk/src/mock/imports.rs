//! The host's functions as a guest calls them, served by the thread's mock.

use super::WORLD;
use super::bucket::BucketSet;
use super::exchange::check_header;
use crate::bindings::policy::sluice::gateway::state::{BucketSpec, Reservation};
use crate::log::Level;
use crate::policy::Field;

pub(crate) fn log(level: Level, message: &str) {
    WORLD.with_borrow_mut(|world| world.log.push((level, message.to_owned())));
}

pub(crate) fn request_field(field: &Field) -> Option<String> {
    WORLD.with_borrow(|world| world.exchange.request(field))
}

pub(crate) fn set_request_header(name: &str, value: &str) -> Result<(), String> {
    check_header(name, value)?;
    WORLD.with_borrow_mut(|world| world.exchange.set_request(Field::Header(name.to_owned()), value));
    Ok(())
}

pub(crate) fn remove_request_header(name: &str) -> Result<(), String> {
    check_header(name, "")?;
    WORLD.with_borrow_mut(|world| world.exchange.remove_request(name));
    Ok(())
}

pub(crate) fn set_response_header(name: &str, value: &str) -> Result<(), String> {
    check_header(name, value)?;
    WORLD.with_borrow_mut(|world| world.exchange.set_response(name, value));
    Ok(())
}

pub(crate) fn remove_response_header(name: &str) -> Result<(), String> {
    check_header(name, "")?;
    WORLD.with_borrow_mut(|world| world.exchange.remove_response(name));
    Ok(())
}

pub(crate) fn open_bucket(name: &str, spec: BucketSpec) -> Result<u32, String> {
    WORLD.with_borrow_mut(|world| {
        if world.in_hook {
            return Err(format!("bucket `{name}` can only be opened while configuring"));
        }
        if spec.average == 0 || spec.period_ns == 0 || spec.burst == 0 {
            return Err(format!("bucket `{name}` needs an average, a period and a burst of at least 1"));
        }
        let now_ns = world.now_ns;
        let place = match world.buckets.iter_mut().position(|(known, _)| known == name) {
            Some(place) => {
                if let Some((_, set)) = world.buckets.get_mut(place) {
                    set.set_spec(spec, now_ns);
                }
                place
            }
            None => {
                world.buckets.push((name.to_owned(), BucketSet::new(spec)));
                world.buckets.len() - 1
            }
        };
        u32::try_from(place).map_err(|_| "too many buckets".to_owned())
    })
}

pub(crate) fn reserve(bucket: u32, key: &str, cost: u32, max_wait_ns: u64) -> Reservation {
    WORLD.with_borrow_mut(|world| {
        let now_ns = world.now_ns;
        world
            .buckets
            .get_mut(bucket as usize)
            .map_or(Reservation { granted: false, wait_ns: 0, remaining: 0 }, |(_, set)| {
                set.reserve(key, cost, max_wait_ns, now_ns)
            })
    })
}

pub(crate) fn refund(bucket: u32, key: &str, cost: u32) {
    WORLD.with_borrow_mut(|world| {
        let now_ns = world.now_ns;
        if let Some((_, set)) = world.buckets.get_mut(bucket as usize) {
            set.refund(key, cost, now_ns);
        }
    });
}

//! Timers that cost next to nothing while they do not fire, which is what timeouts do.
//!
//! Each worker has a wheel that turns every 50 ms. A [`Deadline`] is put on the wheel once and then moved by storing a
//! number; the wheel finds out when it comes by. So deadlines are late by up to two turns and never early, and setting
//! one for each request takes no lock and no system call. Things that last as long as connections keep one each.

mod hyper_timer;
mod idle;
mod wheel;

pub(crate) use hyper_timer::CoarseTimer;
pub(crate) use idle::Idle;
#[cfg(test)]
pub(crate) use wheel::pass;
pub(crate) use wheel::{Deadline, now, turn_for_ever, within};

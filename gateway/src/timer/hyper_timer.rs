//! The wheel as hyper wants timers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use super::wheel::{self, Deadline};

/// Timers on the worker's wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseTimer;

struct CoarseSleep {
    deadline: Deadline,
}

impl Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let mut deadline = Deadline::default();
        deadline.set(duration);
        Box::pin(CoarseSleep { deadline })
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Sleep>> {
        let mut deadline = Deadline::default();
        wheel::set_at(&mut deadline, at);
        Box::pin(CoarseSleep { deadline })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, at: Instant) {
        match sleep.as_mut().downcast_mut_pin::<CoarseSleep>() {
            Some(mut sleep) => wheel::set_at(&mut sleep.deadline, at),
            None => *sleep = self.sleep_until(at),
        }
    }

    fn now(&self) -> Instant {
        wheel::now()
    }
}

impl Sleep for CoarseSleep {}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_due(cx)
    }
}

//! Running futures on the worker they were made on.

use std::future::Future;

/// Spawns what hyper hands it onto the current worker, so that nothing has to be `Send`.
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

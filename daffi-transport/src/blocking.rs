//! Functions that may block, on the threads that the runtime keeps for them.
//!
//! [`tokio::task::spawn_blocking`] panics when the system gives the process no further thread. What
//! is here gives the function back instead, so that whoever wanted it run can say so and go on.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{runtime::Handle, task::JoinHandle};

/// Does `work` with `subject`, on a thread where it may block.
///
/// # Errors
/// `subject`: the system gives no thread, and `work` never begins. There may be one the next time.
pub fn try_spawn<S, W, T>(runtime: &Handle, subject: S, work: W) -> Result<JoinHandle<Option<T>>, S>
where
    S: Send + 'static,
    W: FnOnce(S) -> T + Send + 'static,
    T: Send + 'static,
{
    // Before it panics tokio puts what it was given into its queue, where it stays until there is a
    // thread again. So it is given a place only, out of which the subject is taken back.
    let place = Arc::new(Mutex::new(Some(subject)));
    let take = |place: &Mutex<Option<S>>| place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let there = Arc::clone(&place);
    let spawned = catch_unwind(AssertUnwindSafe(|| runtime.spawn_blocking(move || take(&there).map(work))));
    spawned.or_else(|panic| match take(&place) {
        Some(subject) => Err(subject),
        // Work has begun all the same, so the panic was about something else.
        None => resume_unwind(panic),
    })
}

/// The result of `work`, which runs on a thread where it may block. A panic of it goes on here.
///
/// Cancelling: dropping the future leaves `work` running; its result is lost.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] when the system gives no thread, and
/// [`io::ErrorKind::Interrupted`] when the runtime ends before `work` ran.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn run<W, T>(work: W) -> io::Result<T>
where
    W: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let no_thread = "the system gives this process no further thread: raise its limit (`ulimit -u`, in systemd TasksMax=, \
                     in containers --pids-limit)";
    let spawned = try_spawn(&Handle::current(), work, |work| work())
        .map_err(|_work| io::Error::new(io::ErrorKind::ResourceBusy, no_thread))?;
    match spawned.await {
        Ok(Some(done)) => Ok(done),
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Ok(None) | Err(_) => Err(io::Error::new(io::ErrorKind::Interrupted, "the runtime ends")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One on a system that gives it no threads: none has room for such a stack.
    fn without_threads() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().thread_stack_size(1 << 46).build().unwrap()
    }

    #[test]
    fn what_no_thread_runs_is_given_back() {
        let runtime = without_threads();
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let given_back = try_spawn(runtime.handle(), holds, drop).expect_err("there is no thread");
        drop(given_back);
        assert_eq!(Arc::strong_count(&held), 1, "nothing of it is left in the runtime");
        let error = runtime.block_on(run(|| 5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }

    #[tokio::test]
    async fn what_runs_gives_its_result() {
        assert_eq!(run(|| 5).await.unwrap(), 5);
    }

    #[tokio::test]
    #[should_panic(expected = "of the work")]
    async fn a_panic_goes_on() {
        let _never = run(|| panic!("of the work")).await;
    }
}

//! SIGHUP and SIGUSR1, which nodes hear and other commands do not.

use std::{
    convert::Infallible,
    io::{self, IsTerminal},
};

use daffi::transport::blocking;
use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal as Heard, SignalKind, signal};

use crate::{
    failure::Failure,
    interrupts::{Interrupts, Signal},
    supervisor::{self, News},
};

/// SIGHUP and SIGUSR1, which wait from here on until a node hears them, or this is dropped: they
/// end a process that has not come to hear them yet.
#[must_use]
pub(crate) struct Held(());

fn both() -> SigSet {
    [nix::sys::signal::SIGHUP, nix::sys::signal::SIGUSR1].into_iter().collect()
}

impl Held {
    /// Holds them back from this thread, and from those that it starts.
    pub(crate) fn begin() -> Self {
        // It fails for numbers that are no signals.
        let _ok = both().thread_block();
        Self(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ok = both().thread_unblock();
    }
}

/// The signals of a node that listens, heard from when it is made.
pub(crate) struct Signals {
    hangup: Heard,
    tell: Heard,
    /// Whether a person sees what is logged.
    on_terminal: bool,
}

impl Signals {
    /// Hears them from now on, and those that were [held back](Held). To be called on the thread
    /// that holds them.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let heard =
            |kind| signal(kind).map_err(|error| Failure::Failed(format!("signals cannot be listened for: {error}")));
        let signals = Self {
            hangup: heard(SignalKind::hangup())?,
            tell: heard(SignalKind::user_defined1())?,
            on_terminal: io::stderr().is_terminal(),
        };
        let _ok = both().thread_unblock();
        Ok(signals)
    }

    /// Does `reload` at each SIGHUP, unless that says that the terminal of the node is gone, and
    /// `tell` at each SIGUSR1.
    ///
    /// What `reload` gives reads files, and runs where that holds up no connection.
    pub(crate) async fn obey<R: FnOnce() + Send + 'static>(
        mut self,
        interrupts: &Interrupts,
        reload: impl Fn() -> R,
        tell: impl Fn(),
    ) -> Infallible {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => {
                    if self.on_terminal && !io::stderr().is_terminal() {
                        interrupts.end_by(Signal::HANGUP);
                    } else {
                        supervisor::tell(News::Reloading);
                        if let Err(error) = blocking::run(reload()).await {
                            tracing::error!(reason = %error, "not reloaded, and all stays as it is");
                        }
                        supervisor::tell(News::Ready);
                    }
                }
                Some(()) = self.tell.recv() => tell(),
                else => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{SIGUSR1, raise};

    use super::*;

    #[test]
    fn one_that_came_before_a_node_heard_signals_is_heard() {
        let held = Held::begin();
        raise(SIGUSR1).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Signals::listen().unwrap().tell.recv().await }).unwrap();
        drop(held);
    }
}

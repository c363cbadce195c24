//! SIGHUP and SIGUSR1, which nodes hear and other commands do not.

use std::{
    convert::Infallible,
    io::{self, IsTerminal},
};

use tokio::{
    signal::unix::{Signal as Heard, SignalKind, signal},
    task::spawn_blocking,
};

use crate::{
    failure::Failure,
    interrupts::{Interrupts, Signal},
    supervisor::{self, News},
};

/// The signals of a node that listens, heard from when it is made.
pub(crate) struct Signals {
    hangup: Heard,
    tell: Heard,
    /// Whether a person sees what is logged.
    on_terminal: bool,
}

impl Signals {
    /// Hears them from now on.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let heard =
            |kind| signal(kind).map_err(|error| Failure::Failed(format!("signals cannot be listened for: {error}")));
        Ok(Self {
            hangup: heard(SignalKind::hangup())?,
            tell: heard(SignalKind::user_defined1())?,
            on_terminal: io::stderr().is_terminal(),
        })
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
                        // A panic in it was told already.
                        drop(spawn_blocking(reload()).await);
                        supervisor::tell(News::Ready);
                    }
                }
                Some(()) = self.tell.recv() => tell(),
                else => std::future::pending().await,
            }
        }
    }
}

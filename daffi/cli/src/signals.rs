//! SIGHUP and SIGUSR1, which mean more to nodes than to other commands.

use std::{
    convert::Infallible,
    fs::{self, File},
    io::{self, IsTerminal},
    time::Duration,
};

use daffi::transport::blocking;
use nix::sys::signal::SigSet;
use rustix::io::Errno;
use tokio::{
    signal::unix::{Signal as Heard, SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::{
    failure::{Failure, unheard},
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

/// How often a node looks whether its terminal is still there.
const TERMINAL_POLL: Duration = Duration::from_secs(5);

/// Whether whoever started this process had it ignore SIGHUP, as `nohup` does. To be asked before
/// that is listened for.
pub(crate) fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored & 1 << (nix::sys::signal::SIGHUP as i32 - 1) != 0
}

/// The terminal that a process runs in: where its log goes, or what signals its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terminal {
    has_log: bool,
    signals_us: bool,
}

impl Terminal {
    /// The terminal as it is now, as far as there is one.
    fn look() -> Self {
        // A process that has no file left may have a terminal all the same.
        let terminal = File::open("/dev/tty").err();
        let signals_us =
            terminal.is_none_or(|error| matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)));
        Self { has_log: io::stderr().is_terminal(), signals_us }
    }

    /// Whether something of it is not there any more.
    fn is_gone(self) -> bool {
        let now = Self::look();
        self.has_log && !now.has_log || self.signals_us && !now.signals_us
    }
}

/// The signals of a node, heard from when it is made.
pub(crate) struct Signals {
    hangup: Heard,
    tell: Heard,
    /// What ends the node when it is closed. `None`: nothing does.
    terminal: Option<Terminal>,
}

impl Signals {
    /// Hears them from now on, and those that were [held back](Held). To be called on the thread
    /// that holds them.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let heard = |kind| signal(kind).map_err(|error| unheard(&error));
        let terminal = (!is_hangup_ignored()).then(Terminal::look).filter(|at| at.has_log || at.signals_us);
        let signals =
            Self { hangup: heard(SignalKind::hangup())?, tell: heard(SignalKind::user_defined1())?, terminal };
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
        let mut look = interval(TERMINAL_POLL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_gone = false;
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => {
                    if self.terminal.is_some_and(Terminal::is_gone) {
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
                // Whoever is left running when its shell ends hears nothing of that, and later
                // signals are meant for it.
                _ = look.tick(), if self.terminal.is_some() => {
                    let is_gone = self.terminal.is_some_and(Terminal::is_gone);
                    self.terminal.take_if(|_| is_gone && was_gone);
                    was_gone = is_gone;
                }
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

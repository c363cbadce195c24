//! Ctrl-C and SIGTERM, heard from the start: they end every command, whatever it waits for, and
//! the end of its terminal ends all but nodes, which hear of that themselves.

use std::{
    io, process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal as Heard, SignalKind, signal},
    sync::watch,
    task::AbortHandle,
};

use crate::{failure::Failure, signals};

/// How long a command may take to end after a signal. A command that takes longer waits for a
/// reader of stdout, or has much left to do.
const PATIENCE: Duration = Duration::from_secs(1);

/// Signals within so long of the first are the same wish: `timeout` signals its child and then its
/// group, and what starts commands hands Ctrl-C on that the terminal gave to both. Nobody presses a
/// key twice as fast as that.
const ONE_WISH: Duration = Duration::from_millis(300);

/// A signal that asks a process to end, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(u8);

impl Signal {
    const INTERRUPT: Self = Self(2);
    const TERMINATE: Self = Self(15);
    /// The terminal is gone.
    pub(crate) const HANGUP: Self = Self(1);

    /// The exit code by which shells tell of it: 130 for Ctrl-C, 143 for SIGTERM, 129 for a
    /// terminal that is gone.
    pub(crate) const fn exit_code(self) -> u8 {
        128 + self.0
    }
}

/// The signals that came. A process without handlers does not end by them when it is the first of
/// its container.
#[derive(Debug)]
pub(crate) struct Interrupts {
    first: watch::Receiver<Option<Signal>>,
    told: watch::Sender<Option<Signal>>,
    deadline: AbortHandle,
    /// The command does what it was asked to until it is told to end.
    is_content: Arc<AtomicBool>,
}

impl Interrupts {
    /// Hears signals from now on; of `is_node`, those that end a node. A second wish ends the
    /// process at once, and so does the first when the process has not ended a second later.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn listen(is_node: bool) -> io::Result<Self> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Who was started by `nohup` outlives its terminal.
        let hears_hangup = !is_node && !signals::is_hangup_ignored();
        let mut hangup = hears_hangup.then(|| signal(SignalKind::hangup())).transpose()?;
        let (told, first) = watch::channel(None);
        let tell = told.clone();
        let is_content = Arc::<AtomicBool>::default();
        let ends_well = Arc::clone(&is_content);
        let (late, mut is_late) = watch::channel(());
        // An abort drops this, and with it what makes the process late.
        let deadline = tokio::spawn({
            let mut first = first.clone();
            async move {
                drop(first.wait_for(Option::is_some).await);
                tokio::time::sleep(PATIENCE).await;
                let _heard = late.send(());
            }
        });
        tokio::spawn(async move {
            let mut begun = None;
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::INTERRUPT,
                    Some(()) = terminate.recv() => Signal::TERMINATE,
                    Some(()) = next(&mut hangup) => Signal::HANGUP,
                    Ok(()) = is_late.changed() => tell.borrow().unwrap_or(Signal::INTERRUPT),
                    else => return,
                };
                match begun {
                    None => begun = Some(Instant::now()),
                    // A process that is late has had longer than that.
                    Some(begun) if begun.elapsed() < ONE_WISH => continue,
                    Some(_) if ends_well.load(Ordering::Relaxed) => process::exit(0),
                    Some(_) => process::exit(signal.exit_code().into()),
                }
                let _nobody_asks = tell.send(Some(signal));
            }
        });
        Ok(Self { first, told, deadline: deadline.abort_handle(), is_content })
    }

    /// Ends the command as that signal would.
    pub(crate) fn end_by(&self, signal: Signal) {
        self.told.send_if_modified(|first| first.replace(signal).is_none());
    }

    /// Waits for the first signal. Cancel safe.
    pub(crate) async fn await_signal(&self) -> Signal {
        let mut first = self.first.clone();
        let signal = first.wait_for(Option::is_some).await.ok().and_then(|signal| *signal);
        match signal {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// Runs `work`, which a signal gives up. What is done when the signal is seen is not given up:
    /// a node that listens by then has clients, and ends in order.
    pub(crate) async fn cut<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => done,
            signal = self.await_signal() => Err(Failure::Interrupted(signal)),
        }
    }

    /// As [`cut`](Self::cut). The command says what was given up, unless it is content by then.
    pub(crate) async fn cut_noting<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        note: impl FnOnce() -> String,
    ) -> Result<T, Failure> {
        self.cut(work).await.map_err(|failure| match failure {
            Failure::Interrupted(signal) => Failure::Cancelled(signal, note()),
            other => other,
        })
    }

    /// From now on a signal is how the command ends in order: it does what it was asked to until
    /// then.
    pub(crate) fn be_content(&self) {
        self.is_content.store(true, Ordering::Relaxed);
    }

    /// Whether a signal is how the command ends in order.
    pub(crate) fn is_content(&self) -> bool {
        self.is_content.load(Ordering::Relaxed)
    }

    /// Lets what follows the first signal take its time: a node ends in order.
    pub(crate) fn be_patient(&self) {
        self.deadline.abort();
    }
}

/// The next signal of this kind, if it is listened for.
async fn next(heard: &mut Option<Heard>) -> Option<()> {
    match heard {
        Some(heard) => heard.recv().await,
        None => std::future::pending().await,
    }
}

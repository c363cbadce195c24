//! How the results of a call are taken: one by one, printed as they come.

use std::{cell::Cell, pin::pin, time::Duration};

use daffi::{CallError, Client, Results, Value};
use futures::{FutureExt, StreamExt};

use super::printer::Printer;
use crate::{failure::Failure, interrupts::Signal, suggestion::Explain};

/// More bytes than all that waits to be sent beside a call.
const MUCH: usize = 1024;

/// Why a call, or taking its results, came to no good end.
pub(super) enum Trouble {
    /// The call failed.
    Call(CallError),
    /// It was given up here.
    Here(Failure),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}

impl Explain for Trouble {
    fn explain(self, client: &Client) -> Failure {
        match self {
            Self::Call(error) => error.explain(client),
            Self::Here(failure) => failure,
        }
    }
}

/// How far a call came whose arguments or results go one by one.
#[derive(Debug, Default)]
pub(super) struct Progress {
    streams: Cell<bool>,
    results: Cell<u64>,
}

impl Progress {
    /// What was asked for, or is given, goes one by one.
    pub(super) fn note_stream(&self) {
        self.streams.set(true);
    }

    /// What a signal ends. `unsent`: bytes that wait to be sent.
    pub(super) fn interrupt_failure(&self, method: &str, signal: Signal, unsent: usize) -> Failure {
        if !self.streams.get() {
            // So much is no question whether the other end lives, which may wait as well.
            let note = match unsent {
                MUCH.. => {
                    format!("{method} was cancelled before it was sent, so it did not run: {unsent} bytes were left")
                }
                _ => format!("{method} was cancelled"),
            };
            return Failure::Cancelled(signal, note);
        }
        let results = match self.results.get() {
            1 => "1 result".to_owned(),
            results => format!("{results} results"),
        };
        Failure::Cancelled(signal, format!("{method} was cancelled after {results}"))
    }
}

/// When the time of results begins that count from the last argument.
pub(super) struct AllSent<S> {
    pub(super) sent: S,
    pub(super) timeout: Option<Duration>,
}

/// Takes all results. Those of a stream are printed as they come; the only one of a callback that
/// gives a plain value is returned.
pub(super) async fn take(
    mut results: Results<Value>,
    all_sent: AllSent<impl Future<Output = ()>>,
    json: bool,
    progress: &Progress,
) -> Result<Option<Value>, Trouble> {
    if results.is_stream() {
        progress.note_stream();
    }
    let mut printer = Printer::new(json);
    let mut sent = pin!(all_sent.sent.fuse());
    loop {
        let ready = results.next().now_or_never();
        let next = match ready {
            Some(next) => next,
            None => {
                printer.flush().await?;
                tokio::select! {
                    biased;
                    () = &mut sent => {
                        results.set_timeout(all_sent.timeout);
                        continue;
                    }
                    next = results.next() => next,
                }
            }
        };
        match next {
            Some(Ok(value)) if !results.is_stream() => return Ok(Some(value)),
            Some(Ok(value)) => {
                progress.note_stream();
                printer.put(&value).await?;
                progress.results.set(progress.results.get() + 1);
            }
            Some(Err(error)) => {
                printer.finish().await?;
                return Err(error.into());
            }
            None => {
                printer.finish().await?;
                return Ok(None);
            }
        }
    }
}

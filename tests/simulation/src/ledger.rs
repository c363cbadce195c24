//! What happened in a simulation, and what must hold of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use daffi_core::CallError;
use parking_lot::Mutex;

/// A tick of the simulation and a bit, by which a timeout may be seen late.
const LATE: Duration = Duration::from_millis(3);

/// All calls of a simulation, and all runs of callbacks.
#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Record>,
    /// Runs of a call's callback, by call and node.
    runs: BTreeMap<(u64, String), u32>,
    /// Chunks of a stream that ran, in order, by call and start of a node: one that was evicted may
    /// still work off what it received, beside the one that has its name now.
    chunks: BTreeMap<(u64, String, u32), Vec<u64>>,
    /// Starts of nodes.
    starts: u32,
    log: Vec<Line>,
    violations: Vec<String>,
}

/// Something that happened, and when.
#[derive(Clone, Debug, Hash)]
struct Line(Duration, String);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} {}", self.0.as_secs_f64(), self.1)
    }
}

#[derive(Debug)]
struct Record {
    caller: String,
    what: String,
    begun: Duration,
    timeout: Option<Duration>,
    state: State,
    outcomes: Vec<(Option<String>, Outcome)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    /// Its host crashed, or the caller dropped it.
    Dropped,
}

/// How a call ended, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With its own echo.
    Answered,
    /// A stream of which so many chunks were acknowledged, and whether that was all of it.
    Acknowledged(u64, bool),
    /// Nobody was to answer.
    Queued,
    /// The error says that the callback did not run.
    NotRun(String),
    /// Whether the callback ran is unknown.
    Unknown(String),
}

impl From<CallError> for Outcome {
    fn from(error: CallError) -> Self {
        if error.is_retryable() { Self::NotRun(error.to_string()) } else { Self::Unknown(error.to_string()) }
    }
}

/// A call that has to end.
#[derive(Debug)]
pub struct OpenCall {
    /// Its number, unique in the simulation.
    pub id: u64,
    ledger: Arc<Ledger>,
    ended: bool,
}

impl OpenCall {
    /// It ended, with an outcome for each receiver; `None`: any one.
    pub fn end(mut self, outcomes: Vec<(Option<String>, Outcome)>) {
        self.ended = true;
        self.ledger.end(self.id, State::Ended, outcomes);
    }

    /// The caller gave it up.
    pub fn give_up(mut self) {
        self.ended = true;
        self.ledger.end(self.id, State::Dropped, Vec::new());
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if !self.ended {
            // The host crashed: there is no time to tell.
            if let Some(record) = self.ledger.record(self.id, &mut self.ledger.inner.lock()) {
                record.state = State::Dropped;
            }
        }
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl Ledger {
    /// A call begins.
    pub fn begin(self: &Arc<Self>, caller: &str, what: String, timeout: Option<Duration>) -> OpenCall {
        let mut inner = self.inner.lock();
        let id = inner.calls.len() as u64;
        inner.log.push(Line(now(), format!("{caller} calls {id}: {what}")));
        inner.calls.push(Record {
            caller: caller.to_owned(),
            what,
            begun: now(),
            timeout,
            state: State::Open,
            outcomes: Vec::new(),
        });
        OpenCall { id, ledger: Arc::clone(self), ended: false }
    }

    fn record<'a>(&self, id: u64, inner: &'a mut Inner) -> Option<&'a mut Record> {
        usize::try_from(id).ok().and_then(|at| inner.calls.get_mut(at))
    }

    fn end(&self, id: u64, state: State, outcomes: Vec<(Option<String>, Outcome)>) {
        let mut inner = self.inner.lock();
        inner.log.push(Line(now(), format!("{id} ended: {state:?} {outcomes:?}")));
        let Some(record) = self.record(id, &mut inner) else { return };
        let took = now().saturating_sub(record.begun);
        let mut wrong = Vec::new();
        if record.state != State::Open {
            wrong.push(format!("call {id} ended twice"));
        }
        if let Some(timeout) = record.timeout
            && state == State::Ended
            && took > timeout + LATE
        {
            wrong.push(format!("call {id} with a timeout of {timeout:?} ended after {took:?}"));
        }
        record.state = state;
        record.outcomes = outcomes;
        inner.violations.extend(wrong);
    }

    /// A callback runs for a call.
    pub fn ran(&self, id: u64, node: &str, caller: &str) {
        let mut inner = self.inner.lock();
        inner.log.push(Line(now(), format!("{id} runs on {node}")));
        self.check_caller(&mut inner, id, node, caller);
        *inner.runs.entry((id, node.to_owned())).or_default() += 1;
    }

    /// A node starts: the number of this start.
    pub fn start(&self) -> u32 {
        let mut inner = self.inner.lock();
        inner.starts += 1;
        inner.starts
    }

    /// A callback runs for a chunk of a stream.
    pub fn chunk(&self, id: u64, place: u64, (node, start): (&str, u32), caller: &str) {
        let mut inner = self.inner.lock();
        inner.log.push(Line(now(), format!("chunk {place} of {id} runs on {node}")));
        self.check_caller(&mut inner, id, node, caller);
        inner.chunks.entry((id, node.to_owned(), start)).or_default().push(place);
    }

    fn check_caller(&self, inner: &mut Inner, id: u64, node: &str, caller: &str) {
        let expected = self.record(id, inner).map(|record| record.caller.clone());
        if expected.as_deref() != Some(caller) {
            let text = format!("call {id} of {expected:?} ran on {node} in the name of {caller}");
            inner.violations.push(text);
        }
    }

    /// Something that is no call happened.
    pub fn note(&self, text: impl Into<String>) {
        self.inner.lock().log.push(Line(now(), text.into()));
    }

    /// The same, at a time that the caller knows better.
    pub fn note_at(&self, at: Duration, text: impl Into<String>) {
        self.inner.lock().log.push(Line(at, text.into()));
    }

    /// Something that must not be.
    pub fn violation(&self, text: impl Into<String>) {
        self.inner.lock().violations.push(text.into());
    }

    /// What does not hold, now that all is over. `calm`: nothing went wrong, so a call that could
    /// wait was answered.
    pub fn verdict(&self, calm: bool) -> Vec<String> {
        let mut inner = self.inner.lock();
        let mut wrong = std::mem::take(&mut inner.violations);
        for ((id, node), runs) in &inner.runs {
            if *runs > 1 {
                wrong.push(format!("the callback of call {id} ran {runs} times on {node}"));
            }
        }
        for ((id, node, _), places) in &inner.chunks {
            if !places.is_sorted_by(|a, b| a < b) {
                wrong.push(format!("the chunks of stream {id} ran out of order on {node}: {places:?}"));
            }
        }
        for (id, record) in (0u64..).zip(&inner.calls) {
            let text = || format!("call {id} of {} ({}, begun at {:?})", record.caller, record.what, record.begun);
            let on: Vec<_> = inner.runs.range((id, String::new())..(id + 1, String::new())).collect();
            if record.state == State::Open {
                wrong.push(format!("{} never ended", text()));
            }
            for (receiver, outcome) in &record.outcomes {
                let runs = match receiver {
                    Some(receiver) => on.iter().filter(|((_, node), _)| node == receiver).count(),
                    None => on.len(),
                };
                match outcome {
                    Outcome::Unknown(error) if calm && record.timeout.is_none() => {
                        wrong.push(format!("{} failed although nothing went wrong: {error}", text()));
                    }
                    Outcome::Answered if runs != 1 => {
                        wrong.push(format!("{} was answered, but ran on {runs} nodes", text()));
                    }
                    Outcome::NotRun(error) if runs > 0 => {
                        wrong.push(format!("{} ran, and its error denies it: {error}", text()));
                    }
                    Outcome::Acknowledged(count, whole) => {
                        let from = (id, String::new(), 0);
                        let ran = inner.chunks.range(from..(id + 1, String::new(), 0));
                        let nodes: BTreeSet<_> = ran.clone().map(|((_, node, _), _)| node).collect();
                        let chunks = ran.map(|(_, places)| places.len()).sum::<usize>() as u64;
                        if nodes.len() > 1 || chunks < *count || *whole && chunks != *count {
                            let text = format!("{}: {count} chunks acknowledged, {chunks} ran, on {nodes:?}", text());
                            wrong.push(text);
                        }
                    }
                    _ if runs > 1 => wrong.push(format!("{} ran on {runs} nodes", text())),
                    _ => {}
                }
            }
        }
        wrong
    }

    /// How many calls there were, and how many were answered.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        let answered = |record: &&Record| record.outcomes.iter().any(|(_, o)| *o == Outcome::Answered);
        (inner.calls.len(), inner.calls.iter().filter(answered).count())
    }

    /// Two runs with the same digest did the same things at the same times.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.lock().log.hash(&mut hasher);
        hasher.finish()
    }

    /// All that happened, in order.
    pub fn log(&self) -> Vec<String> {
        self.inner.lock().log.iter().map(ToString::to_string).collect()
    }
}

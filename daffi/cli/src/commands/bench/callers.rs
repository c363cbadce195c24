//! Those who call, and what they note.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use daffi::{CallError, Client, Rpc};
use futures::{FutureExt, StreamExt, TryStreamExt};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep_until, timeout_at},
};

use crate::{failure::Failure, interrupts::Interrupts, invocation::Invoked, suggestion::Explain, tally::Tally};

/// The pause after which a caller that cannot call at all tries again.
const PAUSE: Duration = Duration::from_millis(10);
/// How long those whom nobody takes wait for another to be taken: a worker that is restarted comes
/// back.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line of progress is drawn.
const TICK: Duration = Duration::from_millis(200);

/// What is to be measured.
pub(super) struct Plan {
    /// Callers on each connection.
    pub(super) in_flight: usize,
    /// The time from one call to the next, over all callers. `None`: they never wait.
    pub(super) period: Option<Duration>,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    /// Results that are taken of each call, one by one. `None`: each has a plain one.
    pub(super) results: Option<usize>,
}

/// Nanoseconds, to three digits.
pub(super) type Latencies = Histogram<u64>;

/// What was measured.
pub(super) struct Measured {
    pub(super) latencies: Latencies,
    pub(super) errors: Tally,
    pub(super) first_failure: Option<Failure>,
    /// What went wrong first with calls that do not count: those of the warm-up, and those that
    /// nobody takes from the beginning.
    pub(super) early_failure: Option<Failure>,
    /// The time from the end of the warm-up to the last answer.
    pub(super) elapsed: Duration,
    /// Results that were taken one by one.
    pub(super) results: u64,
    /// The time of processors that this process took meanwhile.
    pub(super) cpu: Duration,
}

impl Measured {
    pub(super) fn calls(&self) -> u64 {
        self.latencies.len()
    }

    pub(super) fn failed_count(&self) -> u64 {
        self.errors.total()
    }

    /// Adds what some callers noted.
    fn add(&mut self, notes: &mut Notes, known: &Client) {
        self.latencies.add(&notes.latencies).expect("a histogram without bounds grows");
        self.errors.add(&notes.errors);
        self.results += notes.results;
        if let (None, Some(error)) = (&self.first_failure, notes.first_error.take()) {
            self.first_failure = Some(error.explain(known));
        }
        if let (None, Some(error)) = (&self.early_failure, notes.early_error.take()) {
            self.early_failure = Some(error.explain(known));
        }
    }
}

/// Callers note together in so many places: each place has counters of its own, which would take
/// much memory for thousands of callers, and callers would wait for a single one.
const PLACES: usize = 16;

/// What callers noted so far.
struct Notes {
    latencies: Latencies,
    errors: Tally,
    first_error: Option<CallError>,
    early_error: Option<CallError>,
    results: u64,
}

impl Notes {
    fn new() -> Self {
        Self { latencies: latencies(), errors: Tally::default(), first_error: None, early_error: None, results: 0 }
    }
}

fn latencies() -> Latencies {
    Histogram::new(3).expect("three digits are among those that a histogram can have")
}

/// Calls over each of `rpcs` as planned, until it is time or a signal comes, which is the error.
/// `known` knows the members.
pub(super) async fn measure(
    rpcs: Vec<Rpc>,
    known: Client,
    invoked: Invoked,
    plan: &Plan,
    interrupts: &Interrupts,
) -> (Measured, Result<(), Failure>) {
    let begin = Instant::now();
    let start = begin + plan.warm_up;
    let end = start + plan.duration;
    let callers = rpcs.len() * plan.in_flight;
    let places = callers.min(PLACES);
    let notes: Vec<_> = std::iter::repeat_with(|| Arc::new(Mutex::new(Notes::new()))).take(places).collect();
    let (invoked, results) = (Arc::new(invoked), plan.results);
    let beginning = Arc::new(watch::Sender::new(Beginning::Unknown { begun: 0, refused: 0 }));
    let caller = |number: usize| {
        let rpc = rpcs[number / plan.in_flight].clone();
        let (invoked, beginning) = (Arc::clone(&invoked), Arc::clone(&beginning));
        Caller { rpc, invoked, results, start, end, callers, beginning, notes: Arc::clone(&notes[number % places]) }
    };
    // The callers take turns.
    let due =
        |number| plan.period.map(|period| Due { next: begin + times(period, number), step: times(period, callers) });
    let mut tasks: JoinSet<()> = (0..callers).map(|number| caller(number).call_on(due(number))).collect();
    let cpu_at_start = tokio::spawn(async move {
        sleep_until(start.into()).await;
        cpu_time()
    });
    let finished = async { while tasks.join_next().await.is_some() {} };
    let ended = tokio::select! {
        () = finished => Ok(()),
        signal = interrupts.await_signal() => Err(Failure::Interrupted(signal)),
        never = show_progress(&notes, start, plan.duration) => never,
    };
    let elapsed = start.elapsed();
    // A run that is cut off during the warm-up has taken nothing.
    let cpu = cpu_at_start
        .now_or_never()
        .and_then(Result::ok)
        .map_or(Duration::ZERO, |start| cpu_time().saturating_sub(start));
    let mut measured = Measured {
        latencies: latencies(),
        errors: Tally::default(),
        first_failure: None,
        early_failure: None,
        elapsed,
        results: 0,
        cpu,
    };
    notes.iter().for_each(|notes| measured.add(&mut notes.lock(), &known));
    (measured, ended)
}

/// The time of processors that this process took so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn times(period: Duration, count: usize) -> Duration {
    period.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

/// When a caller calls.
struct Due {
    next: Instant,
    step: Duration,
}

impl Due {
    /// Leaves out the calls that were due before `start`: where more are wanted than can be made,
    /// those of the warm-up that are still to be made would take all the time that is measured.
    fn skip_to(&mut self, start: Instant) {
        let overdue = start.saturating_duration_since(self.next).as_nanos();
        let whole_steps = overdue.next_multiple_of(self.step.as_nanos().max(1));
        self.next += Duration::from_nanos(u64::try_from(whole_steps).unwrap_or(u64::MAX));
    }
}

/// What the first calls of all callers showed so far: a worker that is restarted comes back, and a
/// name that is wrong stays so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// So many callers have made their first call, so many of them found nobody who takes it, and
    /// no call was taken.
    Unknown { begun: usize, refused: usize },
    /// Somebody took a call.
    Taken,
    /// Nobody took the first call of any caller, or of all that had called when one had waited long
    /// enough.
    Refused,
}

struct Caller {
    rpc: Rpc,
    invoked: Arc<Invoked>,
    results: Option<usize>,
    start: Instant,
    end: Instant,
    /// Those there are.
    callers: usize,
    beginning: Arc<watch::Sender<Beginning>>,
    notes: Arc<Mutex<Notes>>,
}

impl Caller {
    /// Calls again and again until the end, and notes the calls that began after the start.
    async fn call_on(self, mut due: Option<Due>) {
        let (mut is_taken, mut is_first) = (false, true);
        loop {
            let begun = match &mut due {
                None => Instant::now(),
                Some(due) => {
                    if Instant::now() >= self.start {
                        due.skip_to(self.start);
                    }
                    let this = due.next;
                    due.next += due.step;
                    if this < self.end && !self.sleeps_until(this, is_first).await {
                        return;
                    }
                    this
                }
            };
            // A call that is due after the end does not begin, for more calls may be wanted than
            // can be made.
            if begun >= self.end || Instant::now() >= self.end {
                return;
            }
            if std::mem::replace(&mut is_first, false) && !self.begins() {
                return;
            }
            let called = self.call().await;
            let is_refused = matches!(called, Err(CallError::ReceiverNotFound { .. }));
            let is_early = is_refused && !is_taken && *self.beginning.borrow() != Beginning::Taken;
            if let Err(error) = &called
                && (is_early || begun < self.start)
            {
                self.notes.lock().early_error.get_or_insert_with(|| error.clone());
            }
            if is_early && !self.await_taken().await {
                return;
            }
            if !std::mem::replace(&mut is_taken, true) && !is_refused {
                self.beginning.send_replace(Beginning::Taken);
            }
            if begun >= self.start {
                self.note(begun, called.as_ref());
            }
            if let Err(CallError::Disconnected(_) | CallError::ReceiverNotFound { .. } | CallError::Overloaded(_)) =
                called
            {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sleeps until a call is due. `false`: nobody takes the calls of others, so it has no first.
    async fn sleeps_until(&self, due: Instant, is_first: bool) -> bool {
        if !is_first {
            sleep_until(due.into()).await;
            return true;
        }
        let mut decided = self.beginning.subscribe();
        let refused = async { decided.wait_for(|beginning| *beginning == Beginning::Refused).await.is_ok() };
        tokio::select! {
            () = sleep_until(due.into()) => true,
            is_refused = refused => !is_refused,
        }
    }

    /// Notes that a caller makes its first call. `false`: it is to make none.
    fn begins(&self) -> bool {
        let mut does = true;
        self.beginning.send_if_modified(|beginning| {
            match beginning {
                Beginning::Unknown { begun, .. } => *begun += 1,
                Beginning::Taken => {}
                Beginning::Refused => does = false,
            }
            false
        });
        does
    }

    /// Waits whether somebody takes the call of another caller; nobody took the first one of this.
    /// `false`: nobody does in time, so the run has ended.
    async fn await_taken(&self) -> bool {
        let mut decided = self.beginning.subscribe();
        let mut is_first_refused = false;
        self.beginning.send_if_modified(|beginning| {
            let Beginning::Unknown { refused, .. } = beginning else { return false };
            *refused += 1;
            is_first_refused = *refused == 1;
            let are_all = *refused == self.callers;
            if are_all {
                *beginning = Beginning::Refused;
            }
            are_all
        });
        let decided = decided.wait_for(|beginning| !matches!(beginning, Beginning::Unknown { .. }));
        let decided = timeout_at(self.end.into(), async { decided.await.is_ok_and(|how| *how == Beginning::Taken) });
        tokio::select! {
            decided = decided => decided.unwrap_or(false),
            () = self.give_up(), if is_first_refused => false,
        }
    }

    /// Decides for all that nobody takes their calls, once that has been so for long enough and no
    /// first call is open, which somebody may have taken. Some callers may have none due for long.
    async fn give_up(&self) {
        let mut pause = PATIENCE;
        loop {
            tokio::time::sleep(pause).await;
            pause = PAUSE;
            let has_given_up = self.beginning.send_if_modified(|beginning| {
                let is_hopeless = matches!(beginning, Beginning::Unknown { begun, refused } if *begun == *refused);
                if is_hopeless {
                    *beginning = Beginning::Refused;
                }
                is_hopeless
            });
            if has_given_up {
                return;
            }
        }
    }

    /// Calls, and gives how many results were taken one by one.
    async fn call(&self) -> Result<u64, CallError> {
        let (method, args) = (&self.invoked.method, self.invoked.args.clone());
        let Some(most) = self.results else {
            return self.rpc.call::<IgnoredAny>(method, args).await.map(|IgnoredAny| 0);
        };
        let results = self.rpc.results::<IgnoredAny>(method, args).await?.take(most);
        results.try_fold(0, async |taken, IgnoredAny| Ok(taken + 1)).await
    }

    fn note(&self, begun: Instant, called: Result<&u64, &CallError>) {
        let mut notes = self.notes.lock();
        match called {
            Ok(results) => {
                notes.results += results;
                let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                notes.latencies.record(nanos).expect("a histogram without bounds grows");
            }
            Err(error) => {
                notes.errors.count(class(error));
                notes.first_error.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// The name that an error is counted under.
fn class(error: &CallError) -> &str {
    match error {
        CallError::Remote { error, .. } => &error.class,
        CallError::Timeout { .. } => "CallTimeout",
        CallError::ReceiverNotFound { .. } => "ReceiverNotFound",
        CallError::ReceiverGone { .. } => "ReceiverGone",
        CallError::Overloaded(_) => "Overloaded",
        CallError::Disconnected(_) => "Disconnected",
        CallError::Evicted => "Evicted",
        CallError::CannotConnect(_) => "CannotConnect",
        CallError::Encode { .. } | CallError::Decode { .. } => "SerdeError",
        CallError::TransmissionFailure { .. } => "TransmissionFailure",
        _ => "other",
    }
}

/// A line on a terminal that tells how far it is. Never ends.
async fn show_progress(notes: &[Arc<Mutex<Notes>>], start: Instant, duration: Duration) -> Result<(), Failure> {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg}").expect("the template is constant and tested");
    line.set_style(style);
    // The line is removed, and the answer stands in its place.
    let line = Cleared(line);
    loop {
        tokio::time::sleep(TICK).await;
        let now = start.elapsed();
        let count = |of: fn(&Notes) -> u64| notes.iter().map(|notes| of(&notes.lock())).sum::<u64>();
        let calls = count(|notes| notes.latencies.len());
        let failed = match count(|notes| notes.errors.total()) {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        line.0.set_message(match now {
            Duration::ZERO => "warming up".to_owned(),
            now => format!(
                "{:.0} of {:.0} s, {:.0} calls/s{failed}",
                now.as_secs_f64(),
                duration.as_secs_f64(),
                calls as f64 / now.as_secs_f64()
            ),
        });
    }
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use daffi::{DynArgs, Service};

    use super::*;
    use crate::address::parse_address;

    async fn serve(at: &str, method: &str) -> (Service, Client) {
        let service = Service::builder("svc").callback_fn(method, async || 7).bind(at).await.unwrap();
        (service, Client::builder("caller").connect(at).await.unwrap())
    }

    fn calling_f() -> Invoked {
        Invoked {
            address: parse_address("tcp://127.0.0.1:1").unwrap(),
            method: "f".to_owned(),
            args: DynArgs::default(),
            serde: None,
            timeout: None,
            headers: Vec::new(),
        }
    }

    /// A list may reach one connection before another.
    #[tokio::test]
    async fn one_caller_that_finds_nobody_goes_on_when_the_call_of_another_is_taken() {
        let (there, here) = (serve("mem://bench-there", "f").await, serve("mem://bench-here", "other").await);
        let plan = Plan {
            in_flight: 1,
            period: None,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            results: None,
        };
        let interrupts = Interrupts::listen(false).unwrap();
        let rpcs = vec![here.1.rpc(), there.1.rpc()];
        let (measured, ended) = measure(rpcs, there.1.clone(), calling_f(), &plan, &interrupts).await;
        assert!(ended.is_ok() && measured.calls() > 0);
        let errors: Vec<_> = measured.errors.iter().collect();
        assert!(matches!(errors[..], [("ReceiverNotFound", 1..)]), "{errors:?}");
    }

    /// Callers whose first call is due in a minute have nothing to tell.
    #[tokio::test]
    async fn what_nobody_takes_ends_before_all_callers_have_called() {
        let (_service, client) = serve("mem://bench-nobody", "other").await;
        let plan = Plan {
            in_flight: 64,
            period: Some(Duration::from_secs(1)),
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(3600),
            results: None,
        };
        let interrupts = Interrupts::listen(false).unwrap();
        let (measured, ended) = measure(vec![client.rpc()], client.clone(), calling_f(), &plan, &interrupts).await;
        assert!(ended.is_ok() && measured.calls() + measured.failed_count() == 0);
        assert!(measured.early_failure.is_some());
        assert!(measured.elapsed < Duration::from_secs(30), "{:?}", measured.elapsed);
    }
}

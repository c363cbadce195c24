//! Runs a target on ever new inputs.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{self, AssertUnwindSafe},
    sync::Once,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::mutate::mutate;

/// What one input did: inputs that do something new are kept and changed further.
///
/// The stable toolchain tells nothing of the code that ran, so targets say what came of an input
/// instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signature(u64);

impl Signature {
    /// Of what came of an input, as coarse as makes sense.
    pub fn of(what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Something that reads a peer's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Runs one input. `Err`: a property does not hold.
    pub run: fn(&[u8]) -> Result<Signature, String>,
}

/// What came of a campaign.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Inputs run.
    pub executions: u64,
    /// Inputs kept because they did something new.
    pub kept: usize,
    /// The first input that must not do what it did, and what it did.
    pub finding: Option<Finding>,
}

/// An input that must not do what it does.
#[derive(Clone, Debug)]
pub struct Finding {
    /// As small as was easily found.
    pub input: Vec<u8>,
    /// What it does.
    pub what: String,
}

/// An input that takes longer is a finding, even on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(10);

/// Attempts to make a finding smaller.
const SHRINKING: usize = 2_000;

/// Inputs kept.
const KEPT: usize = 4_096;

impl Target {
    /// Runs changed inputs for a time, or so many of them. The same seed makes the same inputs.
    #[must_use]
    pub fn drive(&self, seed: u64, time: Duration, most: u64) -> Outcome {
        let (begun, mut rng) = (Instant::now(), Rng::with_seed(seed));
        let (mut kept, mut seen) = (Vec::<Vec<u8>>::new(), HashSet::new());
        let mut executions = 0;
        let mut seeds = (self.seeds)().into_iter();
        while begun.elapsed() < time && executions < most {
            let input = match seeds.next() {
                Some(seed) => seed,
                None => match (rng.choice(&kept), rng.choice(&kept)) {
                    (Some(one), Some(other)) => mutate(one, other, &mut rng),
                    _ => mutate(&[], &[], &mut rng),
                },
            };
            executions += 1;
            match self.check(&input) {
                Ok(signature) => {
                    if seen.insert(signature) && kept.len() < KEPT {
                        kept.push(input);
                    }
                }
                Err(what) => {
                    let finding = Some(self.shrink(Finding { input, what }, &mut rng));
                    return Outcome { executions, kept: kept.len(), finding };
                }
            }
        }
        Outcome { executions, kept: kept.len(), finding: None }
    }

    /// Runs one input.
    ///
    /// # Errors
    /// What it must not do.
    pub fn check(&self, input: &[u8]) -> Result<Signature, String> {
        let begun = Instant::now();
        let run = watched(|| (self.run)(input));
        let took = begun.elapsed();
        let signature = run?;
        if took > TOO_LONG { Err(format!("it took {took:?}")) } else { Ok(signature) }
    }

    fn shrink(&self, mut finding: Finding, rng: &mut Rng) -> Finding {
        for _ in 0..SHRINKING {
            let length = finding.input.len();
            if length == 0 {
                break;
            }
            let mut smaller = finding.input.clone();
            let from = rng.usize(..length);
            let to = (from + 1 + rng.usize(..=(length - from) / 2)).min(length);
            smaller.drain(from..to);
            if let Err(what) = self.check(&smaller) {
                finding = Finding { input: smaller, what };
            }
        }
        finding
    }
}

thread_local! {
    static WATCHING: Cell<bool> = const { Cell::new(false) };
    /// A task that panics would go unnoticed: a runtime catches it.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs something of which nothing may panic.
fn watched<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHING.get() {
                PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
    WATCHING.set(true);
    let ran = panic::catch_unwind(AssertUnwindSafe(run));
    WATCHING.set(false);
    match (PANICS.take().into_iter().next(), ran) {
        (Some(panic), _) => Err(panic),
        (None, Ok(ran)) => ran,
        (None, Err(_)) => Err("it panicked without a word".into()),
    }
}

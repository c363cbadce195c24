//! The driver finds what is there to find, makes it small, and does the same thing twice.

use std::time::Duration;

use daffi_fuzz::{Signature, Target};

/// Fails on three marks in a row, each of which is something new on the way.
fn marks(input: &[u8]) -> Result<Signature, String> {
    let mut reached = 0;
    for (place, mark) in b"daf".iter().enumerate() {
        if input.get(place) != Some(mark) {
            break;
        }
        reached += 1;
    }
    if reached == 3 { Err("three marks".into()) } else { Ok(Signature::of(reached)) }
}

fn panics(input: &[u8]) -> Result<Signature, String> {
    assert!(!input.contains(&0xfe), "an unloved byte");
    Ok(Signature::of(0))
}

fn in_a_task(input: &[u8]) -> Result<Signature, String> {
    let unloved = input.contains(&0xfe);
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let task = tokio::spawn(async move { assert!(!unloved, "an unloved byte") });
        let _caught_by_the_runtime = task.await;
    });
    Ok(Signature::of(0))
}

fn target(run: fn(&[u8]) -> Result<Signature, String>) -> Target {
    Target { name: "test", about: "a test", seeds: || vec![b"-".to_vec()], run }
}

const TIME: Duration = Duration::from_secs(60);

#[test]
fn what_is_new_is_kept_and_leads_on() {
    let outcome = target(marks).drive(1, TIME, 5_000_000);
    let finding = outcome.finding.expect("three marks are found");
    assert_eq!((finding.input, finding.what.as_str()), (b"daf".to_vec(), "three marks"));
}

#[test]
fn panics_are_findings_in_tasks_too() {
    for run in [panics, in_a_task] {
        let finding = target(run).drive(1, TIME, 5_000_000).finding.expect("a panic is found");
        assert_eq!(finding.input, [0xfe]);
        assert!(finding.what.contains("an unloved byte"), "{}", finding.what);
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let runs = [1, 1].map(|seed| target(marks).drive(seed, TIME, 5_000_000).executions);
    assert_eq!(runs[0], runs[1]);
}

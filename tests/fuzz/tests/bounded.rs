//! Each target for a bounded time. `cargo run --release -p daffi-fuzz -- TARGET --seconds N` runs
//! one for as long as one likes.

use std::time::Duration;

use daffi_fuzz::TARGETS;

/// The driver stops at the first bound it reaches; on a slow machine that is the time.
const TIME: Duration = Duration::from_secs(6);

const MOST: u64 = 50_000;

fn holds(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    let outcome = target.drive(1, TIME, MOST);
    println!("{name}: {} executions, {} inputs did something new", outcome.executions, outcome.kept);
    if let Some(finding) = outcome.finding {
        panic!("{}\ninput: {:02x?}", finding.what, finding.input);
    }
    assert!(outcome.kept > 1, "all inputs do the same: nothing was tested");
}

#[test]
fn frames() {
    holds("frames");
}

#[test]
fn bodies() {
    holds("bodies");
}

#[test]
fn formats() {
    holds("formats");
}

#[test]
fn opening() {
    holds("opening");
}

#[test]
fn service() {
    holds("service");
}

#[test]
fn router() {
    holds("router");
}

#[test]
fn client() {
    holds("client");
}

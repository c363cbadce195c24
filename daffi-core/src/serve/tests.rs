//! Requests on their way through dispatch, in each state that one can be in.

mod gates;
mod lines;
mod ordered;
mod threads;

use std::time::{Duration, Instant};

use daffi_wire::CallId;
use tokio::task::yield_now;

use super::{CallbackOptions, bare::*};

/// Waits until this is so, whatever threads it takes. Ends the test in place of waiting for ever.
async fn until(so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it comes to pass");
        yield_now().await;
    }
}

fn texts(answers: &[(CallId, String)]) -> Vec<&str> {
    answers.iter().map(|(_, text)| text.as_str()).collect()
}

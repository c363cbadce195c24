//! Processes that stand still.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stops a process, and returns when none of its threads runs any more.
///
/// # Panics
/// When it cannot be stopped.
pub fn stand_still(process: u32) {
    signal(process, "STOP");
    let begun = Instant::now();
    while !all_stand_still(process) {
        assert!(begun.elapsed() < PATIENCE, "{process} does not stop");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets the process run again.
///
/// # Panics
/// When there is no such process.
pub fn go_on(process: u32) {
    signal(process, "CONT");
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {process}");
}

fn all_stand_still(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    threads.flatten().all(|thread| {
        // A thread that has just ended stands still as well.
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix("State:")).is_none_or(|state| state.trim().starts_with('T'))
    })
}

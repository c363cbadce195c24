//! CPU time of a process, in nanoseconds, as Linux counts it per thread.

use std::{fs, time::Duration};

/// CPU time of all living threads of the process so far.
pub(crate) fn of(pid: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()))
        .sum();
    Duration::from_nanos(nanos)
}

/// CPU time of two processes from now on.
pub(crate) struct Clock {
    pids: [u32; 2],
    begun: Duration,
}

impl Clock {
    pub(crate) fn start(server: u32) -> Self {
        let pids = [std::process::id(), server];
        Self { pids, begun: pids.into_iter().map(of).sum() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.pids.into_iter().map(of).sum::<Duration>().saturating_sub(self.begun)
    }
}

//! What the operating system counts of processes, read from outside while they work.

use std::{
    fs,
    iter::Sum,
    ops::{Add, Sub},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::Result;

/// What one process used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// CPU time of all living threads, in nanoseconds.
    pub(crate) cpu: u64,
    /// Page faults that needed no disk.
    pub(crate) faults: u64,
    /// Times a thread gave the CPU up to wait.
    pub(crate) waits: u64,
}

impl Used {
    pub(crate) fn by(pid: u32) -> Self {
        let mut used = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            used.cpu += first_number(&read("schedstat"));
            used.waits += read("status")
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .map_or(0, first_number);
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The second field is the program's name in brackets, which may hold spaces.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        used.faults = fields.split_whitespace().nth(7).map_or(0, first_number);
        used
    }
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl Sub for Used {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            faults: self.faults.saturating_sub(before.faults),
            waits: self.waits.saturating_sub(before.waits),
        }
    }
}

impl Add for Used {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, faults: self.faults + other.faults, waits: self.waits + other.waits }
    }
}

impl Sum for Used {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    rollup.lines().find_map(|line| line.strip_prefix("Rss:")).map_or(0, first_number) * 1024
}

/// Counts system calls of processes: the tracepoint `raw_syscalls:sys_enter`, through `perf stat`,
/// which slows a call down by about a tenth of a microsecond.
pub(crate) struct Syscalls {
    perf: Child,
}

impl Syscalls {
    /// None: there is no `perf`, or it may not count.
    pub(crate) async fn count(pids: &[u32]) -> Option<Self> {
        let pids = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pids, "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        // It starts the program after it has begun to count: an echo shows that.
        perf.stdin.as_mut()?.write_all(b"counting\n").await.ok()?;
        let mut line = String::new();
        BufReader::new(perf.stdout.as_mut()?).read_line(&mut line).await.ok()?;
        (line == "counting\n").then_some(Self { perf })
    }

    pub(crate) async fn stop(mut self) -> Result<Option<u64>> {
        drop(self.perf.stdin.take());
        let out = self.perf.wait_with_output().await?;
        Ok(String::from_utf8_lossy(&out.stderr).lines().find_map(|line| line.split(',').next()?.parse().ok()))
    }
}

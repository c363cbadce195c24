//! Runs jobs in turn: starts their processes, lets the clients work, and reads the counters around
//! that.

use std::{env, process::Stdio, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::{sleep, timeout},
};

use crate::{
    Job, Outcome, Result, Subject,
    counters::{Syscalls, Used, resident},
    end::{CLIENT, Command, Ready},
};

/// A child process that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child process that does not end with its input in that time is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Connections are idle after so long.
const SETTLED: Duration = Duration::from_secs(1);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) repetitions: usize,
    /// Of one run.
    pub(crate) time: Duration,
}

/// What one run used, as a mean over its calls.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// Calls per second.
    pub(crate) rate: f64,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// Microseconds of CPU per call, of all processes.
    pub(crate) cpu: f64,
    /// Microseconds of CPU per call, of each process: the parts in order, then the client.
    pub(crate) cpu_of: Vec<(String, f64)>,
    pub(crate) faults: f64,
    pub(crate) waits: f64,
    /// Bytes that the first part's process grew by per connection; for idle connections only.
    pub(crate) resident: Option<f64>,
}

impl Sample {
    /// CPU of all processes that play this part; none when no process does.
    pub(crate) fn cpu_of(&self, part: &str) -> Option<f64> {
        let of_part = || self.cpu_of.iter().filter(|(name, _)| name == part).map(|(_, cpu)| *cpu);
        of_part().next().map(|_| of_part().sum())
    }
}

/// What is counted in a run of its own, because counting slows it down.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) syscalls: Option<f64>,
    pub(crate) allocations: Option<f64>,
}

/// A job and what was measured of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) job: Job,
    pub(crate) samples: Vec<Sample>,
    pub(crate) counts: Counts,
}

/// Measures all jobs in turn, over and over, so that a busy moment of the machine meets all of
/// them.
pub(crate) async fn measure(
    subjects: &[Box<dyn Subject>],
    jobs: Vec<Job>,
    settings: Settings,
    progress: impl Fn(Option<&Job>),
) -> Result<Vec<Measured>> {
    let mut all: Vec<Measured> =
        jobs.into_iter().map(|job| Measured { job, samples: Vec::new(), counts: Counts::default() }).collect();
    for repetition in 0..settings.repetitions {
        for measured in &mut all {
            let job = &measured.job;
            progress(Some(job));
            let subject = subjects.iter().find(|s| s.name() == job.subject).ok_or("no such subject")?;
            let failed = |e| format!("{} ({}): {e}", job.subject, job.work);
            let mut running = Running::start(subject.as_ref(), job).await.map_err(failed)?;
            measured.samples.push(running.sample(job, settings.time).await.map_err(failed)?);
            if repetition == 0 && !job.work.is_memory() {
                measured.counts = running.counts(settings.time).await.map_err(failed)?;
            }
            running.end().await;
        }
    }
    progress(None);
    Ok(all)
}

/// The processes of one job: the parts in order, then the client.
struct Running {
    processes: Vec<Process>,
}

struct Process {
    name: String,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Whose counters are the part's.
    pid: u32,
}

impl Running {
    async fn start(subject: &dyn Subject, job: &Job) -> Result<Self> {
        let mut running = Self { processes: Vec::new() };
        let mut addresses = Vec::new();
        for part in subject.parts(job).into_iter().chain([CLIENT]) {
            let (process, ready) = Process::start(part, job, &addresses).await?;
            running.processes.push(process);
            addresses.push(ready.address);
        }
        Ok(running)
    }

    /// The client first, so that nobody complains of a lost connection.
    async fn end(self) {
        for process in self.processes.into_iter().rev() {
            let Process { mut child, input, .. } = process;
            drop(input);
            // One that does not end by itself is ended when it is dropped.
            let _ended = timeout(ENDS_WITHIN, child.wait()).await;
        }
    }

    fn client(&mut self) -> &mut Process {
        self.processes.last_mut().expect("the client is started last")
    }

    fn read_used(&self) -> Vec<Used> {
        self.processes.iter().map(|process| Used::by(process.pid)).collect()
    }

    async fn run(&mut self, time: Duration) -> Result<Outcome> {
        let millis = u64::try_from(time.as_millis())?;
        self.client().ask(Command::Run(millis)).await
    }

    async fn sample(&mut self, job: &Job, time: Duration) -> Result<Sample> {
        // Once without being measured: buffers and tables grow, and callbacks show that they are
        // quick.
        self.run(time / 4).await?;
        let memory = self.processes[0].pid;
        if job.work.is_memory() {
            sleep(SETTLED).await;
        }
        let (before, resident_before) = (self.read_used(), resident(memory));
        let outcome = self.run(time).await?;
        let used: Vec<Used> = self.read_used().into_iter().zip(before).map(|(after, before)| after - before).collect();
        let calls = outcome.calls.max(1) as f64;
        let grown = if job.work.is_memory() {
            sleep(SETTLED).await;
            Some(resident(memory).saturating_sub(resident_before) as f64 / calls)
        } else {
            None
        };
        let cpu_of = self.processes.iter().zip(&used).map(|(p, used)| (p.name.clone(), used.cpu as f64 / 1e3 / calls));
        let cpu_of: Vec<_> = cpu_of.collect();
        let total: Used = used.into_iter().sum();
        Ok(Sample {
            rate: calls / outcome.seconds,
            p50: outcome.p50,
            p99: outcome.p99,
            cpu: total.cpu as f64 / 1e3 / calls,
            cpu_of,
            faults: total.faults as f64 / calls,
            waits: total.waits as f64 / calls,
            resident: grown,
        })
    }

    async fn allocations(&mut self) -> Result<Option<u64>> {
        let mut sum = Some(0);
        for process in &mut self.processes {
            let of_process: Option<u64> = process.ask(Command::Allocations).await?;
            sum = sum.zip(of_process).map(|(a, b)| a + b);
        }
        Ok(sum)
    }

    async fn counts(&mut self, time: Duration) -> Result<Counts> {
        let pids: Vec<u32> = self.processes.iter().map(|process| process.pid).collect();
        let syscalls = Syscalls::count(&pids).await;
        let before = self.allocations().await?;
        let calls = self.run(time).await?.calls.max(1) as f64;
        let after = self.allocations().await?;
        let syscalls = match syscalls {
            Some(counting) => counting.stop().await?.map(|n| n as f64 / calls),
            None => None,
        };
        Ok(Counts { syscalls, allocations: after.zip(before).map(|(after, before)| (after - before) as f64 / calls) })
    }
}

impl Process {
    async fn start(part: &str, job: &Job, addresses: &[String]) -> Result<(Self, Ready)> {
        let mut child = tokio::process::Command::new(env::current_exe()?)
            .args(["end", part, &serde_json::to_string(job)?, &serde_json::to_string(addresses)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("a child process has no standard input")?;
        let output = child.stdout.take().ok_or("a child process has no standard output")?;
        let output = BufReader::new(output).lines();
        let mut process = Self { name: part.to_owned(), child, input, output, pid: 0 };
        let ready: Ready = process.hear().await?;
        process.pid = ready.process;
        Ok((process, ready))
    }

    async fn ask<A: DeserializeOwned>(&mut self, command: Command) -> Result<A> {
        let mut line = serde_json::to_vec(&command)?;
        line.push(b'\n');
        self.input.write_all(&line).await?;
        self.hear().await
    }

    async fn hear<A: DeserializeOwned>(&mut self) -> Result<A> {
        let line =
            timeout(PATIENCE, self.output.next_line()).await.map_err(|_| format!("no word from {}", self.name))?;
        let line = line?.ok_or_else(|| format!("{} ended", self.name))?;
        Ok(serde_json::from_str(&line)?)
    }
}

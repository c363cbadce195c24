//! A child process: one part of a subject, or its client. Obeys commands on standard input, one a
//! line, and answers each with a line of JSON; ends with its input.

use std::{
    io::{BufRead, Write},
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{Client, Job, Part, Result, Subject, allocations};

/// The part that every subject has beside its own.
pub(crate) const CLIENT: &str = "client";

/// What a child process says first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) address: String,
    /// Whose CPU time is the part's.
    pub(crate) process: u32,
}

/// A command to a child process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// A client works for so many milliseconds and answers with an [`Outcome`](crate::Outcome).
    Run(u64),
    /// Answers with the number of allocations so far.
    Allocations,
}

/// Runs as a part until standard input ends.
pub(crate) fn main(subjects: &[Box<dyn Subject>], part: &str, job: &str, addresses: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job)?;
    let addresses: Vec<String> = serde_json::from_str(addresses)?;
    let subject = subjects.iter().find(|s| s.name() == job.subject).ok_or("no such subject")?;
    if let Some(cpu) = job.cpu {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &only)?;
    }
    job.runtime.build()?.block_on(async {
        if part == CLIENT {
            let mut client = subject.connect(&job, &addresses).await?;
            say(&Ready { address: String::new(), process: client.process().unwrap_or_else(std::process::id) })?;
            obey(Some(client.as_mut())).await
        } else {
            let Part { address, process, keep } = subject.start(part, &job, &addresses).await?;
            say(&Ready { address, process: process.unwrap_or_else(std::process::id) })?;
            let obeyed = obey(None).await;
            drop(keep);
            obeyed
        }
    })
}

fn say(line: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

async fn obey(mut client: Option<&mut dyn Client>) -> Result<()> {
    let mut commands = commands();
    while let Some(command) = commands.recv().await {
        match (command, &mut client) {
            (Command::Run(millis), Some(client)) => say(&client.run(Duration::from_millis(millis)).await?)?,
            (Command::Run(_), None) => return Err("a part that is no client can't run".into()),
            (Command::Allocations, _) => say(&allocations())?,
        }
    }
    Ok(())
}

/// The parent holds the other end: it closes when the parent ends, however that happens.
fn commands() -> mpsc::Receiver<Command> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            let Ok(command) = serde_json::from_str(&line) else { return };
            if sender.blocking_send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

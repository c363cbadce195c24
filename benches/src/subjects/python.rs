//! A caller in daffi 3.0.1, and whom it calls: its own Service, or ours; or a worker of 3.0.1
//! through its own Router, or through ours.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::daffi::{Daffi, Functions};
use crate::{Client, Format, Job, Outcome, Part, Result, Subject, Transport, Work};

/// Our end, where there is one.
const DAFFI: Daffi = Daffi(Functions::Async);

pub(super) struct Python {
    /// Whether the node it connects to is ours.
    pub(super) ours: bool,
}

impl Subject for Python {
    fn name(&self) -> &'static str {
        if self.ours { "python-to-daffi" } else { "python" }
    }

    fn is_usual(&self) -> bool {
        // It needs a Python environment.
        false
    }

    fn does(&self, job: &Job) -> bool {
        let alone = matches!(
            job.work,
            Work::Echo { connections: 1, in_flight: 1, payload: 32 }
                | Work::Routed { in_flight: 1, workers: 1, payload: 32 }
                | Work::Add { format: Format::Msgpack | Format::Json | Format::Pickle, in_flight: 1 }
        );
        alone && job.transport == Transport::Tcp
    }

    fn parts(&self, job: &Job) -> Vec<&'static str> {
        DAFFI.parts(job)
    }

    fn start<'a>(&'a self, part: &'a str, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Part>> {
        if self.ours && part != "worker" {
            return Box::pin(async move {
                let mut started = DAFFI.start(part, job, addresses).await?;
                started.address = started.address.trim_start_matches("tcp://").to_owned();
                Ok(started)
            });
        }
        Box::pin(async move {
            let mut args = vec![part];
            args.extend(addresses.first().map(String::as_str));
            let script = Script::start("service.py", &args).await?;
            Ok(Part { address: script.said.clone(), process: Some(script.pid), keep: Box::new(script) })
        })
    }

    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>> {
        let format = match job.work {
            Work::Add { format: Format::Msgpack, .. } => "MSGPACK",
            Work::Add { format: Format::Json, .. } => "JSON",
            Work::Add { .. } => "PICKLE",
            _ => "OPAQUE",
        };
        Box::pin(async move {
            let (host, port) = addresses[0].split_once(':').ok_or("an address without a port")?;
            let script = Script::start("client.py", &[host, port, format]).await?;
            Ok(Box::new(script) as Box<dyn Client>)
        })
    }
}

/// A Python program that says when it is ready and ends with its input.
struct Script {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pid: u32,
    said: String,
}

impl Script {
    async fn start(name: &str, args: &[&str]) -> Result<Self> {
        let mut child = Command::new(interpreter().await?)
            .arg(here().join("python").join(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or("a Python program ended at once")?;
        let input = child.stdin.take().ok_or("a Python program has no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("a Python program has no standard output")?).lines();
        let mut script = Self { _child: child, input, output, pid, said: String::new() };
        script.said = script.next_line().await?;
        Ok(script)
    }

    async fn next_line(&mut self) -> Result<String> {
        Ok(self.output.next_line().await?.ok_or("a Python program ended")?)
    }
}

impl Client for Script {
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(async move {
            self.input.write_all(format!("{}\n", time.as_millis()).as_bytes()).await?;
            Ok(serde_json::from_str(&self.next_line().await?)?)
        })
    }

    fn process(&self) -> Option<u32> {
        Some(self.pid)
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `$DAFFI_PYTHON`, or what `scripts/python-env` prints.
async fn interpreter() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("DAFFI_PYTHON") {
        return Ok(python.into());
    }
    let made = Command::new(here().join("../scripts/python-env")).stderr(Stdio::inherit()).output().await?;
    let said = String::from_utf8(made.stdout)?;
    Ok(said.lines().last().ok_or("scripts/python-env made no Python environment")?.into())
}

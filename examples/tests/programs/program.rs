use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Failed;

use crate::catalogue::{Source, file};

/// No program takes longer to end unless it hangs.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// An example that runs. It ends with this value at the latest.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Program {
    pub(crate) fn start(name: &str, source: Source, options: &[String]) -> Result<Self, Failed> {
        let mut command = command(name, source);
        command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("both are pipes".into());
        };
        Ok(Self { name: format!("{name} in {source}"), child, stdout: lines(stdout), stderr: lines(stderr) })
    }

    /// The next lines it prints; fewer when they do not come in time.
    pub(crate) fn lines(&self, count: usize, within: Duration) -> Vec<String> {
        let end = Instant::now() + within;
        let next = || self.stdout.recv_timeout(end.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).take(count).collect()
    }

    /// Waits until it has ended well, and gives what it has printed since it was last asked.
    pub(crate) fn finish(mut self) -> Result<Vec<String>, Failed> {
        let status = self.await_end()?;
        if !status.success() {
            return Err(self.failure(&format!("ended with {status}")));
        }
        Ok(self.lines(usize::MAX, LONGEST))
    }

    /// Waits until it has ended, and gives its exit code and what it has printed, there and on
    /// stderr.
    pub(crate) fn end(mut self) -> Result<(Option<i32>, String, String), Failed> {
        let status = self.await_end()?;
        let all = |lines: &Receiver<String>| lines.iter().collect::<Vec<_>>().join("\n");
        Ok((status.code(), all(&self.stdout), all(&self.stderr)))
    }

    /// Ends it with SIGTERM, and goes on as [`finish`](Self::finish).
    pub(crate) fn stop(mut self) -> Result<Vec<String>, Failed> {
        if let Some(status) = self.child.try_wait()? {
            return Err(self.failure(&format!("ended before it was told to, with {status}")));
        }
        let kill = format!("kill -TERM {}", self.child.id()); // every shell has it; not every system has the program
        let told = Command::new("sh").args(["-c", &kill]).status()?;
        if told.success() { self.finish() } else { Err(self.failure("could not be told to end")) }
    }

    /// What went wrong, and what the program said about it.
    pub(crate) fn failure(&self, what: &str) -> Failed {
        let said: Vec<_> = std::iter::from_fn(|| self.stderr.recv_timeout(Duration::from_millis(200)).ok()).collect();
        format!("{} {what}; its stderr:\n  {}", self.name, said.join("\n  ")).into()
    }

    fn await_end(&mut self) -> Result<ExitStatus, Failed> {
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(self.failure(&format!("did not end within {LONGEST:?}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ended_already = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

fn command(name: &str, source: Source) -> Command {
    match source {
        // All programs are built into one directory.
        Source::Rust => Command::new(Path::new(env!("CARGO_BIN_EXE_quickstart")).with_file_name(name)),
        Source::Python => {
            let mut command = Command::new(daffi_testing::python());
            command.arg(file(name, source));
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
    }
}

/// The lines of a pipe, as they come.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

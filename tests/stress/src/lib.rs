//! Nodes in processes of their own, so that tests can measure and kill them, and members that are
//! bare sockets.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use daffi_wire::{CallId, Frame, Header, Kind, Limits, SYN};

/// A program of this crate that says in its first line where it listens, answers each line of its
/// standard input with one of its standard output, and ends with its standard input. It is killed
/// when this is dropped.
#[derive(Debug)]
pub struct Node {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    first: String,
}

impl Node {
    /// Starts `program`, with as many file descriptors as this user may have, and waits for its
    /// first line.
    ///
    /// # Panics
    /// When it can't be started or says nothing.
    #[must_use]
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        Self::start_limited("$(ulimit -Hn)", program, arguments)
    }

    /// The same with a limit on file descriptors.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_limited(descriptors: &str, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""), program]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        let (Some(questions), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both are pipes")
        };
        let mut node =
            Self { process, questions: Some(questions), answers: BufReader::new(answers), first: String::new() };
        node.first = node.line();
        node
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        assert!(matches!(read, Ok(1..)), "process {} ended instead of answering: {read:?}", self.process.id());
        line.trim_end().to_owned()
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.first
    }

    /// As `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.first.trim_start_matches("tcp://")
    }

    /// Writes a line and gives the line it is answered with.
    ///
    /// # Panics
    /// When the process ends instead.
    pub fn ask(&mut self, question: &str) -> String {
        let Some(questions) = &mut self.questions else { panic!("it was told to end") };
        if let Err(error) = writeln!(questions, "{question}") {
            panic!("process {} does not take {question:?}: {error}", self.process.id());
        }
        self.line()
    }

    /// Tells it to end, and whether it did well.
    ///
    /// # Panics
    /// When it can't be waited for.
    pub fn end(mut self) -> bool {
        drop(self.questions.take());
        self.process.wait().unwrap_or_else(|error| panic!("it cannot be waited for: {error}")).success()
    }

    /// Ends it at once, with SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended by itself, which the test's own assertions tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The most bytes that were ever resident.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    /// The bytes that are resident now.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// Its file descriptors.
    ///
    /// # Panics
    /// When they can't be counted.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        descriptors_of(&self.process.id().to_string())
    }

    fn status(&self, key: &str) -> usize {
        status_of(&self.process.id().to_string(), key)
    }

    /// CPU time of all its living threads so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        cpu_of(self.process.id())
    }
}

/// CPU time of all living threads of this process so far.
#[must_use]
pub fn cpu_of(process: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Duration::ZERO };
    let nanos = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()))
        .sum();
    Duration::from_nanos(nanos)
}

/// The bytes of this process that are resident.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn resident_of(process: u32) -> usize {
    status_of(&process.to_string(), "VmRSS:")
}

/// The bytes of this process that are resident, and its file descriptors.
///
/// # Panics
/// When they can't be read.
#[must_use]
pub fn own_usage() -> (usize, usize) {
    (status_of("self", "VmRSS:"), descriptors_of("self"))
}

fn status_of(process: &str, key: &str) -> usize {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix(key)).and_then(|l| l.trim().strip_suffix(" kB"));
    line.and_then(|kb| kb.parse::<usize>().ok()).unwrap_or_else(|| panic!("no {key} in {path}")) * 1024
}

fn descriptors_of(process: &str) -> usize {
    let path = format!("/proc/{process}/fd");
    fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The value below which `percent` of a sorted list lie.
///
/// # Panics
/// When the list is empty.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    assert!(!sorted.is_empty(), "nothing was measured");
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Payload and metadata length that a frame's header announces (docs/protocol.md#2).
#[must_use]
pub const fn message_length(header: [u8; 9]) -> usize {
    u32::from_le_bytes([header[3], header[4], header[5], header[6]]) as usize & 0x01ff_ffff
}

/// The first bytes of a member as 3.0.1 sends them, which exposes `methods`: a JSON array or
/// `null`.
///
/// # Panics
/// When they do not fit into a frame.
#[must_use]
pub fn hello(name: &str, methods: &str) -> Vec<u8> {
    let body =
        format!(r#"{{"meta":{{"type":"client","error":null}},"members":[{{"name":"{name}","methods":{methods}}}]}}"#);
    let header = Header::control(Kind::Handshake, CallId(1), true);
    match Frame::new(header, name, "", "", body.as_bytes(), &Limits::default()) {
        Ok(frame) => [&SYN[..], frame.as_bytes()].concat(),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// A member that is only a socket; its handshake is done.
///
/// # Errors
/// When the router does not answer.
pub fn bare_member(address: &str, name: &str, methods: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&hello(name, methods))?;
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    let mut answer = vec![0; message_length(header)];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}

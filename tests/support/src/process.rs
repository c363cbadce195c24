//! A child process that answers lines of JSON with lines of JSON.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::told;

/// Lines of stderr that a failure shows.
const TAIL: usize = 60;

/// No answer takes longer unless something hangs.
const LONGEST: Duration = Duration::from_secs(90);

pub(crate) struct Process {
    command: String,
    child: Mutex<Child>,
    requests: Mutex<ChildStdin>,
    waiting: Arc<Mutex<Waiting>>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    answers: HashMap<u64, oneshot::Sender<Value>>,
    ended: bool,
}

/// A test that panicked elsewhere must not hide its reason behind a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The id of the line that a process says by itself once it is ready.
const READY: u64 = 0;

impl Process {
    /// Starts it and gives what it says first.
    pub(crate) async fn start(mut command: Command) -> (Self, Value) {
        told::listen();
        let text = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{text} cannot be started: {error}"));
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("all three are pipes")
        };
        let (waiting, tail) = (Arc::new(Mutex::new(Waiting::default())), Arc::new(Mutex::new(VecDeque::new())));
        let (sender, ready) = oneshot::channel();
        lock(&waiting).answers.insert(READY, sender);
        let answers = thread::spawn({
            let waiting = Arc::clone(&waiting);
            move || read_answers(stdout, &waiting)
        });
        let complaints = thread::spawn({
            let tail = Arc::clone(&tail);
            move || read_complaints(stderr, &tail)
        });
        let process = Self {
            command: text,
            child: Mutex::new(child),
            requests: Mutex::new(stdin),
            waiting,
            stderr: tail,
            readers: Mutex::new(vec![answers, complaints]),
        };
        let first = process.answer("its first line", ready).await;
        (process, first)
    }

    /// Sends a request under a new id and gives the answer to it.
    pub(crate) async fn ask(&self, mut request: Map<String, Value>) -> Value {
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            waiting.next += 1;
            let id = waiting.next;
            request.insert("id".into(), id.into());
            if !waiting.ended {
                waiting.answers.insert(id, sender);
            }
        }
        let line = Value::Object(request).to_string();
        let written = lock(&self.requests).write_all(format!("{line}\n").as_bytes());
        if let Err(error) = written {
            self.fail(&format!("does not take {}: {error}", shortened(&line)));
        }
        self.answer(&shortened(&line), answer).await
    }

    async fn answer(&self, what: &str, answer: oneshot::Receiver<Value>) -> Value {
        match tokio::time::timeout(LONGEST, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => self.fail(&format!("ended instead of answering {what}")),
            Err(_) => self.fail(&format!("did not answer {what} within {LONGEST:?}")),
        }
    }

    /// Panics with all that is known of the process.
    pub(crate) fn fail(&self, what: &str) -> ! {
        let mut text = format!("{}\n{what}\n", self.command);
        match self.exited_within(Duration::from_secs(2)) {
            Some(status) => {
                // Its pipes are closed: what it said last is read within no time.
                for reader in lock(&self.readers).drain(..) {
                    let _panicked = reader.join();
                }
                let _ = writeln!(text, "It ended: {status}.");
            }
            None => text.push_str("It is still running.\n"),
        }
        text.push_str("The end of its stderr:\n");
        for line in lock(&self.stderr).iter() {
            let _ = writeln!(text, "  {line}");
        }
        text.push_str("What the nodes of this process warned of last:\n");
        for line in told::warnings() {
            let _ = writeln!(text, "  {line}");
        }
        panic!("{text}")
    }

    /// How the process ended, if it does within this time.
    pub(crate) fn exited_within(&self, time: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return Some(status);
            }
            if begun.elapsed() > time {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Ends it at once, with SIGKILL.
    pub(crate) fn kill(&self) {
        let mut child = lock(&self.child);
        let _ended_already = child.kill();
        let _status = child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_answers(stdout: impl std::io::Read, waiting: &Mutex<Waiting>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in: {line}"));
        let id = answer.get("id").and_then(Value::as_u64).unwrap_or(READY);
        if let Some(waiting) = lock(waiting).answers.remove(&id) {
            let _given_up = waiting.send(answer);
        }
    }
    let mut waiting = lock(waiting);
    waiting.ended = true;
    waiting.answers.clear();
}

fn read_complaints(stderr: impl std::io::Read, tail: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let mut tail = lock(tail);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(String::from_utf8_lossy(&line).into_owned());
    }
}

fn shortened(line: &str) -> String {
    const MOST: usize = 300;
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.to_owned(),
    }
}

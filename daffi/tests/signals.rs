//! Signals of a process that has joined a node. Each test runs this program again as that process.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use daffi::{Client, Service};
use rustix::process::{Pid, Signal, kill_process};

/// What the process is to do.
const TASK: &str = "DAFFI_TEST_OF_SIGNALS";

/// The program, where a test has started it.
#[test]
fn program() {
    let Ok(task) = env::var(TASK) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::builder("s").bind("mem://signals").await.unwrap();
        let ready = async { println!("\nready") };
        match &*task {
            "returns" => drop(tokio::join!(service.join(), ready)),
            "stopped" => drop(tokio::join!(service.join(), async {
                service.stop().await;
                ready.await;
            })),
            "dropped" => tokio::select! {
                biased;
                _ = service.join() => {}
                () = ready => {}
            },
            "client" => {
                let client = Client::builder("c").connect("mem://signals").await.unwrap();
                drop(tokio::join!(client.join(), ready));
            }
            "again" => {
                tokio::select! {
                    biased;
                    _ = service.join() => {}
                    () = async {} => {}
                }
                // Long enough for the signals to end the process, if another `join` did not wait.
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(tokio::join!(service.join(), ready));
                println!("\njoined");
                return;
            }
            "blocked" => {
                let join = service.join();
                tokio::select! {
                    biased;
                    _ = join => {}
                    () = async {
                        println!("\nready");
                        loop {
                            thread::park();
                        }
                    } => {}
                }
            }
            other => panic!("{other}"),
        }
        println!("\njoined");
        // What a program does afterwards may block its runtime.
        loop {
            thread::park();
        }
    });
}

struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(task: &str) -> Self {
        let mut program = Command::new(env::current_exe().unwrap());
        program.args(["--exact", "program", "--nocapture"]).env(TASK, task).stdout(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn until(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim_end() != word {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before it was {word}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends the signal, as somebody presses Ctrl-C, until the process has ended.
    fn ends_by(&mut self, signal: Signal) -> ExitStatus {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            self.signal(signal);
            thread::sleep(Duration::from_millis(50));
        }
        panic!("it goes on");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _has_ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn a_program_whose_join_has_returned_ends_by_ctrl_c() {
    for task in ["returns", "client"] {
        let mut running = Running::start(task);
        running.until("ready");
        running.signal(Signal::INT);
        running.until("joined");
        assert_eq!(running.ends_by(Signal::INT).code(), Some(130), "{task}");
    }
}

#[test]
fn so_does_one_whose_node_was_stopped_or_whose_join_was_dropped() {
    for task in ["stopped", "dropped"] {
        let mut running = Running::start(task);
        running.until("joined");
        assert_eq!(running.ends_by(Signal::TERM).code(), Some(143), "{task}");
    }
}

#[test]
fn a_second_signal_ends_one_whose_runtime_is_blocked() {
    let mut running = Running::start("blocked");
    running.until("ready");
    assert_eq!(running.ends_by(Signal::INT).code(), Some(130));
}

#[test]
fn one_signal_is_enough_as_soon_as_a_join_was_dropped() {
    let mut running = Running::start("dropped");
    running.until("joined");
    running.signal(Signal::TERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_signal_is_for_the_join_that_waits() {
    let mut running = Running::start("again");
    running.until("ready");
    running.signal(Signal::INT);
    running.until("joined");
    assert!(running.child.wait().unwrap().success());
}

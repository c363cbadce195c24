//! Replays all recordings of Services and Routers to a node that another program runs, as somebody
//! would who ports daffi to another language.
//!
//! ```text
//! cargo run -p conformance --example another_node -- COMMAND ..
//! ```
//!
//! The command is run once per recording, with `service` or `router`, `--name NAME`, `--workers N`
//! and `--expose A,B` behind it. It listens on a port of 127.0.0.1, says so in a first line
//! `{"port": N}`, and ends when its stdin does. That is how the scenarios start their nodes, so
//! this shows that 3.0.1 itself passes:
//!
//! ```text
//! cargo run -p conformance --example another_node -- "$(scripts/python-env)" conformance/scenarios/real_node.py
//! ```

use std::{io, process::ExitCode, process::Stdio};

use conformance::{Action, By, Like, Node, NodeSpec, Outcome, Replay, Started, Stream, recordings};
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

struct Foreign {
    process: Child,
    port: u16,
}

impl Node for Foreign {
    fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async { Ok(Box::new(TcpStream::connect(("127.0.0.1", self.port)).await?) as Stream) })
    }

    fn act(&mut self, action: &Action) -> BoxFuture<'static, Outcome> {
        let outcome = Outcome::Failed(format!("{} cannot be asked of another process here", action.verb));
        Box::pin(std::future::ready(outcome))
    }

    fn stop(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Err(error) = self.process.kill().await {
                eprintln!("a node could not be ended: {error}");
            }
        })
    }
}

fn start(command: &[String], spec: &NodeSpec) -> Started {
    let mut process = Command::new(&command[0]);
    process.args(&command[1..]).args([spec.kind.word(), "--name", &spec.name, "--workers", &spec.workers.to_string()]);
    if !spec.exposes.is_empty() {
        process.args(["--expose", &spec.exposes.join(",")]);
    }
    Box::pin(async move {
        let mut process =
            process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let Some(stdout) = process.stdout.take() else { unreachable!("it is a pipe") };
        let first = BufReader::new(stdout).lines().next_line().await?.unwrap_or_default();
        let said: serde_json::Value = serde_json::from_str(&first)?;
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| io::Error::other(format!("the command says no port: {first}")))?;
        Ok(Box::new(Foreign { process, port }) as Box<dyn Node>)
    })
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: another_node COMMAND ..";
    match command.first().map(String::as_str) {
        Some("--help" | "-h") => {
            println!("{usage}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(option) if option.starts_with('-') => {
            eprintln!("{option:?} is not understood\n{usage}");
            return Ok(ExitCode::from(2));
        }
        Some(_) => {}
        None => {
            eprintln!("which command starts the node?\n{usage}");
            return Ok(ExitCode::from(2));
        }
    }
    let (mut passed, mut failed) = (0, 0);
    for session in recordings()? {
        // What its program asks of a server, another process would have to be told.
        let asked = |name: &str| session.actions().any(|(node, _)| node == name);
        let Some(server) = session.server().filter(|server| server.by == By::Original && !asked(&server.name)) else {
            continue;
        };
        match Replay::of(&session, &server.name).like(Like::Original).run(|spec| start(&command, spec)).await {
            Ok(()) => passed += 1,
            Err(mismatch) => {
                failed += 1;
                println!("{mismatch}");
            }
        }
    }
    println!("{passed} recordings pass, {failed} do not");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

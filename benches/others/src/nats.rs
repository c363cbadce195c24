//! NATS request and reply: a responder and a caller, both clients of `nats-server`, which must be
//! installed.

use std::{process::Stdio, time::Duration};

use async_nats::{Client as Connection, connect};
use bytes::Bytes;
use daffi_benchmarks::{
    Caller, Client, Job, Outcome, Part, Result, Subject, Transport, Work, calls, subjects::ROUTER,
};
use futures::{StreamExt, future::BoxFuture};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

pub(crate) struct Nats;

impl Subject for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn does(&self, job: &Job) -> bool {
        job.transport == Transport::Tcp && matches!(job.work, Work::Routed { workers: 1, .. })
    }

    fn parts(&self, _: &Job) -> Vec<&'static str> {
        vec![ROUTER, "worker"]
    }

    fn start<'a>(&'a self, part: &'a str, _: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Part>> {
        Box::pin(async move {
            if part == ROUTER {
                let (address, server) = broker().await?;
                return Ok(Part { address, process: server.id(), keep: Box::new(server) });
            }
            let connection = connect(&addresses[0]).await?;
            let mut requests = connection.subscribe("echo").await?;
            // The broker knows of the subscription before the caller starts.
            connection.flush().await?;
            let serving = tokio::spawn(async move {
                while let Some(request) = requests.next().await {
                    if let Some(to) = request.reply {
                        connection.publish(to, request.payload).await.ok();
                    }
                }
            });
            Ok(Part::new(addresses[0].clone(), serving))
        })
    }

    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>> {
        Box::pin(async move {
            let caller = Requests { work: job.work, connection: connect(&addresses[0]).await? };
            Ok(Box::new(caller) as Box<dyn Client>)
        })
    }
}

/// Starts the broker on a free port, which it names in its log.
async fn broker() -> Result<(String, Child)> {
    let mut server = Command::new("nats-server")
        .args(["--addr", "127.0.0.1", "--port", "-1"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("nats-server: {e}"))?;
    let mut log = BufReader::new(server.stderr.take().ok_or("nats-server has no log")?).lines();
    let mut address = None;
    while let Some(line) = log.next_line().await? {
        if let Some((_, at)) = line.split_once("client connections on ") {
            address = Some(at.trim().to_owned());
        }
        if line.contains("Server is ready") {
            break;
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    Ok((address.ok_or("nats-server did not say where it listens")?, server))
}

struct Requests {
    work: Work,
    connection: Connection,
}

struct Echo(Connection, Bytes);

impl Caller for Echo {
    async fn call(&self) -> Result<()> {
        let back = self.0.request("echo", self.1.clone()).await?;
        if back.payload.len() == self.1.len() { Ok(()) } else { Err("the echo is not whole".into()) }
    }
}

impl Client for Requests {
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>> {
        let payload = Bytes::from(vec![7; self.work.payload()]);
        Box::pin(async move {
            let Work::Routed { in_flight, .. } = self.work else { return Err("only routed calls".into()) };
            calls((0..in_flight).map(|_| Echo(self.connection.clone(), payload.clone())), time).await
        })
    }
}

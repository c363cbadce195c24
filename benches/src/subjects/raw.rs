//! The ceiling: the same bytes written and read back, batched by hand, no task per call. No RPC
//! could be faster.
//!
//! A batch is all calls that are in flight; a call takes as many bytes as daffi's request, which is
//! a few more than its answer. Payloads that don't fit into the server's buffer are read whole
//! before they are written back, into a buffer that is used over and over, because a callback sees
//! its arguments whole too.

use std::{
    io,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, try_join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, split};

use super::{
    ROUTER,
    socket::{Boxed, Serve, Stream, connect, listen},
};
use crate::{Client, Job, Latencies, Outcome, Over, Part, Result, Subject, Transport, Work};

/// Header and names of a daffi request.
const OVERHEAD: usize = 9 + "bench|echo|echo".len();

/// Below it the server writes back what one read brought.
const WHOLE_FROM: usize = 256 * 1024;

pub(super) struct Raw;

impl Subject for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn does(&self, job: &Job) -> bool {
        job.transport != Transport::Mem
            && matches!(
                job.work,
                Work::Echo { .. } | Work::Routed { workers: 1, .. } | Work::Idle { .. } | Work::Connect
            )
    }

    fn parts(&self, job: &Job) -> Vec<&'static str> {
        if job.work.workers().is_some() { vec!["worker", ROUTER] } else { vec!["server"] }
    }

    fn start<'a>(&'a self, part: &'a str, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Part>> {
        if part == ROUTER {
            return Box::pin(listen(
                job.transport,
                part,
                Forward { transport: job.transport, to: addresses[0].clone() },
            ));
        }
        let payload = job.work.payload();
        let whole = (payload >= WHOLE_FROM).then_some(OVERHEAD + payload);
        Box::pin(listen(job.transport, self.name(), Echo { whole }))
    }

    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>> {
        Box::pin(async move {
            let mut client =
                Batches { job: job.clone(), address: addresses[addresses.len() - 1].clone(), open: Vec::new() };
            let connections = match job.work {
                Work::Echo { connections, .. } => connections,
                Work::Routed { .. } => 1,
                _ => 0,
            };
            for _ in 0..connections {
                client.connect_one().await?;
            }
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }
}

#[derive(Clone)]
struct Echo {
    whole: Option<usize>,
}

impl Serve for Echo {
    async fn serve(self, mut stream: impl Stream + 'static) -> io::Result<()> {
        let Some(whole) = self.whole else {
            let mut buffer = vec![0; 8 * 1024];
            loop {
                let read = stream.read(&mut buffer).await?;
                if read == 0 {
                    return Ok(());
                }
                stream.write_all(&buffer[..read]).await?;
                if read == buffer.len() && read < WHOLE_FROM {
                    buffer.resize(2 * read, 0);
                }
            }
        };
        let mut buffer = vec![0; whole];
        loop {
            stream.read_exact(&mut buffer).await?;
            stream.write_all(&buffer).await?;
        }
    }
}

/// Two hops: what comes on a connection goes on over another one, and back, without being looked
/// at.
#[derive(Clone)]
struct Forward {
    transport: Transport,
    to: String,
}

impl Serve for Forward {
    async fn serve(self, mut stream: impl Stream + 'static) -> io::Result<()> {
        let mut onward = connect(self.transport, &self.to, Boxed).await.map_err(io::Error::other)?;
        copy_bidirectional(&mut stream, &mut onward).await?;
        Ok(())
    }
}

struct Connection {
    stream: Box<dyn Stream>,
    batch: Vec<u8>,
    back: Vec<u8>,
}

impl Connection {
    async fn exchange(&mut self) -> Result<()> {
        let (mut reader, mut writer) = split(&mut self.stream);
        // Reads while it writes: a large batch does not fit into the socket's buffers.
        let write = async {
            writer.write_all(&self.batch).await?;
            writer.flush().await
        };
        tokio::try_join!(write, reader.read_exact(&mut self.back))?;
        Ok(())
    }
}

struct Batches {
    job: Job,
    address: String,
    open: Vec<Connection>,
}

impl Batches {
    async fn connect_one(&mut self) -> Result<&mut Connection> {
        let calls = match self.job.work {
            Work::Echo { in_flight, .. } | Work::Routed { in_flight, .. } => in_flight,
            _ => 1,
        };
        let batch = vec![7; (OVERHEAD + self.job.work.payload()) * calls];
        let stream = connect(self.job.transport, &self.address, Boxed).await?;
        self.open.push(Connection { stream, back: vec![0; batch.len()], batch });
        Ok(self.open.last_mut().expect("one was pushed"))
    }
}

impl Client for Batches {
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(async move {
            match self.job.work {
                Work::Echo { in_flight, .. } | Work::Routed { in_flight, .. } => {
                    exchange(&mut self.open, in_flight as u64, time).await
                }
                Work::Idle { connections } => {
                    let begun = Instant::now();
                    for _ in 0..connections {
                        self.connect_one().await?.exchange().await?;
                    }
                    Ok(Latencies::new().outcome(connections as u64, begun))
                }
                _ => {
                    let (begun, over, mut calls) = (Instant::now(), Over::after(time), 0);
                    let mut latencies = Latencies::new();
                    while !over.is_over() {
                        let sent = Instant::now();
                        self.connect_one().await?.exchange().await?;
                        self.open.clear();
                        latencies.note(sent.elapsed());
                        calls += 1;
                    }
                    Ok(latencies.outcome(calls, begun))
                }
            }
        })
    }
}

async fn exchange(open: &mut [Connection], in_flight: u64, time: Duration) -> Result<Outcome> {
    let (begun, over) = (Instant::now(), Over::after(time));
    let each = open.iter_mut().map(|connection| {
        let over = over.clone();
        async move {
            let (mut calls, mut latencies) = (0, Vec::new());
            while !over.is_over() {
                let sent = Instant::now();
                connection.exchange().await?;
                latencies.push(sent.elapsed());
                calls += in_flight;
            }
            Ok::<_, crate::Error>((calls, latencies))
        }
    });
    let (mut calls, mut all) = (0, Latencies::new());
    for (of_connection, latencies) in try_join_all(each).await? {
        calls += of_connection;
        latencies.into_iter().for_each(|took| all.note(took));
    }
    Ok(all.outcome(calls, begun))
}

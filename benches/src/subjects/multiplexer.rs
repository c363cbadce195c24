//! The smallest thing that multiplexes calls: at each end a task that reads and one that writes,
//! one oneshot per open call, and one `yield_now` before each write, so that other ready tasks add
//! to it.
//!
//! It has no names, no limits, no timeouts and no errors: what is above it is what those cost.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use slab::Slab;
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::{mpsc, oneshot},
    task::yield_now,
};

use super::{
    ROUTER,
    socket::{Boxed, Serve, Stream, Use, connect, listen},
};
use crate::{Caller, Client, Job, Latencies, Outcome, Over, Part, Result, Subject, Transport, Work, calls};

/// Length of the payload and number of the call.
const HEAD: usize = 8;

/// The number of calls that nobody answers.
const ONE_WAY: u32 = u32::MAX;

/// One-way calls that wait to be written.
const QUEUE: usize = 1024;

const READ: usize = 64 * 1024;

pub(super) struct Multiplexer;

impl Subject for Multiplexer {
    fn name(&self) -> &'static str {
        "multiplexer"
    }

    fn does(&self, job: &Job) -> bool {
        job.transport != Transport::Mem
            && matches!(
                job.work,
                Work::Echo { .. } | Work::Routed { workers: 1, .. } | Work::Nowait { .. } | Work::Idle { .. }
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
        Box::pin(listen(job.transport, self.name(), Server))
    }

    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>> {
        Box::pin(async move {
            let (job, address) = (job.clone(), addresses[addresses.len() - 1].clone());
            let payload = Bytes::from(vec![7; job.work.payload()]);
            let mut client = Callers { job, address, payload, open: Vec::new() };
            let connections = match client.job.work {
                Work::Echo { connections, .. } => connections,
                Work::Idle { .. } => 0,
                _ => 1,
            };
            for _ in 0..connections {
                client.connect_one().await?;
            }
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }
}

type Message = (u32, Bytes);

#[derive(Clone)]
struct Server;

impl Serve for Server {
    async fn serve(self, stream: impl Stream + 'static) -> io::Result<()> {
        let (reader, writer) = split(stream);
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(writer, waiting));
        let mut incoming = Incoming::new(reader);
        while let Some((id, payload)) = incoming.next().await? {
            if id != ONE_WAY && queue.send((id, payload)).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Two hops: cuts messages out of one connection and queues them for another, and back. It routes
/// nothing.
#[derive(Clone)]
struct Forward {
    transport: Transport,
    to: String,
}

impl Serve for Forward {
    async fn serve(self, stream: impl Stream + 'static) -> io::Result<()> {
        let onward = connect(self.transport, &self.to, Boxed).await.map_err(io::Error::other)?;
        let ((from, back), (answers, to)) = (split(stream), split(onward));
        tokio::spawn(pass(answers, back));
        pass(from, to).await
    }
}

async fn pass<R: Stream, W: Stream + 'static>(reader: ReadHalf<R>, writer: WriteHalf<W>) -> io::Result<()> {
    let (queue, waiting) = mpsc::channel(QUEUE);
    tokio::spawn(write(writer, waiting));
    let mut incoming = Incoming::new(reader);
    while let Some(message) = incoming.next().await? {
        if queue.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn write(mut writer: WriteHalf<impl Stream>, mut waiting: mpsc::Receiver<Message>) -> io::Result<()> {
    let mut batch = BytesMut::new();
    while let Some(first) = waiting.recv().await {
        yield_now().await;
        let mut next = Some(first);
        while let Some((id, payload)) = next {
            batch.put_u32_le(u32::try_from(payload.len()).map_err(io::Error::other)?);
            batch.put_u32_le(id);
            batch.put_slice(&payload);
            next = if batch.len() < READ { waiting.try_recv().ok() } else { None };
        }
        writer.write_all(&batch).await?;
        writer.flush().await?;
        batch.clear();
    }
    Ok(())
}

struct Incoming<S> {
    reader: ReadHalf<S>,
    buffer: BytesMut,
}

impl<S: Stream> Incoming<S> {
    fn new(reader: ReadHalf<S>) -> Self {
        Self { reader, buffer: BytesMut::new() }
    }

    async fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some((mut head, rest)) = self.buffer.split_at_checked(HEAD) {
                let (length, id) = (head.get_u32_le() as usize, head.get_u32_le());
                if rest.len() >= length {
                    self.buffer.advance(HEAD);
                    return Ok(Some((id, self.buffer.split_to(length).freeze())));
                }
            }
            self.buffer.reserve(READ / 2);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// A connection to call on.
#[derive(Clone)]
struct Connection {
    open: Arc<Mutex<Slab<oneshot::Sender<Bytes>>>>,
    queue: mpsc::Sender<Message>,
}

struct Open;

impl Use for Open {
    type Output = Connection;

    fn with(self, stream: impl Stream + 'static) -> Connection {
        let (reader, writer) = split(stream);
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(writer, waiting));
        let open = Arc::new(Mutex::new(Slab::<oneshot::Sender<Bytes>>::new()));
        let calls = Arc::clone(&open);
        tokio::spawn(async move {
            let mut incoming = Incoming::new(reader);
            while let Ok(Some((id, payload))) = incoming.next().await {
                if let Some(caller) = calls.lock().try_remove(id as usize) {
                    let _gone = caller.send(payload);
                }
            }
        });
        Connection { open, queue }
    }
}

impl Connection {
    async fn call(&self, payload: Bytes) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        let id = u32::try_from(self.open.lock().insert(answer))?;
        self.queue.send((id, payload)).await?;
        Ok(answered.await?)
    }
}

struct Echo(Connection, Bytes);

impl Caller for Echo {
    async fn call(&self) -> Result<()> {
        let back = self.0.call(self.1.clone()).await?;
        if back.len() == self.1.len() { Ok(()) } else { Err("the echo is not whole".into()) }
    }
}

struct Callers {
    job: Job,
    address: String,
    payload: Bytes,
    open: Vec<Connection>,
}

impl Callers {
    async fn connect_one(&mut self) -> Result<&Connection> {
        self.open.push(connect(self.job.transport, &self.address, Open).await?);
        Ok(self.open.last().expect("one was pushed"))
    }
}

impl Client for Callers {
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(async move {
            let payload = self.payload.clone();
            match self.job.work {
                Work::Nowait { .. } => {
                    let (begun, over, mut sent) = (Instant::now(), Over::after(time), 0);
                    let caller = &self.open[0];
                    while !over.is_over() {
                        caller.queue.send((ONE_WAY, payload.clone())).await?;
                        sent += 1;
                    }
                    caller.call(payload).await?;
                    Ok(Latencies::new().outcome(sent, begun))
                }
                Work::Idle { connections } => {
                    let begun = Instant::now();
                    for _ in 0..connections {
                        self.connect_one().await?.call(payload.clone()).await?;
                    }
                    Ok(Latencies::new().outcome(connections as u64, begun))
                }
                Work::Echo { in_flight, .. } | Work::Routed { in_flight, .. } => {
                    let callers = self.open.iter().flat_map(|caller| std::iter::repeat_n(caller, in_flight));
                    calls(callers.map(|caller| Echo(caller.clone(), payload.clone())), time).await
                }
                other => Err(format!("the multiplexer does no {other}").into()),
            }
        })
    }
}

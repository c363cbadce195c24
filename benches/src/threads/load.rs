//! Callers and workers that cost next to nothing: frames that were written once, sent as they are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use daffi_wire::{CallId, FormatId, Frame, FrameDecoder, Header, Kind, Limits, SYN};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::Result;

const METHOD: &str = "echo";
const PAYLOAD: [u8; 32] = [7; 32];

/// Who calls whom, and how much at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) callers: usize,
    /// Callers are dealt out to the workers.
    pub(super) workers: usize,
    /// Calls that each caller sends as one piece; when all are answered it sends the next.
    pub(super) in_flight: usize,
}

/// The ends of a load, which work until this is dropped.
pub(super) struct Running {
    calls: Arc<AtomicU64>,
    _ends: JoinSet<Result<()>>,
}

impl Running {
    pub(super) async fn start(load: Load, address: &str) -> Result<Self> {
        let calls = Arc::<AtomicU64>::default();
        let mut workers = Vec::new();
        for at in 0..load.workers {
            workers.push(join(address, &format!("worker-{at:04}"), &format!("[\"{METHOD}\"]")).await?);
        }
        let mut callers = Vec::new();
        for at in 0..load.callers {
            callers.push((at, join(address, &format!("caller-{at:04}"), "[]").await?));
        }
        // What those who came first are told of the others is over then.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut ends = JoinSet::new();
        for stream in workers {
            ends.spawn(work(stream));
        }
        for (at, stream) in callers {
            let names = [format!("caller-{at:04}"), format!("worker-{:04}", at % load.workers)];
            ends.spawn(call(stream, names, load.in_flight, Arc::clone(&calls)));
        }
        Ok(Self { calls, _ends: ends })
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

fn frame(kind: Kind, id: usize, names: [&str; 3]) -> Result<Frame> {
    let header = Header::new(kind, CallId(u16::try_from(id)?), FormatId::OPAQUE, false, kind == Kind::Request);
    Ok(Frame::new(header, names[0], names[1], names[2], &PAYLOAD, &Limits::default())?)
}

/// A member of the network, as nodes of 3.0.1 become one.
async fn join(address: &str, name: &str, methods: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let body =
        format!(r#"{{"meta":{{"type":"client","error":null}},"members":[{{"name":"{name}","methods":{methods}}}]}}"#);
    let header = Header::control(Kind::Handshake, CallId(1), true);
    let hello = Frame::new(header, name, "", "", body.as_bytes(), &Limits::default())?;
    stream.write_all(&SYN).await?;
    stream.write_all(hello.as_bytes()).await?;
    let (mut received, mut decoder) = (BytesMut::new(), FrameDecoder::new(Limits::default()));
    while decoder.decode(&mut received)?.is_none() {
        if stream.read_buf(&mut received).await? == 0 {
            return Err("the router let a member not in".into());
        }
    }
    Ok(stream)
}

/// Answers each request. All of one load are of the same size, but for what was told before the
/// first.
async fn work(mut stream: TcpStream) -> Result<()> {
    let (mut received, mut answers) = (BytesMut::with_capacity(1 << 18), BytesMut::new());
    let mut decoder = FrameDecoder::new(Limits::default());
    let mut answers_to: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while stream.read_buf(&mut received).await? > 0 {
        loop {
            // Nine bytes of header, and who sends: what a worker has to look at.
            let known = answers_to
                .iter()
                .find(|(request, _)| received.len() >= request.len() && received[2..request.len()] == request[2..]);
            if let Some((request, answer)) = known {
                let start = answers.len();
                answers.extend_from_slice(answer);
                answers[start..start + 2].copy_from_slice(&received[..2]);
                let _answered = received.split_to(request.len());
                continue;
            }
            let Some(request) = decoder.decode(&mut received)? else { break };
            if request.kind() == Kind::Request {
                let names = [request.receiver(), request.transmitter(), METHOD];
                let answer = frame(Kind::Response, request.header().id().0.into(), names)?;
                answers.extend_from_slice(answer.as_bytes());
                answers_to.push((request.as_bytes().to_vec(), answer.as_bytes().to_vec()));
            }
        }
        stream.write_all(&answers).await?;
        answers.clear();
    }
    Ok(())
}

/// Calls, as many at once as are in flight.
async fn call(mut stream: TcpStream, names: [String; 2], in_flight: usize, calls: Arc<AtomicU64>) -> Result<()> {
    let [me, worker] = &names;
    let mut requests = Vec::new();
    for id in 1..=in_flight {
        requests.extend_from_slice(frame(Kind::Request, id, [me, worker, METHOD])?.as_bytes());
    }
    let size = frame(Kind::Response, 1, [worker, me, METHOD])?.as_bytes().len();
    let mut received = vec![0; 1 << 18];
    // News of others may still wait.
    while stream.try_read(&mut received).is_ok() {}
    loop {
        stream.write_all(&requests).await?;
        let mut missing = size * in_flight;
        while missing > 0 {
            let read = stream.read(&mut received).await?;
            if read == 0 || read > missing {
                return Err("a caller got what it did not ask for".into());
            }
            missing -= read;
        }
        calls.fetch_add(in_flight as u64, Ordering::Relaxed);
    }
}

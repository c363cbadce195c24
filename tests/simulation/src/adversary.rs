//! Hosts that do on purpose what no node of daffi does. Each speaks the wire by hand, under names
//! of its own, so that all it could do to others is to take what they need.

use std::{io, sync::Arc, time::Duration};

use daffi_wire::{
    CallId, Cancel, CancelReason, Credit, FlowId, FormatId, Frame, Grant, Handshake, Header, Kind, Level, Limits,
    MAX_WINDOW, Member, MethodName, NodeName, NodeType, Role,
};
use fastrand::Rng;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::spawn_local,
    time::sleep,
};
use turmoil::net::TcpStream;

use crate::{
    callbacks::{CHUNK, ECHO},
    fault::SERVER,
    host::{Ended, PORT, Setting},
    network::{End, Half},
    times::{self, CALLS_FROM, CALM},
};

/// What an adversary does on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    /// Sends a part of a frame, and then nothing.
    Silent,
    /// Provokes answers and reads none.
    Deaf,
    /// Sends a frame byte by byte.
    Trickling,
    /// Sends as much as is taken, small and large, whatever it was granted.
    Greedy,
    /// Joins under one name after another.
    ManyNamed,
    /// Says again and again what it exposes.
    ReAnnouncing,
    /// Begins flows and grants credit that nobody asked for.
    Crediting,
    /// Answers what nobody asked it.
    Answering,
    /// Leaves in the middle of its calls, and comes again.
    Leaving,
    /// Gives calls up, its own and others', many times.
    Cancelling,
}

const CONDUCTS: [Conduct; 10] = [
    Conduct::Silent,
    Conduct::Deaf,
    Conduct::Trickling,
    Conduct::Greedy,
    Conduct::ManyNamed,
    Conduct::ReAnnouncing,
    Conduct::Crediting,
    Conduct::Answering,
    Conduct::Leaving,
    Conduct::Cancelling,
];

/// An adversary, until all is to be well again.
pub(crate) async fn adversary(setting: Arc<Setting>, host: String, seed: u64) -> Ended {
    let mut rng = Rng::with_seed(seed);
    times::until(CALLS_FROM).await;
    let mut connections = 0;
    while times::now() < CALM {
        let conduct = rng.choice(CONDUCTS).unwrap_or(Conduct::Silent);
        connections += 1;
        let name = format!("{host}-{connections}");
        setting.ledger.note(format!("{name} is {conduct:?}"));
        let left = CALM.saturating_sub(times::now());
        let behaves = Adversary::new(&setting, &host, name, rng.fork());
        // A server that has had enough of it ends the connection, which is its right.
        let _ended = tokio::time::timeout(left, async { behaves.await?.behave(conduct).await }).await;
        sleep(Duration::from_millis(rng.u64(0..300))).await;
    }
    Ok(())
}

struct Adversary {
    name: String,
    /// Those whom it calls, and whom it means when it speaks of others.
    workers: Vec<String>,
    callers: Vec<String>,
    level: Level,
    rng: Rng,
    writer: Box<dyn AsyncWrite + Unpin>,
    reader: Option<Box<dyn AsyncRead + Unpin>>,
}

impl Adversary {
    async fn new(setting: &Setting, host: &str, name: String, mut rng: Rng) -> io::Result<Self> {
        let stream = TcpStream::connect((SERVER, PORT)).await?;
        let network = Arc::clone(&setting.network);
        let pipe = network.pipe(stream.local_addr()?, host);
        let (reader, writer) = stream.into_split();
        Ok(Self {
            name,
            workers: setting.workers.clone(),
            callers: setting.callers.clone(),
            level: if rng.bool() { Level::FOUR } else { Level::THREE },
            rng,
            writer: Box::new(Half::new(writer, Arc::clone(&pipe), End::Client, Arc::clone(&network))),
            reader: Some(Box::new(Half::new(reader, pipe, End::Client, network))),
        })
    }

    async fn behave(mut self, conduct: Conduct) -> io::Result<()> {
        if conduct != Conduct::Deaf {
            self.read_all();
        }
        if conduct == Conduct::Silent && self.rng.bool() {
            return self.stay_silent().await;
        }
        let exposed = self.rng.usize(0..3);
        self.join(exposed).await?;
        for _ in 0..self.rng.usize(1..60) {
            self.step(conduct).await?;
        }
        let stays = if conduct == Conduct::Leaving { 1 } else { 1_500 };
        sleep(Duration::from_millis(self.rng.u64(0..stays))).await;
        Ok(())
    }

    async fn step(&mut self, conduct: Conduct) -> io::Result<()> {
        match conduct {
            Conduct::Silent => return self.stay_silent().await,
            Conduct::Trickling => {
                let frame = self.request(true, 20);
                for byte in frame.as_bytes() {
                    self.writer.write_all(&[*byte]).await?;
                    sleep(Duration::from_millis(self.rng.u64(0..20))).await;
                }
            }
            Conduct::Deaf | Conduct::Leaving => {
                let frame = self.request(true, 200);
                self.send(&frame).await?;
            }
            Conduct::Greedy => {
                let (wants_reply, size) = (self.rng.bool(), if self.rng.bool() { 60_000 } else { 0 });
                let frame = self.request(wants_reply, size);
                self.send(&frame).await?;
            }
            Conduct::ManyNamed => {
                self.name.push_str("-again");
                self.join(1).await?;
            }
            Conduct::ReAnnouncing => {
                let exposed = self.rng.usize(0..200);
                self.join(exposed).await?;
            }
            Conduct::Crediting => {
                let says = self.credit();
                let (from, to) = (self.somebody(), self.somebody());
                if let Ok(frame) = says.frame(&from, &to, &Limits::default()) {
                    self.send(&frame).await?;
                }
                let frame = self.request(false, 100);
                self.send(&frame).await?;
            }
            Conduct::Answering => {
                let kind = if self.rng.bool() { Kind::Response } else { Kind::Error };
                let (from, to) = (self.somebody(), self.somebody());
                let header = Header::new(kind, self.number(), FormatId::MSGPACK, false, false);
                let frame = frame(header, [&from, &to, ECHO], &[0x91, 0x01]);
                self.send(&frame).await?;
            }
            Conduct::Cancelling => {
                let request = self.request(true, 10);
                self.send(&request).await?;
                for id in [request.header().id(), self.number()] {
                    let to = self.somebody();
                    let cancel = Cancel { id, reason: CancelReason::Dropped };
                    // On a level 3 link it ends the connection.
                    if let Ok(frame) = cancel.frame(&self.name, &to, &Limits::default())
                        && (self.level == Level::FOUR || self.rng.u8(..50) == 0)
                    {
                        self.send(&frame).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A frame that begins and does not go on.
    async fn stay_silent(&mut self) -> io::Result<()> {
        let frame = self.request(true, 5_000);
        let part = self.rng.usize(1..frame.as_bytes().len());
        self.writer.write_all(&frame.as_bytes()[..part]).await?;
        sleep(Duration::from_millis(self.rng.u64(0..4_000))).await;
        Ok(())
    }

    /// Takes all that comes, so that the server has nobody to wait for.
    fn read_all(&mut self) {
        let Some(mut reader) = self.reader.take() else { return };
        spawn_local(async move {
            let mut bytes = vec![0; 10_000];
            while reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        });
    }

    async fn join(&mut self, exposed: usize) -> io::Result<()> {
        let limits = Limits::default();
        let methods = (0..exposed).filter_map(|n| MethodName::new(format!("nothing-{n}"), &limits).ok()).collect();
        let Ok(name) = NodeName::new(&self.name, &limits) else { return Ok(()) };
        let body = Handshake::new(NodeType::new(Role::Client, self.level), vec![Member::new(name, methods)]).to_json();
        let hello = frame(Header::control(Kind::Handshake, CallId(1), true), [&self.name, "", ""], &body);
        self.send(&hello).await
    }

    async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.writer.write_all(frame.as_bytes()).await
    }

    /// A call of what a worker exposes, with arguments that no callback has.
    fn request(&mut self, wants_reply: bool, size: usize) -> Frame {
        let to = match self.rng.u8(..8) {
            0 => "nobody".to_owned(),
            _ => self.rng.choice(&self.workers).cloned().unwrap_or_default(),
        };
        let method = if self.rng.bool() { ECHO } else { CHUNK };
        let header = Header::new(Kind::Request, self.number(), FormatId::MSGPACK, false, wants_reply);
        frame(header, [&self.name, &to, method], &vec![0xc1; size])
    }

    fn credit(&mut self) -> Credit {
        let flow = FlowId(self.rng.u32(..4));
        let most = 1 << self.rng.u32(1..50);
        match Grant::new(flow, self.rng.u64(..most), self.rng.u32(..=MAX_WINDOW)) {
            Ok(grant) if self.rng.bool() => Credit::Grants(grant),
            _ => Credit::Begins(flow),
        }
    }

    fn number(&mut self) -> CallId {
        CallId(self.rng.u16(0..300))
    }

    /// Itself, an honest node, or none.
    fn somebody(&mut self) -> String {
        match self.rng.u8(..6) {
            0 => "nobody".to_owned(),
            1 | 2 => self.rng.choice(&self.workers).cloned().unwrap_or_default(),
            3 => self.rng.choice(&self.callers).cloned().unwrap_or_default(),
            _ => self.name.clone(),
        }
    }
}

fn frame(header: Header, names: [&str; 3], payload: &[u8]) -> Frame {
    let [from, to, method] = names;
    Frame::new(header, from, to, method, payload, &Limits::default()).expect("an adversary's frames are small")
}

//! What an adversary can do, each as one connection does it until it is ended.

use std::{io, time::Duration};

use clap::ValueEnum;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

use crate::wire::{
    CANCEL, CREDIT, DATA, ERROR, JSON, LARGEST, OPAQUE, PICKLE, PING, REQUEST, RESPONSE, Socket, WANTS_REPLY, extended,
    frame, handshake, header, looking,
};

/// The node that is attacked, and what of it is known.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: String,
    /// Who receives requests: the Service, or a member of a Router.
    pub(crate) receiver: String,
    /// A callback of the receiver.
    pub(crate) callback: String,
}

/// How a peer misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Connects and says nothing.
    Silent,
    /// Stops inside its handshake.
    HalfHandshake,
    /// Sends bytes that mean nothing.
    Garbage,
    /// Sends a frame of 32 MiB without its last byte, then nothing.
    Unfinished,
    /// Sends a frame of 32 MiB at 512 bytes a second.
    Trickling,
    /// Calls, and reads no answer.
    Deaf,
    /// Calls, and reads one byte of the answers a second.
    Sipping,
    /// Calls what does not exist, and reads no refusal.
    Refused,
    /// Says who it is again and again, with 6 KB of names, and reads no answer.
    Rejoining,
    /// Sends requests of 256 KiB that nobody answers, as fast as they are taken.
    Greedy,
    /// Sends the smallest requests that nobody answers, as fast as they are taken.
    Tiny,
    /// Joins and leaves under ever new names.
    ManyNamed,
    /// Announces 1 MB of names of callbacks.
    LongListed,
    /// Announces other callbacks five times a second, 900 KB of names each time.
    Reannouncing,
    /// Grants credit that nobody asked for (level 4).
    Crediting,
    /// Answers what nobody asked.
    Answering,
    /// Sends a small PICKLE that means millions of values.
    Pickle,
    /// Calls with all numbers there are, at once, and never again.
    Numbers,
    /// Calls much and leaves before anything ran, again and again.
    Leaving,
    /// Sends kinds of frames that do not exist yet (level 4).
    UnknownKinds,
    /// Sends parts of bodies of calls that are not open, each of 64 KiB (level 4).
    Parts,
    /// Begins to become a WebSocket, a header a second, and never ends it.
    HalfUpgrade,
    /// Begins to become TLS, and stops inside of the first record.
    HalfTls,
    /// Asks whether the node lives as fast as it can, and reads no answer (level 4).
    Pinging,
    /// Calls, and gives each call up at once (level 4).
    Cancelling,
    /// Calls with extensions as long as they may be, and reads no answer (level 4).
    Extending,
    /// Looks who is there, reads nothing of it and looks again on another connection (level 4).
    Looking,
    /// Looks who is there, and asks again and again on the same connection (level 4).
    LookingOn,
    /// Begins a new flow before each request that nobody answers (level 4).
    Resetting,
    /// Makes news by joining and leaving, beside a member that reads none.
    Unheeding,
    /// Fights with all its connections for one name.
    Contending,
    /// Sends calls byte by byte, each in a packet of its own.
    Dribbling,
}

/// 65 KB of names of callbacks that differ by `round`.
fn methods(bytes: usize, round: usize) -> Vec<String> {
    let name = |n: usize| format!("callback-{round:06}-{n:06}-{}", "x".repeat(70));
    let each = name(0).len() + 3;
    (0..bytes / each).map(name).collect()
}

fn call(target: &Target, me: &str, number: u16, flags: u8, callback: &str, payload: &[u8]) -> Vec<u8> {
    frame(number, REQUEST | flags, [me, &target.receiver, callback], payload)
}

const NO_ARGUMENTS: &[u8] = br#"{"args": [], "kwargs": {}}"#;

/// Eight levels of tuples, each of eight times the one below: 16 million values in a small payload.
fn pickle() -> Vec<u8> {
    let mut bytes = vec![0x80, 4, b'K', 7];
    for _ in 0..8 {
        // Memoize what is on top, then get it seven times more between a mark and a list.
        bytes.extend([b'q', 0, b'0', b'(']);
        bytes.extend([b'h', 0].repeat(8));
        bytes.push(b'l');
    }
    // ((value,), {})
    bytes.extend([0x85, b'}', 0x86, b'.']);
    bytes
}

impl Attack {
    /// As it is called on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Does it on one connection. Ends with the connection, or never.
    pub(crate) async fn run(self, target: &Target, me: &str) -> io::Result<()> {
        match self {
            Self::Silent => Self::wait_for_end(Socket::connect(&target.address).await?).await,
            Self::HalfHandshake => {
                let mut socket = Socket::connect(&target.address).await?;
                let hello = handshake(me, 3, &[]);
                socket.writer.write_all(&[0x1f; 9]).await?;
                socket.writer.write_all(&hello[..hello.len() / 2]).await?;
                Self::wait_for_end(socket).await
            }
            Self::Garbage => {
                let mut socket = Socket::connect(&target.address).await?;
                let bytes: Vec<u8> = (0..4096).map(|_| fastrand::u8(..)).collect();
                socket.writer.write_all(&bytes).await?;
                Self::wait_for_end(socket).await
            }
            Self::Unfinished => Self::unfinished(target, me, None).await,
            Self::Trickling => Self::unfinished(target, me, Some(512)).await,
            Self::Deaf => {
                let mut socket = Socket::join(&target.address, me, 3, &[]).await?;
                let request = |number| call(target, me, number, JSON | WANTS_REPLY, &target.callback, NO_ARGUMENTS);
                Self::repeat(&mut socket.writer, request).await
            }
            Self::Sipping => {
                let Socket { mut reader, mut writer } = Socket::join(&target.address, me, 3, &[]).await?;
                let sips = tokio::spawn(async move {
                    while reader.read_u8().await.is_ok() {
                        sleep(Duration::from_secs(1)).await;
                    }
                });
                let request = |number| call(target, me, number, JSON | WANTS_REPLY, &target.callback, NO_ARGUMENTS);
                let done = Self::repeat(&mut writer, request).await;
                sips.abort();
                done
            }
            Self::Refused => {
                let mut socket = Socket::join(&target.address, me, 3, &[]).await?;
                let nobody = "n".repeat(1000);
                let request = |number| call(target, me, number, JSON | WANTS_REPLY, &nobody, NO_ARGUMENTS);
                Self::repeat(&mut socket.writer, request).await
            }
            Self::Rejoining => {
                let mut socket = Socket::join(&target.address, me, 4, &[]).await?;
                Self::repeat(&mut socket.writer, |round| handshake(me, 4, &methods(6000, usize::from(round)))).await
            }
            Self::Greedy => Self::flood(target, me, &vec![b'x'; 256 * 1024]).await,
            Self::Tiny => Self::flood(target, me, b"").await,
            Self::ManyNamed => {
                for round in 0.. {
                    let name = format!("{me}-{round}-{}", "n".repeat(200));
                    drop(Socket::join(&target.address, &name, 3, &methods(400, round)).await?);
                }
                Ok(())
            }
            Self::LongListed => {
                let list = methods(1_000_000, 0);
                Self::wait_for_end(Socket::join(&target.address, me, 3, &list).await?).await
            }
            Self::Reannouncing => {
                let mut writer = Socket::join(&target.address, me, 4, &[]).await?.read_all();
                for round in 0.. {
                    writer.write_all(&handshake(me, 4, &methods(900_000, round))).await?;
                    sleep(Duration::from_millis(200)).await;
                }
                Ok(())
            }
            Self::Crediting => {
                let mut writer =
                    Socket::join(&target.address, me, 4, std::slice::from_ref(&target.callback)).await?.read_all();
                let grant = |number: u16| {
                    let payload: Vec<u8> = (0..20).map(|_| fastrand::u8(..)).collect();
                    let size = [4, 12, 20][usize::from(number) % 3];
                    frame(0, CREDIT | OPAQUE, [me, &target.receiver, ""], &payload[..size])
                };
                Self::repeat(&mut writer, grant).await
            }
            Self::Answering => {
                let mut writer =
                    Socket::join(&target.address, me, 3, std::slice::from_ref(&target.callback)).await?.read_all();
                let names = [me, &target.receiver, &target.callback];
                let answer = |number: u16| {
                    let kind = if number.is_multiple_of(2) { RESPONSE } else { ERROR };
                    frame(number, kind | JSON, names, br#"{"args": [1], "kwargs": {}}"#)
                };
                Self::repeat(&mut writer, answer).await
            }
            Self::Pickle => {
                let mut writer = Socket::join(&target.address, me, 3, &[]).await?.read_all();
                let payload = pickle();
                Self::repeat(&mut writer, |number| call(target, me, number, PICKLE, &target.callback, &payload)).await
            }
            Self::Numbers => {
                let Socket { mut reader, mut writer } = Socket::join(&target.address, me, 3, &[]).await?;
                for number in 1..=u16::MAX {
                    let request = call(target, me, number, JSON | WANTS_REPLY, &target.callback, NO_ARGUMENTS);
                    writer.write_all(&request).await?;
                }
                tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.map(drop)
            }
            Self::Leaving => loop {
                let mut socket = Socket::join(&target.address, me, 3, &[]).await?;
                for number in 1..1000 {
                    let request = call(target, me, number, JSON | WANTS_REPLY, &target.callback, NO_ARGUMENTS);
                    socket.writer.write_all(&request).await?;
                }
            },
            Self::UnknownKinds => {
                let mut writer = Socket::join(&target.address, me, 4, &[]).await?.read_all();
                let strange = |number: u16| frame(number, 10 + number.to_le_bytes()[0] % 6, [me, "a", "b"], &[7; 500]);
                Self::repeat(&mut writer, strange).await
            }
            Self::Parts => {
                let mut writer = Socket::join(&target.address, me, 4, &[]).await?.read_all();
                let part = vec![7; 64 * 1024];
                Self::repeat(&mut writer, |number| frame(number, DATA | OPAQUE, [me, &target.receiver, ""], &part))
                    .await
            }
            Self::HalfUpgrade => {
                let mut writer = Socket::connect(&target.address).await?.read_all();
                let begin = format!("GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n", target.address);
                writer.write_all(begin.as_bytes()).await?;
                for n in 0.. {
                    sleep(Duration::from_secs(1)).await;
                    writer.write_all(format!("X-{n}: more\r\n").as_bytes()).await?;
                }
                Ok(())
            }
            Self::HalfTls => {
                let mut socket = Socket::connect(&target.address).await?;
                // A record of 512 bytes with a ClientHello, of which 27 bytes come.
                socket.writer.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await?;
                socket.writer.write_all(&[7; 21]).await?;
                Self::wait_for_end(socket).await
            }
            Self::Pinging => {
                let mut socket = Socket::join(&target.address, me, 4, &[]).await?;
                let ping = |_| frame(0, PING | OPAQUE | WANTS_REPLY, [""; 3], b"8 bytes.");
                Self::repeat(&mut socket.writer, ping).await
            }
            Self::Cancelling => {
                let mut writer = Socket::join(&target.address, me, 4, &[]).await?.read_all();
                let request_and_end = |number| {
                    let mut both = call(target, me, number, JSON | WANTS_REPLY, &target.callback, NO_ARGUMENTS);
                    both.extend(frame(number, CANCEL | OPAQUE | WANTS_REPLY, [me, &target.receiver, ""], &[1]));
                    both
                };
                Self::repeat(&mut writer, request_and_end).await
            }
            Self::Extending => {
                let mut socket = Socket::join(&target.address, me, 4, &[]).await?;
                let names = [me, &target.receiver, &target.callback];
                let request = |number| extended(number, REQUEST | JSON | WANTS_REPLY, names, NO_ARGUMENTS);
                Self::repeat(&mut socket.writer, request).await
            }
            Self::Looking => loop {
                let mut socket = Socket::connect(&target.address).await?;
                socket.writer.write_all(&[0x1f; 9]).await?;
                socket.writer.write_all(&looking(me)).await?;
                socket.reader.readable().await?;
            },
            Self::LookingOn => {
                let mut socket = Socket::connect(&target.address).await?;
                socket.writer.write_all(&[0x1f; 9]).await?;
                Self::repeat(&mut socket.writer, |_| looking(me)).await
            }
            Self::Resetting => {
                let mut writer = Socket::join(&target.address, me, 4, &[]).await?.read_all();
                let both = |number: u16| {
                    let flow = u32::from(number).to_le_bytes();
                    let mut both = frame(0, CREDIT | OPAQUE, [me, &target.receiver, ""], &flow);
                    both.extend(call(target, me, 2, OPAQUE, &target.callback, b""));
                    both
                };
                Self::repeat(&mut writer, both).await
            }
            Self::Unheeding => {
                let _reads_nothing = Socket::join(&target.address, me, 4, &[]).await?;
                for round in 0.. {
                    let name = format!("{me}-{round}");
                    drop(Socket::join(&target.address, &name, 4, &methods(4000, round)).await?);
                }
                Ok(())
            }
            Self::Contending => Self::wait_for_end(Socket::join(&target.address, "contended", 3, &[]).await?).await,
            Self::Dribbling => {
                let mut writer = Socket::join(&target.address, me, 3, &[]).await?.read_all();
                let request = call(target, me, 2, JSON | WANTS_REPLY, &target.callback, NO_ARGUMENTS);
                loop {
                    for byte in &request {
                        writer.write_all(std::slice::from_ref(byte)).await?;
                    }
                }
            }
        }
    }

    /// A frame that never ends; after its beginning `rate` bytes a second, or all of it but one at
    /// once.
    async fn unfinished(target: &Target, me: &str, rate: Option<usize>) -> io::Result<()> {
        let mut writer = Socket::join(&target.address, me, 3, &[]).await?.read_all();
        let names = [me, &target.receiver, &target.callback].join("|");
        writer.write_all(&header(2, REQUEST | OPAQUE, names.len(), LARGEST)).await?;
        writer.write_all(names.as_bytes()).await?;
        let mut left = LARGEST - names.len() - 1;
        let piece = vec![b'x'; rate.unwrap_or(64 * 1024)];
        while left > 0 {
            let now = piece.len().min(left);
            writer.write_all(&piece[..now]).await?;
            left -= now;
            if rate.is_some() {
                sleep(Duration::from_secs(1)).await;
            }
        }
        // Until the other end is tired of it.
        loop {
            sleep(Duration::from_secs(1)).await;
            writer.writable().await?;
            if writer.peer_addr().is_err() {
                return Ok(());
            }
        }
    }

    /// Requests that nobody answers, while all that comes back is read.
    async fn flood(target: &Target, me: &str, payload: &[u8]) -> io::Result<()> {
        let mut writer = Socket::join(&target.address, me, 3, &[]).await?.read_all();
        let request = call(target, me, 2, OPAQUE, &target.callback, payload);
        Self::repeat(&mut writer, |_| request.clone()).await
    }

    async fn repeat(writer: &mut (impl AsyncWriteExt + Unpin), frame: impl Fn(u16) -> Vec<u8>) -> io::Result<()> {
        loop {
            for number in 2..u16::MAX {
                writer.write_all(&frame(number)).await?;
            }
        }
    }

    async fn wait_for_end(mut socket: Socket) -> io::Result<()> {
        tokio::io::copy(&mut socket.reader, &mut tokio::io::sink()).await.map(drop)
    }
}

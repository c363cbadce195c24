//! A raw peer that sends what an input says, and frames that an input makes up.

use std::{collections::BTreeSet, time::Duration};

use bytes::{Bytes, BytesMut};
use daffi_wire::{
    CallId, Credit, EncodeError, EventBody, EventKind, FlowId, FormatId, Frame, FrameDecoder, Grant, Handshake, Header,
    Kind, Level, Limits, Member, MethodName, NodeName, NodeType, Ping, Role,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

use crate::Tape;

/// Names that peers may give: their own, those of honest nodes, of the server, of nobody.
const NAMES: [&str; 7] = ["raw", "twin", "worker", "caller", "server", "", "nobody"];

const METHODS: [&str; 5] = ["echo", "slow", "chunk", "nope", ""];

/// How long a raw peer tries to write, in simulated time.
const PATIENCE: Duration = Duration::from_millis(20);

/// One raw connection.
#[derive(Debug)]
pub(super) struct Raw {
    stream: DuplexStream,
    decoder: FrameDecoder,
    received: BytesMut,
}

impl Raw {
    pub(super) fn new(stream: DuplexStream) -> Self {
        let mut decoder = FrameDecoder::new(Limits::default());
        decoder.set_level(Level::FOUR);
        Self { stream, decoder, received: BytesMut::new() }
    }

    /// Writes as far as the other end reads.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _gone_or_full = timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    /// Ends the stream in one direction.
    pub(super) async fn shut(&mut self) {
        let _gone = timeout(PATIENCE, self.stream.shutdown()).await;
    }

    /// Reads what is there, skipping `first` bytes of an opening.
    pub(super) async fn receive(&mut self, seen: &mut Seen) {
        while let Ok(Ok(1..)) = timeout(Duration::from_millis(1), self.stream.read_buf(&mut self.received)).await {}
        while let Ok(Some(frame)) = self.decoder.decode(&mut self.received) {
            seen.note(&frame);
        }
    }

    pub(super) async fn skip_opening(&mut self) {
        let mut opening = [0; daffi_wire::SYN.len()];
        let _gone = timeout(PATIENCE, self.stream.read_exact(&mut opening)).await;
    }
}

/// What raw peers were sent: the outcome of an input, coarsely.
#[derive(Debug, Default, Hash)]
pub(super) struct Seen(BTreeSet<String>);

impl Seen {
    fn note(&mut self, frame: &Frame) {
        let payload = String::from_utf8_lossy(frame.payload());
        let words: String = match frame.kind() {
            Kind::Error | Kind::Handshake | Kind::Events => {
                payload.chars().filter(|c| c.is_ascii_alphabetic()).take(40).collect()
            }
            _ => String::new(),
        };
        self.add(format!("{:?} {words}", frame.kind()));
    }

    pub(super) fn add(&mut self, what: impl Into<String>) {
        if self.0.len() < 64 {
            self.0.insert(what.into());
        }
    }
}

/// A payload: of the input, or one that the callbacks read.
fn payload(tape: &mut Tape<'_>) -> (Bytes, bool, FormatId) {
    let made: (&[u8], bool, FormatId) = match tape.byte() % 6 {
        0 => (b"\x92\x91\x05\x80", false, FormatId::MSGPACK),
        1 => (b"{\"args\": [5], \"kwargs\": {}}", true, FormatId::JSON),
        2 => (b"\x80\x04\x95\t\x00\x00\x00\x00\x00\x00\x00K\x05\x85\x94}\x94\x86\x94.", false, FormatId::PICKLE),
        3 => (tape.bytes(), tape.byte() & 1 == 1, FormatId::OPAQUE),
        4 => (tape.bytes(), false, FormatId::MSGPACK),
        _ => return (Bytes::from(vec![7; usize::from(tape.number())]), false, FormatId::OPAQUE),
    };
    (Bytes::copy_from_slice(made.0), made.1, made.2)
}

fn handshake_body(tape: &mut Tape<'_>, role: Role, name: &str) -> Vec<u8> {
    let limits = Limits::default();
    let level = if tape.byte() & 1 == 1 { Level::FOUR } else { Level::THREE };
    let methods = METHODS[..usize::from(tape.byte()) % 5].iter().filter_map(|m| MethodName::new(m, &limits).ok());
    let mut members: Vec<_> =
        NodeName::new(name, &limits).ok().map(|name| Member::new(name, methods.collect())).into_iter().collect();
    if tape.byte() & 3 == 1 {
        members.extend(NodeName::new(tape.choice(&NAMES), &limits).ok().map(|name| Member::new(name, Vec::new())));
    }
    Handshake::new(NodeType::new(role, level), members).to_json()
}

/// What only level 4 links carry.
fn level_four(tape: &mut Tape<'_>, transmitter: &str, receiver: &str, limits: &Limits) -> Result<Frame, EncodeError> {
    let (flow, total) = (FlowId(u32::from(tape.byte() % 4)), u64::from(tape.number()) << (tape.byte() % 48));
    let token = total.to_le_bytes();
    match tape.byte() % 6 {
        0 | 1 => Credit::Begins(flow).frame(transmitter, receiver, limits),
        2 | 3 => match Grant::new(flow, total, u32::from(tape.number()) << (tape.byte() % 16)) {
            Ok(grant) => Credit::Grants(grant).frame(transmitter, receiver, limits),
            Err(_) => Credit::Begins(flow).frame(transmitter, receiver, limits),
        },
        4 => Ok(if tape.byte() & 1 == 1 { Ping::Asks(token) } else { Ping::Answers(token) }.frame()),
        _ => {
            let header = Header::new(Kind::from_number(tape.byte()), CallId(3), FormatId::OPAQUE, false, false);
            Frame::new(header, transmitter, receiver, "", &token, limits)
        }
    }
}

/// A frame that is well made; whether it makes sense is another matter.
pub(super) fn frame(tape: &mut Tape<'_>, role: Role) -> Vec<u8> {
    let limits = Limits::default();
    let (transmitter, receiver, method) = (tape.choice(&NAMES), tape.choice(&NAMES), tape.choice(&METHODS));
    let id = CallId(u16::from(tape.byte() % 8));
    let wants = tape.byte() & 1 == 1;
    let made = match tape.byte() % 10 {
        0 | 1 => {
            let header = Header::control(Kind::Handshake, CallId(1), true);
            Frame::new(header, transmitter, "", "", &handshake_body(tape, role, transmitter), &limits)
        }
        2 => {
            let header = Header::control(Kind::Handshake, CallId::NONE, false);
            Frame::new(header, "", "", "", &handshake_body(tape, role, receiver), &limits)
        }
        3 => {
            let kind = [
                EventKind::Connected,
                EventKind::Disconnected,
                EventKind::Evicted,
                EventKind::Stopping,
                EventKind::Stopped,
            ][usize::from(tape.byte() % 5)];
            let body = EventBody { kind, member: receiver.to_owned() }.to_json();
            Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", &body, &limits)
        }
        4 => level_four(tape, transmitter, receiver, &limits),
        kind => {
            let kind =
                [Kind::Request, Kind::Request, Kind::Request, Kind::Response, Kind::Error][usize::from(kind - 5)];
            let (payload, text, format) = payload(tape);
            Frame::new(Header::new(kind, id, format, text, wants), transmitter, receiver, method, &payload, &limits)
        }
    };
    let mut bytes = made.map(|frame| frame.as_bytes().to_vec()).unwrap_or_default();
    match tape.byte() % 16 {
        // Any header, of this length or another.
        0 if !bytes.is_empty() => {
            let at = usize::from(tape.byte()) % bytes.len().min(24);
            bytes[at] ^= tape.byte();
        }
        1 => bytes.truncate(usize::from(tape.number()) % bytes.len().max(1)),
        2 => bytes.extend_from_slice(tape.bytes()),
        _ => {}
    }
    bytes
}

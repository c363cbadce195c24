//! The first bytes of a connection, the upgrade to WebSocket, and what follows either.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use conformance::Direction;
use daffi_transport::{HttpOffer, Link, LinkConfig, PeerInfo};
use daffi_transport_ws::WebSockets;
use daffi_wire::{CallId, Handshake, Header, Kind, Level, Limits, NodeType, Opening, Role, SYN};
use tokio::io::{AsyncRead, ReadBuf, sink};

use super::node::{ends, simulated};
use crate::{Signature, Tape, recorded::conversations};

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A WebSocket message with an all-zero mask.
fn message(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut message = vec![opcode];
    match u8::try_from(length) {
        Ok(short @ 0..126) => message.push(0x80 | short),
        _ => {
            message.push(0x80 | 126);
            message.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    message.extend([0; 4]);
    message.extend_from_slice(payload);
    message
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let firsts: [&[u8]; 6] =
        [&SYN, UPGRADE, b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"ge", b""];
    let mut seeds: Vec<_> = firsts.iter().map(|first| [&[0], *first].concat()).collect();
    let body = Handshake::new(NodeType::new(Role::Client, Level::FOUR), Vec::new()).to_json();
    let header = Header::control(Kind::Handshake, CallId(1), true);
    if let Ok(frame) = daffi_wire::Frame::new(header, "page", "", "", &body, &Limits::default()) {
        let (whole, half) = (frame.as_bytes(), frame.as_bytes().len() / 2);
        seeds.push([&[0], UPGRADE, &message(0x82, whole)].concat());
        seeds.push(
            [&[9], UPGRADE, &message(0x02, &whole[..half]), &message(0x89, b"ping"), &message(0x80, &whole[half..])]
                .concat(),
        );
        seeds.push([&[0], UPGRADE, &message(0x82, whole), &message(0x88, &[3, 232])].concat());
        seeds.push([&[0], UPGRADE, &message(0x81, b"text"), &message(0x8a, b"")].concat());
    }
    for conversation in conversations().iter().filter(|c| c.direction == Direction::ToServer) {
        let mut seed = vec![3];
        for (place, item) in conversation.items.iter().enumerate() {
            match conversation.upgraded && place > 0 {
                true => seed.extend(message(0x82, item)),
                false => seed.extend_from_slice(item),
            }
        }
        seeds.push(seed);
    }
    seeds
}

pub(super) fn run(input: &[u8]) -> Result<Signature, String> {
    let mut tape = Tape::new(input);
    let piece = usize::from(tape.byte());
    let stream = tape.rest();
    // What the first bytes tell, more bytes do not change.
    let mut told = None;
    for length in 0..=stream.len().min(Opening::LEN + 8) {
        let now = Opening::classify(&stream[..length]);
        if told.is_some() && now != told {
            return Err(format!("{told:?} became {now:?} with the first {length} bytes"));
        }
        if now.is_none() && length >= Opening::LEN {
            return Err(format!("{length} bytes tell nothing"));
        }
        told = now;
    }
    simulated(async {
        let whole = ends("reading all of it", open(stream, usize::MAX)).await?;
        let pieces = ends("reading it in pieces", open(stream, piece + 1)).await?;
        if whole != pieces {
            return Err(format!("whole: {whole:?}; in pieces of {}: {pieces:?}", piece + 1));
        }
        Ok(Signature::of((format!("{told:?}"), whole.0.min(3), whole.1)))
    })
}

/// How many frames come of a stream, and in what words it ends.
async fn open(stream: &[u8], piece: usize) -> (usize, String) {
    let local = Some(std::net::Ipv4Addr::LOCALHOST.into());
    let offer = HttpOffer { upgrade: Arc::new(WebSockets::new()), local };
    let (reader, peer) = (Pieces { rest: stream.to_vec(), piece }, PeerInfo::new("tcp", "127.0.0.1:5002"));
    let letters = |text: String| text.chars().filter(|c| c.is_ascii_alphabetic()).take(40).collect::<String>();
    match Link::accept_or_upgrade(reader, sink(), &LinkConfig::default(), peer, Some(offer)).await {
        Err(error) => (0, letters(error.to_string())),
        Ok(mut link) => {
            let mut frames = 0;
            loop {
                match link.receive().await {
                    Ok(Some(_)) => frames += 1,
                    Ok(None) => return (frames, String::new()),
                    Err(error) => return (frames, letters(error.to_string())),
                }
            }
        }
    }
}

/// A stream that is read in pieces of at most so many bytes, and then ends.
struct Pieces {
    rest: Vec<u8>,
    piece: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.piece.min(self.rest.len()).min(buf.remaining());
        buf.put_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Poll::Ready(Ok(()))
    }
}

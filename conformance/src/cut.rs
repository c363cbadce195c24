//! Reads a stream of bytes as items: the opening, then frames, which stand in WebSocket messages
//! behind an upgrade.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    Item,
    frame::{Cut, Frame},
};

/// Opcode of a binary message.
const BINARY: u8 = 2;

/// Cuts one direction of a connection into items, and wraps items for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cutter {
    stage: Stage,
    /// Client to server: SYN, masked messages.
    to_server: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Frames,
    Messages,
}

impl Cutter {
    pub(crate) const fn new(to_server: bool) -> Self {
        Self { stage: if to_server { Stage::Opening } else { Stage::Frames }, to_server }
    }

    /// Whether the opening is over.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Opening)
    }

    /// Says that from here on messages go this way.
    pub(crate) const fn on_upgrade(&mut self) {
        self.stage = Stage::Messages;
    }

    /// Returns the first item of `bytes` and its length. `None` says that more bytes are needed.
    pub(crate) fn cut(&mut self, bytes: &[u8]) -> Option<(Item, usize)> {
        let is_upgrade = match self.stage {
            Stage::Opening => bytes.len() >= 3 && bytes[..3].eq_ignore_ascii_case(b"get"),
            Stage::Frames => bytes.starts_with(b"HTTP/1."),
            Stage::Messages => false,
        };
        if is_upgrade {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
            if text.starts_with("HTTP/1.1 101") || self.to_server {
                self.stage = Stage::Messages;
            }
            return Some((Item::Upgrade(text), end));
        }
        match self.stage {
            Stage::Opening => {
                let syn = bytes.get(..9)?;
                self.stage = Stage::Frames;
                Some((Item::Syn(Bytes::copy_from_slice(syn)), 9))
            }
            Stage::Frames => match Frame::cut(bytes) {
                Cut::More => None,
                Cut::Frame(Some(frame), used) => Some((Item::Frame(frame), used)),
                Cut::Frame(None, used) => Some((Item::Raw(Bytes::copy_from_slice(&bytes[..used])), used)),
            },
            Stage::Messages => message(bytes),
        }
    }

    /// The bytes of an item on the wire.
    pub(crate) fn wrap(&self, item: &Item) -> Bytes {
        match (self.stage, item) {
            (Stage::Messages, Item::Message(opcode, payload)) => wrap(*opcode, payload, self.to_server),
            (Stage::Messages, Item::Frame(frame)) => wrap(BINARY, &frame.encode(), self.to_server),
            (_, item) => item.to_bytes(),
        }
    }
}

/// A key that masks nothing, so that a recording of the same message is the same.
const MASK: [u8; 4] = [0; 4];

fn wrap(opcode: u8, payload: &[u8], masked: bool) -> Bytes {
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => bytes.push(mask | short),
        (_, Ok(medium)) => {
            bytes.push(mask | 126);
            bytes.extend(medium.to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend(MASK);
    }
    bytes.extend(payload);
    bytes.into()
}

/// Returns the first WebSocket message of `bytes`. 3.0.1 sends none in fragments, and aborts on any
/// that it gets.
fn message(bytes: &[u8]) -> Option<(Item, usize)> {
    let [first, second, ..] = *bytes else { return None };
    let (size, mut at) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let mask = if second & 0x80 != 0 {
        at += 4;
        <[u8; 4]>::try_from(bytes.get(at - 4..at)?).ok()?
    } else {
        MASK
    };
    let end = at.checked_add(usize::try_from(size).ok()?)?;
    let payload: Cow<'_, [u8]> = match bytes.get(at..end)? {
        plain if mask == MASK => plain.into(),
        masked => masked.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
    };
    let opcode = first & 0xf;
    if first == 0x80 | BINARY
        && let Cut::Frame(Some(frame), used) = Frame::cut(&payload)
        && used == payload.len()
    {
        return Some((Item::Frame(frame), end));
    }
    Some((Item::Message(opcode, Bytes::copy_from_slice(&payload)), end))
}

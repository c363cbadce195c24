//! Frames as docs/protocol.md#2 and `daffi-wire/LEVEL_FOUR.md` lay them out, read and written
//! without this project's codec, so that a fault of the codec shows.

use std::fmt;

use bytes::Bytes;

use crate::extension::{self, Extension};

/// Bytes of a header.
pub(crate) const HEADER: usize = 9;

const KINDS: [&str; 10] =
    ["HANDSHAKE", "REQUEST", "RESPONSE", "ERROR", "EVENTS", "CREDIT", "CANCEL", "DATA", "WATCH", "PING"];
const FORMATS: [&str; 4] = ["OPAQUE", "JSON", "PICKLE", "MSGPACK"];

/// What a frame is: the four flag bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(pub u8);

impl Kind {
    /// Client to server, and the answer to it; a Router's notice.
    pub const HANDSHAKE: Self = Self(0);
    /// A call.
    pub const REQUEST: Self = Self(1);
    /// Its result.
    pub const RESPONSE: Self = Self(2);
    /// Its failure.
    pub const ERROR: Self = Self(3);
    /// What happened to a member.
    pub const EVENTS: Self = Self(4);

    /// Of level 4: what a receiver takes.
    pub const CREDIT: Self = Self(5);
    /// Of level 4: the end of a call that is given up.
    pub const CANCEL: Self = Self(6);
    /// Of level 4: a part of a call.
    pub const DATA: Self = Self(7);

    /// Whether the payload is arguments, a result or an error, and so in the format that the header
    /// names.
    #[must_use]
    pub const fn is_call(self) -> bool {
        matches!(self, Self::REQUEST | Self::RESPONSE | Self::ERROR)
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        if let Some(number) = word.strip_prefix("FLAG-") {
            return number.parse().ok().filter(|n| *n < 16).map(Self);
        }
        let at = KINDS.iter().position(|kind| *kind == word)?;
        u8::try_from(at).ok().map(Self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KINDS.get(usize::from(self.0)) {
            Some(kind) => f.write_str(kind),
            None => write!(f, "FLAG-{}", self.0),
        }
    }
}

/// The two decoder bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(pub u8);

impl Format {
    /// Bytes or text.
    pub const OPAQUE: Self = Self(0);
    /// JSON.
    pub const JSON: Self = Self(1);
    /// Pickle.
    pub const PICKLE: Self = Self(2);
    /// MessagePack.
    pub const MSGPACK: Self = Self(3);

    pub(crate) fn parse(word: &str) -> Option<Self> {
        let at = FORMATS.iter().position(|format| *format == word)?;
        u8::try_from(at).ok().map(Self)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMATS[usize::from(self.0 & 3)])
    }
}

/// One frame: each field of its header but the two lengths, its names, its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the call.
    pub uuid: u16,
    /// The flag.
    pub kind: Kind,
    /// The decoder.
    pub format: Format,
    /// Whether the payload is bytes rather than text.
    pub is_bytes: bool,
    /// Whether the sender wants an answer.
    pub wants_reply: bool,
    /// `msg_parts`.
    pub parts: u8,
    /// The endian bit.
    pub little_endian: bool,
    /// Transmitter, receiver and function.
    pub names: [String; 3],
    /// The payload.
    pub payload: Bytes,
}

/// The bit of `msg_parts` of DATA that carries several items (`LEVEL_FOUR.md`, "DATA of a call").
const PACKED: u8 = 4;

/// What the front of a stream of frames holds.
pub(crate) enum Cut {
    /// Too few bytes.
    More,
    /// A frame of so many bytes; `None` when its names cannot be told apart.
    Frame(Option<Box<Frame>>, usize),
}

impl Frame {
    /// Its bytes.
    ///
    /// # Panics
    /// When a part is too large for the header's fields, which a recording cannot hold.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let metadata = self.names.join("|");
        let message = metadata.len() + self.payload.len();
        assert!(metadata.len() < 1 << 15 && message < 1 << 25, "{message} bytes do not fit into a frame");
        let flags = self.kind.0 & 0xf
            | (self.format.0 & 3) << 4
            | u8::from(self.is_bytes) << 6
            | u8::from(self.wants_reply) << 7;
        let lengths = (message as u64 | (metadata.len() as u64) << 25).to_le_bytes();
        let mut bytes = Vec::with_capacity(HEADER + message);
        bytes.extend(self.uuid.to_le_bytes());
        bytes.push(flags);
        bytes.extend(&lengths[..5]);
        bytes.push(self.parts & 0x7f | u8::from(self.little_endian) << 7);
        bytes.extend(metadata.as_bytes());
        bytes.extend(&self.payload);
        bytes.into()
    }

    /// What stands before the payload of a call whose endian bit is 0, on a link of level 4, and
    /// the payload behind it. `None`: that is no block of extensions.
    #[must_use]
    pub fn split_extensions(&self) -> Option<(Vec<Extension>, Bytes)> {
        if self.little_endian || !self.kind.is_call() {
            return None;
        }
        extension::read_block(&self.payload)
    }

    /// Whether it is DATA that carries items, each behind its length.
    #[must_use]
    pub fn has_items(&self) -> bool {
        self.kind == Kind::DATA && self.parts & PACKED != 0
    }

    /// Cuts the first frame off a stream.
    pub(crate) fn cut(stream: &[u8]) -> Cut {
        let Some(&[id0, id1, flags, l0, l1, l2, l3, l4, tail]) = stream.first_chunk::<HEADER>() else {
            return Cut::More;
        };
        let lengths = u64::from_le_bytes([l0, l1, l2, l3, l4, 0, 0, 0]);
        // 25 and 15 bits fit into any usize.
        let [message, metadata] =
            [lengths & 0x1ff_ffff, lengths >> 25 & 0x7fff].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let Some(rest) = stream.get(HEADER..HEADER + message) else { return Cut::More };
        let names = rest.get(..metadata).and_then(|text| std::str::from_utf8(text).ok()).map(|text| text.split('|'));
        let names: Vec<_> = names.into_iter().flatten().map(str::to_owned).collect();
        let frame = <[String; 3]>::try_from(names).ok().map(|names| {
            Box::new(Self {
                uuid: u16::from_le_bytes([id0, id1]),
                kind: Kind(flags & 0xf),
                format: Format(flags >> 4 & 3),
                is_bytes: flags & 0x40 != 0,
                wants_reply: flags & 0x80 != 0,
                parts: tail & 0x7f,
                little_endian: tail & 0x80 != 0,
                names,
                payload: Bytes::copy_from_slice(&rest[metadata..]),
            })
        });
        Cut::Frame(frame, HEADER + message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second example of docs/protocol.md#2.
    #[test]
    fn an_example_of_the_notes() {
        let frame = Frame {
            uuid: 2,
            kind: Kind::REQUEST,
            format: Format::PICKLE,
            is_bytes: true,
            wants_reply: true,
            parts: 1,
            little_endian: true,
            names: ["cli", "w1", "echo"].map(str::to_owned),
            payload: Bytes::from(vec![b'x'; 31]),
        };
        let bytes = frame.encode();
        assert_eq!(bytes[..9], [0x02, 0, 0xe1, 0x2a, 0, 0, 0x16, 0, 0x81]);
        let Cut::Frame(Some(read), used) = Frame::cut(&bytes) else { panic!("a whole frame") };
        assert_eq!((*read, used), (frame, bytes.len()));
        assert!(matches!(Frame::cut(&bytes[..bytes.len() - 1]), Cut::More));
    }
}

//! The nine bytes before every frame ([protocol, 2](crate::protocol#2)).

use std::fmt;

use crate::{
    DecodeError, EncodeError, FormatId, Level, Limits,
    limits::{MAX_MESSAGE_BYTES, MAX_METADATA_BYTES},
};

/// The number of a call, chosen by the caller. Zero only in a server's notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u16);

impl CallId {
    /// What frames carry that belong to no call.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.0)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        /// What a frame is ([protocol, 3](crate::protocol#3)).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
            /// A kind that has no meaning yet. On a level 4 link such a frame is skipped; its names
            /// are not looked at.
            Unknown(UnknownKind),
        }

        impl Kind {
            /// The kind of this number; only the lower four bits travel.
            #[must_use]
            pub const fn from_number(number: u8) -> Self {
                match number & 0xf { $($value => Self::$name,)* n => Self::Unknown(UnknownKind(n)) }
            }

            /// The number as it travels, 0 to 15.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $value,)* Self::Unknown(UnknownKind(n)) => n }
            }
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.write_str($text),)*
                    Self::Unknown(UnknownKind(n)) => write!(f, "kind {n}"),
                }
            }
        }
    };
}

/// The number of a kind that this crate gives no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownKind(u8);

impl Kind {
    /// The level of the links that may carry such a frame.
    ///
    /// ```
    /// use daffi_wire::{Kind, Level};
    /// assert_eq!(Kind::Events.min_level(), Level::THREE);
    /// assert_eq!(Kind::Ping.min_level(), Level::FOUR);
    /// assert_eq!(Kind::from_number(10).min_level(), Level::FOUR);
    /// ```
    #[must_use]
    pub const fn min_level(self) -> Level {
        if self.number() <= Self::Events.number() { Level::THREE } else { Level::FOUR }
    }
}

kinds! {
    /// Opens a session, answers it, or tells of a member.
    Handshake = 0, "HANDSHAKE";
    /// A call.
    Request = 1, "REQUEST";
    /// The result of a call.
    Response = 2, "RESPONSE";
    /// The failure of a call, or a refused handshake.
    Error = 3, "ERROR";
    /// Who came, went or was evicted.
    Events = 4, "EVENTS";
    /// How much more nowait traffic a receiver takes from a sender, and the sender's word that a
    /// flow begins (level 4).
    Credit = 5, "CREDIT";
    /// One end of an open call needs no more of the other (level 4).
    Cancel = 6, "CANCEL";
    /// A part of the body or of the stream of a call (level 4).
    Data = 7, "DATA";
    /// What a client wants to hear of (level 4; not used yet).
    Watch = 8, "WATCH";
    /// Asks the other end of the link whether it lives, or answers that (level 4).
    Ping = 9, "PING";
}

/// The two decoder bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    Opaque,
    Json,
    Pickle,
    Msgpack,
}

impl Decoder {
    const fn bits(self) -> u8 {
        match self {
            Self::Opaque => 0,
            Self::Json => 1,
            Self::Pickle => 2,
            Self::Msgpack => 3,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Opaque,
            1 => Self::Json,
            2 => Self::Pickle,
            _ => Self::Msgpack,
        }
    }
}

/// A frame's header without its two lengths, which follow from what stands behind it.
///
/// It is kept as it travels: frames are moved often, and plain numbers are moved at no cost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    id: CallId,
    /// Kind, decoder, [`BYTES`] and [`WANTS_REPLY`].
    flags: u8,
    /// `msg_parts` and [`LITTLE_ENDIAN`].
    tail: u8,
}

const BYTES: u8 = 0x40;
const WANTS_REPLY: u8 = 0x80;
const LITTLE_ENDIAN: u8 = 0x80;
const PARTS: u8 = 0x7f;

/// The lengths that a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) metadata: usize,
    pub(crate) message: usize,
}

impl Header {
    /// Bytes of a header on the wire.
    pub const LEN: usize = 9;

    /// A header of a frame with a payload in `format`.
    ///
    /// `text` says whether an OPAQUE payload is text; in the other formats it follows from the
    /// format: JSON is text, all others are bytes (3.0.1 fails on PICKLE and MSGPACK marked as
    /// text).
    #[must_use]
    pub const fn new(kind: Kind, id: CallId, format: FormatId, text: bool, wants_reply: bool) -> Self {
        let decoder = format.decoder();
        let is_bytes = match decoder {
            Decoder::Json => false,
            Decoder::Pickle | Decoder::Msgpack => true,
            Decoder::Opaque => !text,
        };
        let mut flags = kind.number() | decoder.bits() << 4;
        if is_bytes {
            flags |= BYTES;
        }
        if wants_reply {
            flags |= WANTS_REPLY;
        }
        Self { id, flags, tail: format.parts() & PARTS | LITTLE_ENDIAN }
    }

    /// The header of a HANDSHAKE, an EVENTS frame or a notice: JSON text.
    #[must_use]
    pub const fn control(kind: Kind, id: CallId, wants_reply: bool) -> Self {
        Self::new(kind, id, FormatId::JSON, true, wants_reply)
    }

    /// The header of the answer to a HANDSHAKE with this header: every bit copied, as 3.0.1 does
    /// ([protocol, 3](crate::protocol#3)).
    #[must_use]
    pub const fn handshake_reply(self) -> Self {
        self
    }

    /// The header of a DATA frame, whose `msg_parts` say what it ends.
    pub(crate) const fn data(id: CallId, from_caller: bool, parts: u8) -> Self {
        let mut header = Self::new(Kind::Data, id, FormatId::OPAQUE, false, from_caller);
        header.tail = parts & PARTS | LITTLE_ENDIAN;
        header
    }

    /// The same header with the bit that says on a level 4 link whether extensions follow the
    /// names.
    #[must_use]
    pub const fn with_extensions(mut self, follow: bool) -> Self {
        self.tail = if follow { self.tail & PARTS } else { self.tail | LITTLE_ENDIAN };
        self
    }

    /// Whether extensions follow the names, if the link is of level 4. At level 3 the bit has
    /// another meaning, and is overlooked.
    #[must_use]
    pub const fn has_extensions(self) -> bool {
        self.tail & LITTLE_ENDIAN == 0 && matches!(self.kind(), Kind::Request | Kind::Response | Kind::Error)
    }

    /// The seven bits of `msg_parts`.
    pub(crate) const fn parts(self) -> u8 {
        self.tail & PARTS
    }

    /// The same header with another call number.
    #[must_use]
    pub const fn with_id(mut self, id: CallId) -> Self {
        self.id = id;
        self
    }

    /// The number of the call.
    #[must_use]
    pub const fn id(self) -> CallId {
        self.id
    }

    /// What the frame is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        Kind::from_number(self.flags)
    }

    /// The payload's format, as a link of this level reads it.
    #[must_use]
    pub const fn format(self, level: Level) -> FormatId {
        FormatId::from_wire(Decoder::from_bits(self.flags >> 4), !self.is_text(), self.parts(), level)
    }

    /// Whether the payload is marked as text rather than bytes.
    #[must_use]
    pub const fn is_text(self) -> bool {
        self.flags & BYTES == 0
    }

    /// Whether the sender wants an answer.
    #[must_use]
    pub const fn wants_reply(self) -> bool {
        self.flags & WANTS_REPLY != 0
    }

    /// Writes the nine bytes.
    ///
    /// # Errors
    /// [`EncodeError`] when a length is above its limit.
    pub fn encode(self, metadata: usize, payload: usize, limits: &Limits) -> Result<[u8; Self::LEN], EncodeError> {
        if metadata > MAX_METADATA_BYTES {
            return Err(EncodeError::MetadataTooLarge { size: metadata, limit: MAX_METADATA_BYTES });
        }
        let limit = limits.max_frame_bytes.min(MAX_MESSAGE_BYTES);
        let message = metadata.saturating_add(payload);
        if message > limit {
            return Err(EncodeError::FrameTooLarge { size: message, limit });
        }
        Ok(self.encode_trusted(metadata, payload))
    }

    /// Writes the nine bytes for the lengths of a frame that was checked.
    pub(crate) fn encode_trusted(self, metadata: usize, payload: usize) -> [u8; Self::LEN] {
        let message = metadata + payload;
        let id = self.id.0.to_le_bytes();
        let lengths = (message as u64 | (metadata as u64) << 25).to_le_bytes();
        [id[0], id[1], self.flags, lengths[0], lengths[1], lengths[2], lengths[3], lengths[4], self.tail]
    }

    /// Gives a frame that was written already its number.
    ///
    /// # Panics
    /// When `frame` is shorter than a header.
    pub fn renumber(frame: &mut [u8], id: CallId) {
        frame[..2].copy_from_slice(&id.0.to_le_bytes());
    }

    /// The kind of a frame, by its bytes. `None`: they are fewer than a header.
    #[must_use]
    pub fn kind_of(frame: &[u8]) -> Option<Kind> {
        let flags = *frame.get(..Self::LEN)?.get(2)?;
        Some(Kind::from_number(flags))
    }

    /// Whether the sender of a frame wants an answer, by its bytes. `false`: it does not, or they
    /// are fewer than a header.
    #[must_use]
    pub fn wants_reply_of(frame: &[u8]) -> bool {
        frame.get(..Self::LEN).and_then(|header| header.get(2)).is_some_and(|flags| flags & WANTS_REPLY != 0)
    }

    #[inline]
    pub(crate) fn decode(bytes: &[u8; Self::LEN], limits: &Limits) -> Result<(Self, Lengths), DecodeError> {
        let [id0, id1, flags, l0, l1, l2, l3, l4, tail] = *bytes;
        let lengths = u64::from_le_bytes([l0, l1, l2, l3, l4, 0, 0, 0]);
        // Both masks are below 2^25, so the values fit any usize.
        let message = usize::try_from(lengths & 0x1ff_ffff).unwrap_or(usize::MAX);
        let metadata = usize::try_from(lengths >> 25 & 0x7fff).unwrap_or(usize::MAX);
        if metadata > message {
            return Err(DecodeError::MetadataExceedsMessage { metadata, message });
        }
        if message > limits.max_frame_bytes {
            return Err(DecodeError::FrameTooLarge { size: message, limit: limits.max_frame_bytes });
        }
        let header = Self { id: CallId(u16::from_le_bytes([id0, id1])), flags, tail };
        Ok((header, Lengths { metadata, message }))
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("id", &self.id)
            .field("kind", &self.kind())
            .field("decoder", &Decoder::from_bits(self.flags >> 4))
            .field("is_bytes", &!self.is_text())
            .field("wants_reply", &self.wants_reply())
            .field("parts", &self.parts())
            .field("little_endian", &(self.tail & LITTLE_ENDIAN != 0))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The examples of docs/protocol.md#2.
    #[test]
    fn examples_of_the_protocol() {
        let limits = Limits::default();
        let handshake = Header::control(Kind::Handshake, CallId(1), true);
        assert_eq!(handshake.encode(4, 80, &limits), Ok([1, 0, 0x90, 0x54, 0, 0, 8, 0, 0x81]));
        let request = Header::new(Kind::Request, CallId(2), FormatId::PICKLE, false, true);
        assert_eq!(request.encode(11, 31, &limits), Ok([2, 0, 0xe1, 0x2a, 0, 0, 0x16, 0, 0x81]));
        let response = Header::new(Kind::Response, CallId(2), FormatId::JSON, true, false);
        assert_eq!(response.encode(10, 27, &limits), Ok([2, 0, 0x12, 0x25, 0, 0, 0x14, 0, 0x81]));
        let events = Header::control(Kind::Events, CallId::NONE, false);
        assert_eq!(events.encode(2, 34, &limits), Ok([0, 0, 0x14, 0x24, 0, 0, 4, 0, 0x81]));
    }

    #[test]
    fn every_bit_survives_a_round_trip() {
        let limits = Limits::default();
        let bytes = [0xcd, 0xab, 0xd3, 0x04, 0x03, 0x00, 0x06, 0x00, 0x7f];
        let (header, lengths) = Header::decode(&bytes, &limits).unwrap();
        assert_eq!(header.encode(lengths.metadata, lengths.message - lengths.metadata, &limits), Ok(bytes));
    }

    #[test]
    fn broken_rules_are_named() {
        let limits = Limits { max_frame_bytes: 100, ..Limits::default() };
        let bytes = [1, 0, 1, 1, 0, 0, 4, 0, 0x81];
        assert_eq!(
            Header::decode(&bytes, &limits),
            Err(DecodeError::MetadataExceedsMessage { metadata: 2, message: 1 })
        );
        let bytes = [1, 0, 1, 101, 0, 0, 4, 0, 0x81];
        assert_eq!(Header::decode(&bytes, &limits), Err(DecodeError::FrameTooLarge { size: 101, limit: 100 }));
        let header = Header::control(Kind::Request, CallId(1), true);
        assert_eq!(header.encode(50, 51, &limits), Err(EncodeError::FrameTooLarge { size: 101, limit: 100 }));
        assert!(matches!(header.encode(32_768, 0, &limits), Err(EncodeError::MetadataTooLarge { .. })));
    }

    #[test]
    fn every_number_is_a_kind_of_its_own() {
        for number in 0..16 {
            let kind = Kind::from_number(number);
            assert_eq!(kind.number(), number);
            assert_eq!(matches!(kind, Kind::Unknown(_)), number >= 10);
            assert_eq!(kind.min_level() == Level::FOUR, number >= 5);
            assert_eq!(Kind::from_number(number | 0xf0), kind, "the other bits are not the kind's");
        }
        assert_eq!(Kind::from_number(12).to_string(), "kind 12");
    }

    #[test]
    fn format_numbers_beyond_four_need_level_four() {
        let postcard = Header::new(Kind::Request, CallId(1), FormatId::POSTCARD, false, true);
        let bytes = postcard.encode(2, 0, &Limits::default()).unwrap();
        assert_eq!(bytes[8], 0x82);
        let (seen, _) = Header::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(seen.format(Level::FOUR), FormatId::POSTCARD);
        assert_eq!(seen.format(Level::THREE), FormatId::OPAQUE);
    }
}

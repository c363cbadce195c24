//! What can be wrong with bytes from a peer, and with what we were asked to send.

use crate::{Foreign, Kind, Shown};

/// A rule of the protocol that the peer's bytes break. It is final for the connection that they
/// came on.
///
/// It holds the numbers seen and never the peer's data, so it is `Copy` and can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A frame of a kind that links of this level do not carry ([protocol, 3](crate::protocol#3)).
    #[error("unknown frame kind {0}: a link of level 3 carries 0 to 4")]
    UnknownKind(u8),
    /// The stream begins with a kind that only level 4 links carry, which no link is before its
    /// handshake.
    #[error("the stream begins with a frame of {0}: a handshake comes first")]
    TooEarly(Kind),
    /// `metadata_len` is larger than `msg_len` ([protocol, 2.1](crate::protocol#2.1)).
    #[error("metadata of {metadata} bytes announced inside a message of {message} bytes")]
    MetadataExceedsMessage {
        /// Bytes of metadata the header announces.
        metadata: usize,
        /// Bytes of metadata and payload together that the header announces.
        message: usize,
    },
    /// The frame is larger than [`Limits::max_frame_bytes`](crate::Limits::max_frame_bytes).
    #[error("frame of {size} bytes announced, the limit is {limit}")]
    FrameTooLarge {
        /// Bytes of metadata and payload that the header announces.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The metadata does not have exactly two separators ([protocol, 2](crate::protocol#2)).
    #[error("metadata has {0} separators '|', it must have two")]
    Separators(usize),
    /// The metadata is not UTF-8 ([protocol, 2](crate::protocol#2)).
    #[error("names in the metadata are not UTF-8 from byte {0} on")]
    NamesNotUtf8(usize),
    /// A name in the metadata is longer than
    /// [`Limits::max_name_bytes`](crate::Limits::max_name_bytes).
    #[error("name of {size} bytes in the metadata, the limit is {limit}")]
    NameTooLong {
        /// Bytes of the name.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The first bytes belong to another protocol.
    #[error("{0}")]
    Foreign(Foreign),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame: {have} of {need} bytes arrived")]
    Truncated {
        /// Bytes that arrived.
        have: usize,
        /// Bytes of the whole frame, or of the header when that is incomplete too.
        need: usize,
    },
    /// A message of a message transport is not exactly one whole frame
    /// ([protocol, 9](crate::protocol#9)).
    #[error("message of {size} bytes holds a frame of {frame} bytes, it must be exactly one whole frame")]
    NotOneFrame {
        /// Bytes of the message.
        size: usize,
        /// Bytes of the frame at its beginning, or of the header when that is incomplete too.
        frame: usize,
    },
}

/// Why a frame can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Metadata and payload together exceed the limit ([protocol, 2.1](crate::protocol#2.1)).
    #[error("message of {size} bytes, the limit is {limit}")]
    FrameTooLarge {
        /// Bytes of metadata and payload.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The three names together exceed 32 767 bytes.
    #[error("names of {size} bytes together, the limit is {limit}")]
    MetadataTooLarge {
        /// Bytes of the metadata.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
}

/// Why a name is refused where it enters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Empty names half work in 3.0.1 ([protocol, 2.1](crate::protocol#2.1)).
    #[error("a {what} name must not be empty")]
    Empty {
        /// `node` or `callback`.
        what: &'static str,
    },
    /// The name holds a character that would break a peer's parser.
    #[error("{what} name \"{}\" holds {found:?}, which separates names on the wire", Shown::new(name))]
    Separator {
        /// `node` or `callback`.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The separator found.
        found: char,
    },
    /// A Router of 3.0.1 trims blanks around callback names ([protocol, 2.1](crate::protocol#2.1)).
    #[error("callback name \"{}\" begins or ends with a blank", Shown::new(name))]
    OuterBlank {
        /// The name as given.
        name: String,
    },
    /// The name is longer than the limit.
    #[error("{what} name of {size} bytes, the limit is {limit}")]
    TooLong {
        /// `node` or `callback`.
        what: &'static str,
        /// Bytes of the name.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
}

/// Why the body of a HANDSHAKE or EVENTS frame is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is not the JSON that the protocol asks for: it has a syntax error, a missing or
    /// doubled key, or a wrong type.
    #[error("not a valid {what} body: {reason}")]
    Json {
        /// `handshake` or `event`.
        what: &'static str,
        /// What the JSON reader says, [shown](Shown): it may quote what the peer sent.
        reason: String,
    },
    /// The body is larger than [`Limits::max_control_bytes`](crate::Limits::max_control_bytes), or
    /// a list of members longer than [`Limits::max_list_bytes`](crate::Limits::max_list_bytes).
    #[error("{what} body of {size} bytes, the limit is {limit}")]
    TooLarge {
        /// `handshake` or `event`.
        what: &'static str,
        /// Bytes of the body.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
    /// A key that the protocol does not define, on a level 3 link
    /// ([protocol, 5.1](crate::protocol#5.1)).
    #[error("unknown key \"{}\" in {place} of the handshake", Shown::new(key))]
    UnknownKey {
        /// Where it stands: `meta`, `a member` or `the top`.
        place: &'static str,
        /// The key.
        key: String,
    },
    /// A name in the body is not usable.
    #[error("unusable name in the handshake")]
    Name(#[from] NameError),
    /// The body of a CREDIT or a PING frame has another length than its kind asks for.
    #[error("a {kind} body of {size} bytes, it must have {expected}")]
    Length {
        /// The kind of the frame.
        kind: Kind,
        /// Bytes of the body.
        size: usize,
        /// Bytes that it must have.
        expected: usize,
    },
    /// A body has more bytes, or fewer, than its first frame said.
    #[error("a body of {size} bytes that was said to have {total}")]
    Total {
        /// Bytes that came.
        size: u64,
        /// Bytes that were said to come.
        total: u64,
    },
    /// A CREDIT frame grants more than a flow can ever have.
    #[error("a credit of {window} bytes beyond {worked_off} overflows")]
    Overflow {
        /// What was worked off.
        worked_off: u64,
        /// The window beyond it.
        window: u32,
    },
    /// The frame is not of the kind whose body was asked for.
    #[error("a {0} frame has no such body")]
    Kind(Kind),
    /// A frame that is about an open call has the number 0, which no call has.
    #[error("a {0} frame with the number 0 belongs to no call")]
    NoCall(Kind),
    /// A DATA frame that carries several items breaks a rule of theirs.
    #[error("a DATA frame of several items has {0}")]
    Packed(&'static str),
}

/// Why the extension block of a call is refused. The call ends with it; the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// The block, or what is to be written into one, is longer than the limit.
    #[error("extensions of {size} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes of the block.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The keys and values of all headers are longer than the limit.
    #[error("headers of {size} bytes together, the limit is {limit}")]
    Headers {
        /// Bytes of all keys and values, and one for each.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A header's key is empty or too long.
    #[error("the key of a header has {size} bytes; it has 1 to 255")]
    HeaderKey {
        /// Bytes of the key.
        size: usize,
    },
    /// The frame says that it has extensions, and ends inside them.
    #[error("the frame ends inside its extensions: {have} of {need} bytes arrived")]
    Cut {
        /// Bytes behind the names.
        have: usize,
        /// Bytes that the block takes.
        need: usize,
    },
    /// The block ends inside the value of this tag.
    #[error("extension {0} is cut short")]
    Truncated(u8),
    /// The length behind this tag is not one or two bytes, or longer than needed.
    #[error("the length of extension {0} is malformed")]
    Length(u8),
    /// The value of this tag is not one that it can have.
    #[error("extension {0} has a value that it cannot have")]
    Value(u8),
    /// The tag stands there twice.
    #[error("extension {0} stands there twice")]
    Doubled(u8),
    /// TIME_LEFT does not stand first, where a Router looks for it.
    #[error("extension 1, the time left, does not stand first")]
    NotFirst,
    /// A tag that this node does not know, and that must not be overlooked.
    #[error("extension {0} is not supported")]
    Unsupported(u8),
}

impl BodyError {
    pub(crate) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        Self::Json { what, reason: Shown::of(error) }
    }
}

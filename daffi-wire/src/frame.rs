//! One frame: header, names and payload, all slices of the bytes that were read.

use std::{fmt, ops::Range, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    CallId, DecodeError, EncodeError, ExtensionError, Extensions, FrameWriter, Header, InData, Kind, Level, Limits,
    MAX_EXTENSION_BYTES, MAX_MESSAGE_BYTES, StreamFlags, extensions, header::Lengths,
};

/// A whole frame. It is cheap to clone: every part is a slice of the same shared bytes.
///
/// ```
/// use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
/// let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true);
/// let frame = Frame::new(header, "cli", "svc", "add", br#"{"args":[3,4],"kwargs":{}}"#, &Limits::default())?;
/// assert_eq!(frame.method(), "add");
/// assert_eq!(frame.payload(), frame.clone().into_payload());
/// assert!(frame.is_from("cli") && frame.is_to("svc") && frame.calls("add"));
/// assert!(!frame.is_from("svc") && !frame.is_to("s") && !frame.calls(""));
/// assert_eq!(frame.as_bytes().len(), 9 + "cli|svc|add".len() + frame.payload().len());
/// # Ok::<(), daffi_wire::EncodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    header: Header,
    bytes: Bytes,
    /// Offsets into `bytes`, of the two separators, of the end of the names, and of the payload.
    first: u16,
    second: u16,
    names_end: u16,
    body: u16,
}

impl Frame {
    /// Builds a frame by copying its parts into one buffer.
    ///
    /// The names are trusted to hold no separator: take them from [`NodeName`](crate::NodeName) and
    /// [`MethodName`](crate::MethodName), or pass empty ones.
    ///
    /// # Errors
    /// [`EncodeError`] when a length is above its limit.
    pub fn new(
        header: Header,
        transmitter: &str,
        receiver: &str,
        method: &str,
        payload: &[u8],
        limits: &Limits,
    ) -> Result<Self, EncodeError> {
        let mut bytes = BytesMut::with_capacity(
            Header::LEN + transmitter.len() + receiver.len() + method.len() + 2 + payload.len(),
        );
        let mut writer = FrameWriter::begin(&mut bytes, transmitter, receiver, method)?;
        writer.body().put_slice(payload);
        let (first, second, body) = writer.offsets();
        writer.finish(header, 0, limits)?;
        Ok(Self { header, bytes: bytes.freeze(), first, second, names_end: body, body })
    }

    /// Takes the frame that a message of a message transport holds, without copying it.
    ///
    /// # Errors
    /// [`DecodeError`], final for the connection; [`DecodeError::NotOneFrame`] when the message is
    /// not exactly one whole frame.
    ///
    /// ```
    /// use daffi_wire::{CallId, DecodeError, Frame, Header, Kind, Limits};
    /// let limits = Limits::default();
    /// let frame = Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", b"{}", &limits)?;
    /// let message = frame.as_bytes().clone();
    /// assert_eq!(Frame::from_message(message.clone(), &limits)?, frame);
    /// assert_eq!(Frame::from_message(message.slice(..9), &limits), Err(DecodeError::NotOneFrame { size: 9, frame: 13 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_message(message: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let size = message.len();
        let Some(head) = message.first_chunk() else {
            return Err(DecodeError::NotOneFrame { size, frame: Header::LEN });
        };
        let limits = limits.clamp();
        let (header, lengths) = Header::decode(head, &limits)?;
        let frame = Header::LEN + lengths.message;
        if size != frame {
            return Err(DecodeError::NotOneFrame { size, frame });
        }
        Self::from_wire(header, lengths, message, &limits)
    }

    /// Checks the metadata and cuts a frame out of its bytes.
    #[inline]
    pub(crate) fn from_wire(
        header: Header,
        lengths: Lengths,
        bytes: Bytes,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        if let Kind::Unknown(_) = header.kind() {
            // What its metadata means nobody knows yet: all of it is payload.
            let at = offset(Header::LEN);
            return Ok(Self { header, first: at, second: at, names_end: at, body: at, bytes });
        }
        let (first, second) = separators(&bytes[Header::LEN..Header::LEN + lengths.metadata])?;
        let longest = first.max(second - first - 1).max(lengths.metadata - second - 1);
        if longest > limits.max_name_bytes {
            return Err(DecodeError::NameTooLong { size: longest, limit: limits.max_name_bytes });
        }
        Ok(Self {
            header,
            first: offset(Header::LEN + first),
            second: offset(Header::LEN + second),
            names_end: offset(Header::LEN + lengths.metadata),
            body: offset(Header::LEN + lengths.metadata),
            bytes,
        })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// What the frame is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.header.kind()
    }

    /// Checks whether a link of this level carries such a frame, for messages, whose level no
    /// decoder knows. `Ok(false)` says that it does, and that whoever does not know the kind skips
    /// it.
    ///
    /// # Errors
    /// [`DecodeError::UnknownKind`] on a level 3 link, final for the connection.
    ///
    /// ```
    /// use daffi_wire::{CallId, DecodeError, FormatId, Frame, Header, Kind, Level, Limits};
    /// let header = Header::new(Kind::from_number(12), CallId(2), FormatId::OPAQUE, false, false);
    /// let frame = Frame::new(header, "a", "b", "", b"", &Limits::default())?;
    /// assert_eq!(frame.check_level(Level::FOUR), Ok(false));
    /// assert_eq!(frame.check_level(Level::THREE), Err(DecodeError::UnknownKind(12)));
    /// # Ok::<(), daffi_wire::EncodeError>(())
    /// ```
    pub const fn check_level(&self, link: Level) -> Result<bool, DecodeError> {
        let kind = self.kind();
        if !link.at_least(kind.min_level()) {
            return Err(DecodeError::UnknownKind(kind.number()));
        }
        Ok(!matches!(kind, Kind::Unknown(_)))
    }

    /// Takes the extensions that a frame of a level 4 link may have before its payload; from then
    /// on [`payload`](Self::payload) is what stands behind them. A frame that has none says
    /// nothing. Call it on level 4 links only: at level 3 such a frame is all payload.
    ///
    /// # Errors
    /// [`ExtensionError`]; the frame is then as it was. The call is to be refused, and the
    /// connection goes on.
    ///
    /// ```
    /// use daffi_wire::{CallId, Extensions, FormatId, Frame, FrameWriter, Header, Kind, Limits};
    /// let (limits, mut bytes) = (Limits::default(), bytes::BytesMut::new());
    /// let header = Header::new(Kind::Request, CallId(2), FormatId::OPAQUE, false, true);
    /// let said = Extensions::builder().time_left_ms(300).build()?;
    /// let mut writer = FrameWriter::begin(&mut bytes, "cli", "svc", "add")?;
    /// writer.extensions(&said);
    /// writer.body().extend_from_slice(b"payload");
    /// writer.finish(header, 0, &limits)?;
    ///
    /// let mut frame = Frame::from_message(bytes.freeze(), &limits)?;
    /// assert_eq!(frame.take_extensions()?, said);
    /// assert_eq!((frame.method(), frame.payload()), ("add", &b"payload"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_extensions(&mut self) -> Result<Extensions, ExtensionError> {
        let Some(block) = self.block()? else { return Ok(Extensions::default()) };
        let (said, end) = (Extensions::read(self.bytes.slice(block.clone()))?, block.end);
        self.body = offset(end);
        Ok(said)
    }

    /// What of the call passes in DATA, as the extensions of this frame say, which stay where they
    /// are. For a Router: who takes the extensions reads them.
    ///
    /// # Errors
    /// [`ExtensionError`] when the extensions cannot be read.
    pub fn in_data(&self) -> Result<Option<InData>, ExtensionError> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.len() == extensions::TIME_LEFT.len() + 4
            && self.bytes[block.clone()].starts_with(&extensions::TIME_LEFT)
        {
            // The usual block says no more than how much time is left.
            return Ok(None);
        }
        let said = InData::of(&Extensions::read(self.bytes.slice(block))?);
        Ok((said.stream != StreamFlags::default() || said.body.is_some()).then_some(said))
    }

    /// How many milliseconds the call may wait until somebody exposes its callback, as the
    /// extensions of this frame say, which stay where they are. For a Router. `None`: it does not
    /// wait, or does not say for how long.
    ///
    /// # Errors
    /// [`ExtensionError`] when the extensions cannot be read.
    pub fn waits_for_receiver(&self) -> Result<Option<u32>, ExtensionError> {
        let Some(block) = self.block()? else { return Ok(None) };
        let said = Extensions::read(self.bytes.slice(block))?;
        Ok(said.time_left_ms().filter(|_| said.waits_for_receiver()))
    }

    /// The same call with another payload and without extensions, as its reader sees it. One that
    /// is larger than any frame may be never travels.
    #[must_use]
    pub fn with_payload(&self, payload: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(self.head().len() + payload.len());
        bytes.put_slice(self.head());
        bytes.put_slice(payload);
        self.of_whole(bytes)
    }

    /// What a whole body makes of the frame that had its first part: `bytes` has the head of this
    /// one, and behind it all of the body. One that is larger than any frame may be never travels,
    /// and the lengths in its header say nothing.
    pub(crate) fn of_whole(&self, mut bytes: BytesMut) -> Self {
        let names = usize::from(self.names_end);
        let header = self.header.with_extensions(false);
        let payload = bytes.len() - names;
        if names - Header::LEN + payload <= MAX_MESSAGE_BYTES {
            bytes[..Header::LEN].copy_from_slice(&header.encode_trusted(names - Header::LEN, payload));
        }
        Self { header, bytes: bytes.freeze(), body: self.names_end, ..*self }
    }

    /// Header and names as they stand before a payload.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[..self.names_end.into()]
    }

    /// Where the extensions are, without their length, as long as they were not taken.
    pub(crate) fn block(&self) -> Result<Option<Range<usize>>, ExtensionError> {
        if !self.header.has_extensions() || self.body != self.names_end {
            return Ok(None);
        }
        let from = usize::from(self.names_end) + 2;
        let behind = &self.bytes[self.names_end.into()..];
        let have = behind.len();
        let Some(length) = behind.first_chunk() else { return Err(ExtensionError::Cut { have, need: 2 }) };
        let size = usize::from(u16::from_le_bytes(*length));
        if size > MAX_EXTENSION_BYTES {
            return Err(ExtensionError::TooLong { size, limit: MAX_EXTENSION_BYTES });
        }
        if size > have - 2 {
            return Err(ExtensionError::Cut { have, need: size + 2 });
        }
        Ok(Some(from..from + size))
    }

    /// The frame as it passes from a level 4 link to one of level 3, which carries no extensions.
    ///
    /// # Errors
    /// [`ExtensionError`] when the extensions cannot be told from the payload.
    ///
    /// ```
    /// use daffi_wire::{CallId, Extensions, FormatId, Frame, FrameWriter, Header, Kind, Limits};
    /// let (limits, mut bytes) = (Limits::default(), bytes::BytesMut::new());
    /// let header = Header::new(Kind::Request, CallId(2), FormatId::OPAQUE, false, true);
    /// let mut writer = FrameWriter::begin(&mut bytes, "cli", "svc", "add")?;
    /// writer.extensions(&Extensions::builder().header("tenant", "blue")?.build()?);
    /// writer.body().extend_from_slice(b"payload");
    /// writer.finish(header, 0, &limits)?;
    /// let frame = Frame::from_message(bytes.freeze(), &limits)?;
    ///
    /// let plain = Frame::new(header, "cli", "svc", "add", b"payload", &limits)?;
    /// assert_eq!(frame.into_level_three()?, plain);
    /// assert_eq!(plain.clone().into_level_three()?, plain);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_level_three(self) -> Result<Self, ExtensionError> {
        let Some(block) = self.block()? else { return Ok(self) };
        let (names, payload) = (Header::LEN..self.names_end.into(), &self.bytes[block.end..]);
        let header = self.header.with_extensions(false);
        let mut bytes = BytesMut::with_capacity(usize::from(self.names_end) + payload.len());
        bytes.put_slice(&header.encode_trusted(names.len(), payload.len()));
        bytes.put_slice(&self.bytes[names]);
        bytes.put_slice(payload);
        Ok(Self { header, bytes: bytes.freeze(), ..self })
    }

    /// The frame as it passes from a level 3 link to one of level 4, where the last bit of the
    /// header has a meaning that its sender did not know.
    ///
    /// ```
    /// use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
    /// let header = Header::new(Kind::Request, CallId(2), FormatId::OPAQUE, false, true).with_extensions(true);
    /// let frame = Frame::new(header, "cli", "svc", "add", b"payload", &Limits::default())?;
    /// let raised = frame.clone().into_level_four();
    /// assert!(frame.header().has_extensions() && !raised.header().has_extensions());
    /// assert_eq!(raised.payload(), b"payload");
    /// # Ok::<(), daffi_wire::EncodeError>(())
    /// ```
    #[must_use]
    pub fn into_level_four(self) -> Self {
        if !self.header.has_extensions() {
            return self;
        }
        let header = self.header.with_extensions(false);
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[..Header::LEN].copy_from_slice(
            &header.encode_trusted(
                usize::from(self.names_end) - Header::LEN,
                self.bytes.len() - usize::from(self.names_end),
            ),
        );
        Self { header, bytes: bytes.freeze(), ..self }
    }

    /// The same frame after it was held for so long: what its extensions say is left until the
    /// caller gives up is less, down to nothing. A frame that does not say is as it was.
    #[must_use]
    pub fn with_less_time(self, time: Duration) -> Self {
        let at = match self.block() {
            Ok(Some(block)) if self.bytes[block.clone()].starts_with(&extensions::TIME_LEFT) => {
                block.start + extensions::TIME_LEFT.len()
            }
            _ => return self,
        };
        let mut bytes = BytesMut::from(&self.bytes[..]);
        if let Some(left) = bytes.get_mut(at..at + 4) {
            let before = u32::from_le_bytes([left[0], left[1], left[2], left[3]]);
            let held = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            left.copy_from_slice(&before.saturating_sub(held).to_le_bytes());
        }
        Self { bytes: bytes.freeze(), ..self }
    }

    /// The first name: who sent it. A frame of an unknown kind has no names.
    #[must_use]
    pub fn transmitter(&self) -> &str {
        self.text(Header::LEN, self.first.into())
    }

    /// Whether the first name is this one. Cheaper than to compare
    /// [`transmitter`](Self::transmitter).
    #[must_use]
    pub fn is_from(&self, name: &str) -> bool {
        self.bytes[Header::LEN..self.first.into()] == *name.as_bytes()
    }

    /// The second name: who shall get it.
    #[must_use]
    pub fn receiver(&self) -> &str {
        self.text(usize::from(self.first) + 1, self.second.into())
    }

    /// The third name: the callback.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text(usize::from(self.second) + 1, self.names_end.into())
    }

    /// Whether the second name is this one. Cheaper than to compare [`receiver`](Self::receiver).
    #[must_use]
    pub fn is_to(&self, name: &str) -> bool {
        self.bytes.get(usize::from(self.first) + 1..self.second.into()) == Some(name.as_bytes())
    }

    /// Whether the third name is this one. Cheaper than to compare [`method`](Self::method).
    #[must_use]
    pub fn calls(&self, name: &str) -> bool {
        self.bytes.get(usize::from(self.second) + 1..self.names_end.into()) == Some(name.as_bytes())
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.body)..]
    }

    /// The payload as shared bytes, without copying.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        self.bytes.slice(usize::from(self.body)..)
    }

    /// The payload as shared bytes, without copying and without another share.
    #[must_use]
    pub fn into_payload(mut self) -> Bytes {
        self.bytes.advance(self.body.into());
        self.bytes
    }

    /// Copies the whole frame, under another call number.
    #[must_use]
    pub fn with_id(&self, id: CallId) -> Self {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        Header::renumber(&mut bytes, id);
        Self { header: self.header.with_id(id), bytes: bytes.freeze(), ..*self }
    }

    /// The same frame in memory of its own, of just its size. What was read from a stream shares
    /// the memory of what was read with it, and a small frame keeps all of that alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..*self }
    }

    /// The whole frame as it travels.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole frame as it travels.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    fn text(&self, from: usize, to: usize) -> &str {
        // A frame of an unknown kind has no names, and says so by offsets that leave no room for
        // any.
        let name = self.bytes.get(from..to).unwrap_or_default();
        std::str::from_utf8(name).expect("the metadata was checked to be UTF-8 when the frame was made")
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind())
            .field("id", &self.header.id())
            .field("transmitter", &self.transmitter())
            .field("receiver", &self.receiver())
            .field("method", &self.method())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// Where the two separators are, in metadata that keeps the rules. Looks at eight bytes at a time.
fn separators(metadata: &[u8]) -> Result<(usize, usize), DecodeError> {
    let (mut at, mut found, mut any) = ([0; 2], 0, 0);
    let mut look = |word: u64, from: usize| {
        any |= word;
        let mut hits = equal_bytes(word, b'|');
        while hits != 0 {
            if let Some(at) = at.get_mut(found) {
                *at = from + hits.trailing_zeros() as usize / 8;
            }
            found += 1;
            hits &= hits - 1;
        }
    };
    let (words, rest) = metadata.as_chunks();
    for (n, word) in words.iter().enumerate() {
        look(u64::from_le_bytes(*word), 8 * n);
    }
    look(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)), 8 * words.len());
    // Names are ASCII most of the time, and to see that is cheaper.
    if any & 0x8080_8080_8080_8080 != 0 {
        std::str::from_utf8(metadata).map_err(|e| DecodeError::NamesNotUtf8(e.valid_up_to()))?;
    }
    if found == 2 { Ok((at[0], at[1])) } else { Err(DecodeError::Separators(found)) }
}

/// The top bit of each byte of `word` that equals `byte`.
const fn equal_bytes(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differs = word ^ u64::from_le_bytes([byte; 8]);
    !(((differs & LOW) + LOW) | differs | LOW)
}

/// Offsets stay below 9 + 32 767 + 2 + 8 192.
pub(crate) fn offset(at: usize) -> u16 {
    u16::try_from(at).expect("header, metadata and extensions are below 65 536 bytes together")
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;

//! The extension block: what a call carries beside names and payload (level 4).

use std::{fmt, str};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{ExtensionError, TraceParent, varint};

/// The most bytes of a block, without the two of its length.
pub const MAX_EXTENSION_BYTES: usize = 8 * 1024;

/// What a sender leaves free in a block and in its frame, so that a Router can add what it has to
/// say.
pub const EXTENSION_ROOM: usize = 512;

/// The most bytes that the keys and values of all headers of a call take together.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;

/// The most bytes of a trace state.
pub const MAX_TRACE_STATE_BYTES: usize = 512;

/// The most bytes of a trace state, and of an identity.
const MAX_TEXT_BYTES: usize = MAX_TRACE_STATE_BYTES;

pub(crate) mod tag {
    pub(super) const TIME_LEFT: u8 = 1;
    pub(super) const TRACE: u8 = crate::TraceParent::TAG;
    pub(super) const TRACE_STATE: u8 = 3;
    pub(super) const BODY: u8 = 4;
    pub(super) const STREAM: u8 = 5;
    pub(super) const WINDOW: u8 = 6;
    pub(super) const HEADER: u8 = 7;
    pub(crate) const IDENTITY: u8 = 8;
    pub(super) const WAIT: u8 = 10;
    /// From here on a tag that a reader does not know is skipped; one below is refused.
    pub(super) const SKIPPED: u8 = 128;
    pub(crate) const OF_CALLBACK: u8 = 128;
}

/// What a block says of a body, before the eight bytes of its length.
pub(crate) const BODY: [u8; 2] = [tag::BODY, 8];

/// How a block begins that says how much time is left, before the four bytes of the milliseconds.
pub(crate) const TIME_LEFT: [u8; 2] = [tag::TIME_LEFT, 4];

/// What streams beside a REQUEST or RESPONSE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamFlags {
    /// DATA with items follows.
    pub items_follow: bool,
    /// Of a REQUEST: the caller takes the results one by one.
    pub takes_results: bool,
}

/// The extensions of one REQUEST, RESPONSE or ERROR, checked: the bytes of the block and what they
/// say.
///
/// ```
/// use daffi_wire::Extensions;
/// let said = Extensions::builder().time_left_ms(300).header("tenant", "blue")?.build()?;
/// let read = Extensions::read(said.as_bytes().clone())?;
/// assert_eq!(read, said);
/// assert_eq!(read.time_left_ms(), Some(300));
/// assert_eq!(read.headers().collect::<Vec<_>>(), [("tenant", "blue")]);
/// # Ok::<(), daffi_wire::ExtensionError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    bytes: Bytes,
    time_left_ms: Option<u32>,
    trace: Option<TraceParent>,
    body: Option<u64>,
    stream: StreamFlags,
    window: Option<u32>,
    has_headers: bool,
    waits: bool,
    is_of_callback: bool,
    has_identity: bool,
}

impl Extensions {
    /// Starts a block.
    pub fn builder() -> ExtensionsBuilder {
        ExtensionsBuilder { said: Self::default(), texts: BytesMut::new(), header_bytes: 0 }
    }

    /// Reads a block, without the two bytes of its length.
    ///
    /// # Errors
    /// [`ExtensionError`]. The call that carries the block is refused; the connection goes on.
    pub fn read(bytes: Bytes) -> Result<Self, ExtensionError> {
        let mut said = Self::default();
        let (mut seen, mut header_bytes) = (0_u16, 0);
        for (at, entry) in Entries(&bytes).enumerate() {
            let Entry { tag, value } = entry?;
            if (1..=10).contains(&tag) && tag != tag::HEADER {
                let bit = 1 << tag;
                if seen & bit != 0 {
                    return Err(ExtensionError::Doubled(tag));
                }
                seen |= bit;
            }
            match tag {
                tag::TIME_LEFT if at > 0 => return Err(ExtensionError::NotFirst),
                tag::TIME_LEFT => said.time_left_ms = Some(u32::from_le_bytes(exact(tag, value)?)),
                tag::TRACE => said.trace = Some(TraceParent::read(exact(tag, value)?)?),
                tag::BODY => said.body = Some(u64::from_le_bytes(exact(tag, value)?)),
                tag::STREAM => {
                    let [bits] = exact(tag, value)?;
                    said.stream = StreamFlags { items_follow: bits & 1 != 0, takes_results: bits & 2 != 0 };
                }
                tag::WINDOW => said.window = Some(u32::from_le_bytes(exact(tag, value)?)),
                tag::HEADER => {
                    let (key, text) = header_pair(value).ok_or(ExtensionError::Value(tag))?;
                    said.has_headers = true;
                    header_bytes += key.len() + text.len();
                    if header_bytes > MAX_HEADER_BYTES {
                        return Err(ExtensionError::Headers { size: header_bytes, limit: MAX_HEADER_BYTES });
                    }
                }
                tag::TRACE_STATE | tag::IDENTITY => {
                    said.has_identity |= tag == tag::IDENTITY;
                    if value.len() > MAX_TEXT_BYTES || str::from_utf8(value).is_err() {
                        return Err(ExtensionError::Value(tag));
                    }
                }
                tag::WAIT => {
                    let [] = exact(tag, value)?;
                    said.waits = true;
                }
                tag::SKIPPED.. => said.is_of_callback |= tag == tag::OF_CALLBACK,
                _ => return Err(ExtensionError::Unsupported(tag)),
            }
        }
        if bytes.len() > MAX_EXTENSION_BYTES {
            return Err(ExtensionError::TooLong { size: bytes.len(), limit: MAX_EXTENSION_BYTES });
        }
        Ok(Self { bytes, ..said })
    }

    /// The block as it travels, without the two bytes of its length.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same extensions in memory of their own. What was read shares the memory of its frame,
    /// and of all that was read with it.
    #[must_use]
    pub fn to_unshared(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..self.clone() }
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left of the caller's deadline, in milliseconds, when the frame was sent.
    #[must_use]
    pub const fn time_left_ms(&self) -> Option<u32> {
        self.time_left_ms
    }

    /// The trace that the call belongs to.
    #[must_use]
    pub const fn trace(&self) -> Option<TraceParent> {
        self.trace
    }

    /// What the systems on the way noted of the trace.
    #[must_use]
    pub fn trace_state(&self) -> Option<&str> {
        self.text(tag::TRACE_STATE)
    }

    /// All bytes of a body whose first part this frame holds; DATA has the rest.
    #[must_use]
    pub const fn body(&self) -> Option<u64> {
        self.body
    }

    /// What streams beside this frame.
    #[must_use]
    pub const fn stream(&self) -> StreamFlags {
        self.stream
    }

    /// The bytes of DATA that may come in the other direction before there is credit for more.
    #[must_use]
    pub const fn window(&self) -> Option<u32> {
        self.window
    }

    /// The user's keys and values, in the order in which they were set.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries().filter(|entry| entry.tag == tag::HEADER).filter_map(|entry| header_pair(entry.value))
    }

    /// Whether there are any, without looking through the block again.
    #[must_use]
    pub const fn has_headers(&self) -> bool {
        self.has_headers
    }

    /// Whether one says who calls, without looking through the block again.
    #[must_use]
    pub const fn has_identity(&self) -> bool {
        self.has_identity
    }

    /// The authenticated caller, as a Router says. What a caller writes there itself is worth
    /// nothing.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        self.text(tag::IDENTITY)
    }

    /// Of an ERROR: whether a callback gave it, whatever its class is called, so that it is no
    /// refusal of the call.
    #[must_use]
    pub const fn is_of_callback(&self) -> bool {
        self.is_of_callback
    }

    /// Whether the call waits at a Router until somebody exposes its callback.
    #[must_use]
    pub const fn waits_for_receiver(&self) -> bool {
        self.waits
    }

    fn text(&self, tag: u8) -> Option<&str> {
        self.entries().find(|entry| entry.tag == tag).and_then(|entry| str::from_utf8(entry.value).ok())
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        // The block was checked when this value was made.
        Entries(&self.bytes).flatten()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of headers may be secrets, and stay out of logs.
        f.debug_struct("Extensions")
            .field("bytes", &self.bytes.len())
            .field("time_left_ms", &self.time_left_ms)
            .field("trace", &self.trace)
            .field("body", &self.body)
            .field("stream", &self.stream)
            .field("window", &self.window)
            .field("waits", &self.waits)
            .field("is_of_callback", &self.is_of_callback)
            .field("headers", &self.headers().map(|(key, _)| key).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Gathers the extensions of one frame.
#[derive(Clone, Debug)]
#[must_use]
pub struct ExtensionsBuilder {
    said: Extensions,
    /// The entries with texts, as they travel.
    texts: BytesMut,
    header_bytes: usize,
}

impl ExtensionsBuilder {
    /// Sets what is left of the deadline, in milliseconds. Round up: a callee must not give up
    /// before its caller does.
    pub const fn time_left_ms(mut self, ms: u32) -> Self {
        self.said.time_left_ms = Some(ms);
        self
    }

    /// Sets the trace.
    pub const fn trace(mut self, parent: TraceParent) -> Self {
        self.said.trace = Some(parent);
        self
    }

    /// Sets the trace state.
    ///
    /// # Errors
    /// [`ExtensionError::Value`] when it is longer than 512 bytes, or was set before.
    pub fn trace_state(self, state: &str) -> Result<Self, ExtensionError> {
        self.put_text(tag::TRACE_STATE, state)
    }

    /// Sets the bytes of the whole body of which this frame holds a part.
    pub const fn body(mut self, bytes: u64) -> Self {
        self.said.body = Some(bytes);
        self
    }

    /// Sets what streams beside this frame.
    pub const fn stream(mut self, flags: StreamFlags) -> Self {
        self.said.stream = flags;
        self
    }

    /// Sets the bytes of DATA that may come in the other direction before there is credit for more.
    pub const fn window(mut self, bytes: u32) -> Self {
        self.said.window = Some(bytes);
        self
    }

    /// Has the call wait at a Router until somebody exposes its callback, for as long as there is
    /// time left.
    pub const fn wait_for_receiver(mut self) -> Self {
        self.said.waits = true;
        self
    }

    /// Adds a key and value of the user's. The same key may be added again.
    ///
    /// # Errors
    /// [`ExtensionError::HeaderKey`] when the key is empty or longer than 255 bytes;
    /// [`ExtensionError::Headers`] when all together exceed [`MAX_HEADER_BYTES`].
    pub fn header(mut self, key: &str, value: &str) -> Result<Self, ExtensionError> {
        let length = u8::try_from(key.len()).ok().filter(|length| *length > 0);
        let length = length.ok_or(ExtensionError::HeaderKey { size: key.len() })?;
        let size = 1 + key.len() + value.len();
        self.header_bytes += key.len() + value.len();
        if self.header_bytes > MAX_HEADER_BYTES {
            return Err(ExtensionError::Headers { size: self.header_bytes, limit: MAX_HEADER_BYTES });
        }
        self.texts.put_u8(tag::HEADER);
        varint::put(&mut self.texts, size);
        self.texts.put_u8(length);
        self.texts.put_slice(key.as_bytes());
        self.texts.put_slice(value.as_bytes());
        Ok(self)
    }

    /// Sets the authenticated caller; for Routers.
    ///
    /// # Errors
    /// [`ExtensionError::Value`] when it is longer than 512 bytes, or was set before.
    pub fn identity(self, identity: &str) -> Result<Self, ExtensionError> {
        let said = Extensions { has_identity: true, ..self.said.clone() };
        Self { said, ..self }.put_text(tag::IDENTITY, identity)
    }

    fn put_text(mut self, tag: u8, text: &str) -> Result<Self, ExtensionError> {
        let is_new = Entries(&self.texts).flatten().all(|entry| entry.tag != tag);
        if text.len() > MAX_TEXT_BYTES || !is_new {
            return Err(ExtensionError::Value(tag));
        }
        put(&mut self.texts, tag, text.as_bytes());
        Ok(self)
    }

    /// The block.
    ///
    /// # Errors
    /// [`ExtensionError::TooLong`] when it leaves less than [`EXTENSION_ROOM`] of
    /// [`MAX_EXTENSION_BYTES`].
    pub fn build(self) -> Result<Extensions, ExtensionError> {
        let (said, mut bytes) = (self.said, BytesMut::new());
        if let Some(ms) = said.time_left_ms {
            put(&mut bytes, tag::TIME_LEFT, &ms.to_le_bytes());
        }
        if let Some(parent) = said.trace {
            put(&mut bytes, tag::TRACE, &parent.bytes());
        }
        if let Some(total) = said.body {
            put(&mut bytes, tag::BODY, &total.to_le_bytes());
        }
        if said.stream != StreamFlags::default() {
            let bits = u8::from(said.stream.items_follow) | u8::from(said.stream.takes_results) << 1;
            put(&mut bytes, tag::STREAM, &[bits]);
        }
        if let Some(window) = said.window {
            put(&mut bytes, tag::WINDOW, &window.to_le_bytes());
        }
        if said.waits {
            put(&mut bytes, tag::WAIT, &[]);
        }
        bytes.put_slice(&self.texts);
        let (size, limit) = (bytes.len(), MAX_EXTENSION_BYTES - EXTENSION_ROOM);
        if size > limit {
            return Err(ExtensionError::TooLong { size, limit });
        }
        let has_headers = self.header_bytes > 0;
        Ok(Extensions { bytes: bytes.freeze(), has_headers, ..said })
    }
}

pub(crate) fn put(to: &mut BytesMut, tag: u8, value: &[u8]) {
    to.put_u8(tag);
    varint::put(to, value.len());
    to.put_slice(value);
}

pub(crate) struct Entry<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
}

/// The entries of a block that may be anything. After an error nothing follows.
pub(crate) struct Entries<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, ExtensionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = self.0.split_first()?;
        self.0 = &[];
        let Some((length, of_length)) = varint::read(rest).filter(|(_, of_length)| *of_length <= 2) else {
            return Some(Err(ExtensionError::Length(*tag)));
        };
        let Some((value, rest)) = rest[of_length..].split_at_checked(length) else {
            return Some(Err(ExtensionError::Truncated(*tag)));
        };
        self.0 = rest;
        Some(Ok(Entry { tag: *tag, value }))
    }
}

fn exact<const N: usize>(tag: u8, value: &[u8]) -> Result<[u8; N], ExtensionError> {
    value.try_into().map_err(|_| ExtensionError::Value(tag))
}

/// The key and value of a HEADER: the length of the key in one byte, the key, and the value up to
/// the end.
fn header_pair(value: &[u8]) -> Option<(&str, &str)> {
    let (length, rest) = value.split_first()?;
    let (key, value) = rest.split_at_checked((*length).into())?;
    Some((str::from_utf8(key).ok().filter(|key| !key.is_empty())?, str::from_utf8(value).ok()?))
}

#[cfg(test)]
#[path = "extensions_tests.rs"]
mod tests;

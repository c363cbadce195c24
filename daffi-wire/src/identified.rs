//! What a Router says in a request of who calls ([level 4](crate::level_four#who-calls)).

use bytes::{BufMut, BytesMut};

use crate::{
    EXTENSION_ROOM, ExtensionError, Frame, Header, Limits, MAX_EXTENSION_BYTES,
    extensions::{Entries, Entry, put, tag::IDENTITY},
};

/// The most bytes of an identity that a Router writes: they fit into the room that senders leave,
/// with tag and length.
pub const MAX_IDENTITY_BYTES: usize = EXTENSION_ROOM - 8;

impl Frame {
    /// The same request as a Router passes it to a receiver that asked who calls: its extensions
    /// say this, or nothing, in the place of what its caller wrote there.
    ///
    /// # Errors
    /// [`ExtensionError`] when the extensions cannot be read, or block or frame have no room.
    ///
    /// ```
    /// use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
    /// let limits = Limits::default();
    /// let header = Header::new(Kind::Request, CallId(2), FormatId::OPAQUE, false, true);
    /// let plain = Frame::new(header, "cli", "svc", "add", b"payload", &limits)?;
    /// let mut told = plain.with_identity(Some("uid:1000"), &limits)?;
    /// assert_eq!(told.clone().into_level_three()?, plain);
    /// assert_eq!(told.credit_bytes(), plain.credit_bytes());
    /// assert_eq!(told.with_identity(None, &limits)?, plain);
    /// assert_eq!(told.take_extensions()?.identity(), Some("uid:1000"));
    /// assert_eq!(told.payload(), b"payload");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_identity(&self, identity: Option<&str>, limits: &Limits) -> Result<Self, ExtensionError> {
        let (all, head) = (self.as_bytes(), self.head());
        let (old, payload) = match self.block()? {
            Some(block) => (&all[block.clone()], &all[block.end..]),
            None => (&[][..], &all[head.len()..]),
        };
        let block = write_block(old, identity)?;
        let of_block = if block.is_empty() { 0 } else { 2 + block.len() };
        let names = &head[Header::LEN..];
        let header = self.header().with_extensions(of_block > 0);
        let mut bytes = BytesMut::with_capacity(head.len() + of_block + payload.len());
        let no_room = || ExtensionError::TooLong { size: of_block, limit: limits.max_frame_bytes };
        bytes.put_slice(&header.encode(names.len(), of_block + payload.len(), limits).map_err(|_| no_room())?);
        bytes.put_slice(names);
        if of_block > 0 {
            bytes.put_u16_le(u16::try_from(block.len()).unwrap_or(u16::MAX));
            bytes.put_slice(&block);
        }
        bytes.put_slice(payload);
        Self::from_message(bytes.freeze(), limits).map_err(|_| no_room())
    }

    /// The bytes for which a request that wants no answer costs its sender credit: its payload with
    /// its extensions, but for what says who calls. Routers replace that, so sender, Routers and
    /// receiver count the same. A block that says nothing else counts with none of its bytes. To be
    /// asked before the extensions are [taken](Self::take_extensions).
    ///
    /// ```
    /// use daffi_wire::{CallId, Extensions, FormatId, FrameWriter, Header, Kind, Limits};
    /// let (limits, mut bytes) = (Limits::default(), bytes::BytesMut::new());
    /// let mut writer = FrameWriter::begin(&mut bytes, "cli", "svc", "add")?;
    /// writer.extensions(&Extensions::builder().header("tenant", "blue")?.build()?);
    /// writer.body().extend_from_slice(b"payload");
    /// let header = Header::new(Kind::Request, CallId(2), FormatId::OPAQUE, false, false);
    /// writer.finish(header, 0, &limits)?;
    /// let frame = daffi_wire::Frame::from_message(bytes.freeze(), &limits)?;
    /// assert_eq!(frame.credit_bytes(), 2 + 13 + 7);
    /// assert_eq!(frame.with_identity(Some("uid:1000"), &limits)?.credit_bytes(), 2 + 13 + 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn credit_bytes(&self) -> usize {
        let all = self.payload().len();
        match self.block() {
            Ok(Some(block)) => all.saturating_sub(of_identity(&self.as_bytes()[block])),
            _ => all,
        }
    }
}

/// A block with this identity in the place of what it says there, or with none.
fn write_block(block: &[u8], identity: Option<&str>) -> Result<BytesMut, ExtensionError> {
    let mut bytes = BytesMut::with_capacity(block.len() + EXTENSION_ROOM);
    for entry in Entries(block) {
        let Entry { tag, value } = entry?;
        if tag != IDENTITY {
            put(&mut bytes, tag, value);
        }
    }
    if let Some(identity) = identity {
        if identity.len() > MAX_IDENTITY_BYTES {
            return Err(ExtensionError::Value(IDENTITY));
        }
        put(&mut bytes, IDENTITY, identity.as_bytes());
    }
    match bytes.len() {
        size if size > MAX_EXTENSION_BYTES => Err(ExtensionError::TooLong { size, limit: MAX_EXTENSION_BYTES }),
        _ => Ok(bytes),
    }
}

/// The bytes of a frame that a block takes for saying who calls.
fn of_identity(block: &[u8]) -> usize {
    let entries = Entries(block).flatten().filter(|entry| entry.tag == IDENTITY);
    let bytes = entries.map(|Entry { value, .. }| 1 + if value.len() < 128 { 1 } else { 2 } + value.len()).sum();
    if bytes == block.len() { bytes + 2 } else { bytes }
}

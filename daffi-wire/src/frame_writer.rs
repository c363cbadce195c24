//! Writing a frame into a buffer: names, extensions, payload, and the header once all lengths are
//! known.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    BODY_PART_BYTES, EncodeError, Extensions, Header, Limits, extensions, frame::offset, limits::MAX_METADATA_BYTES,
};

/// Writes one frame at the end of a buffer: header and names first, then whatever the caller
/// appends.
///
/// Nothing before the frame is touched. Dropped without [`finish`](Self::finish), it removes what
/// it wrote.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    dst: &'a mut BytesMut,
    start: usize,
    first: u16,
    second: u16,
    metadata: usize,
    /// Bytes of the extensions and of their length.
    extensions: usize,
    done: bool,
}

impl<'a> FrameWriter<'a> {
    /// Starts a frame. See [`Frame::new`](crate::Frame::new) for what the names must be.
    ///
    /// # Errors
    /// [`EncodeError::MetadataTooLarge`] when the names do not fit.
    pub fn begin(dst: &'a mut BytesMut, transmitter: &str, receiver: &str, method: &str) -> Result<Self, EncodeError> {
        let metadata = transmitter.len().saturating_add(receiver.len()).saturating_add(method.len()).saturating_add(2);
        if metadata > MAX_METADATA_BYTES {
            return Err(EncodeError::MetadataTooLarge { size: metadata, limit: MAX_METADATA_BYTES });
        }
        let start = dst.len();
        // The lengths hold their largest value until `finish`, so that a forgotten patch fails
        // loudly.
        dst.put_slice(&[0xff; Header::LEN]);
        for part in [transmitter, "|", receiver, "|", method] {
            dst.put_slice(part.as_bytes());
        }
        let first = Header::LEN + transmitter.len();
        Ok(Self {
            dst,
            start,
            first: offset(first),
            second: offset(first + 1 + receiver.len()),
            metadata,
            extensions: 0,
            done: false,
        })
    }

    /// Writes extensions, for a frame of a level 4 link, before anything of the payload. Empty ones
    /// take no room.
    ///
    /// # Panics
    /// When something was written behind the names already.
    pub fn extensions(&mut self, said: &Extensions) {
        if said.is_empty() {
            return;
        }
        assert_eq!(self.payload_len(), 0, "extensions stand before the payload, and once");
        let bytes = said.as_bytes();
        self.dst.put_u16_le(u16::try_from(bytes.len()).expect("extensions were checked to be at most 8 192 bytes"));
        self.dst.put_slice(bytes);
        self.extensions = 2 + bytes.len();
    }

    /// Writes extensions that begin with what is left until the caller gives up, in milliseconds,
    /// before anything of the payload. `more` says nothing of it. Gives where in the buffer the
    /// four bytes of the time stand, LE, so that it can be set anew just before the frame is sent.
    ///
    /// # Panics
    /// When something was written behind the names already.
    pub fn time_left(&mut self, ms: u32, more: &Extensions) -> usize {
        assert_eq!(self.payload_len(), 0, "extensions stand before the payload, and once");
        let more = more.as_bytes();
        let size = extensions::TIME_LEFT.len() + 4 + more.len();
        self.dst.put_u16_le(u16::try_from(size).expect("a builder leaves room for the time in a block"));
        self.dst.put_slice(&extensions::TIME_LEFT);
        let at = self.dst.len();
        self.dst.put_u32_le(ms);
        self.dst.put_slice(more);
        self.extensions = 2 + size;
        at
    }

    /// Says behind the other extensions, if there are any, that the payload is the first part of a
    /// body of `total` bytes, the rest of which comes in DATA; before anything of the payload. What
    /// was written before says nothing of it.
    ///
    /// # Panics
    /// When something was written behind the names and extensions already.
    pub fn body_total(&mut self, total: u64) {
        assert_eq!(self.payload_len(), 0, "extensions stand before the payload");
        if self.extensions == 0 {
            self.dst.put_u16_le(0);
            self.extensions = 2;
        }
        self.dst.put_slice(&extensions::BODY);
        self.dst.put_u64_le(total);
        self.extensions += extensions::BODY.len() + 8;
        let size =
            u16::try_from(self.extensions - 2).expect("a builder leaves room for the length of a body in a block");
        let at = self.start + Header::LEN + self.metadata;
        self.dst[at..at + 2].copy_from_slice(&size.to_le_bytes());
    }

    /// Writes the first part of a body that is sent in several, with the word how long it is,
    /// before anything of the payload. Gives the rest, for DATA.
    ///
    /// # Panics
    /// When something was written behind the names and extensions already.
    pub fn first_part(&mut self, mut body: Bytes) -> Bytes {
        self.body_total(body.len() as u64);
        self.dst.put_slice(&body.split_to(body.len().min(BODY_PART_BYTES)));
        body
    }

    /// Returns the buffer that the payload is appended to; nothing else may be done to it.
    pub fn body(&mut self) -> &mut BytesMut {
        self.dst
    }

    /// Bytes that were appended so far.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.dst.len() - self.start - Header::LEN - self.metadata - self.extensions
    }

    pub(crate) fn offsets(&self) -> (u16, u16, u16) {
        (self.first, self.second, offset(Header::LEN + self.metadata))
    }

    /// Writes the header. `more` is the length of a payload part that the caller sends behind this
    /// buffer.
    ///
    /// # Errors
    /// [`EncodeError`] when the frame is too large; the buffer is then as it was before
    /// [`begin`](Self::begin).
    pub fn finish(mut self, header: Header, more: usize, limits: &Limits) -> Result<(), EncodeError> {
        let header = if self.extensions > 0 { header.with_extensions(true) } else { header };
        let behind = (self.extensions + self.payload_len()).saturating_add(more);
        let head = header.encode(self.metadata, behind, limits)?;
        self.dst[self.start..self.start + Header::LEN].copy_from_slice(&head);
        self.done = true;
        Ok(())
    }
}

impl Drop for FrameWriter<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.dst.truncate(self.start);
        }
    }
}

//! A body that travels in parts: the first in its REQUEST or RESPONSE, the rest in DATA (level 4).

use bytes::{BufMut, BytesMut};

use crate::{BodyError, Frame};

/// Payloads above this size are sent in parts where the link lets them, so that small calls never
/// wait behind more.
pub const SPLIT_FROM: usize = 1024 * 1024;

/// The most bytes of a body that its senders put into one frame: with its cost it fits the first
/// window.
pub const BODY_PART_BYTES: usize = 65_280;

/// The parts of one body as they come. All together make the frame that would have travelled, had
/// it been small enough.
///
/// Memory is taken as parts come, and never much more than came.
///
/// ```
/// use daffi_wire::{BodyParts, CallId, FormatId, Frame, FrameWriter, Header, InData, Kind, Limits};
/// let (limits, mut bytes) = (Limits::default(), bytes::BytesMut::new());
/// let header = Header::new(Kind::Response, CallId(2), FormatId::OPAQUE, false, false);
/// let mut writer = FrameWriter::begin(&mut bytes, "svc", "cli", "get")?;
/// writer.body_total(10);
/// writer.body().extend_from_slice(b"first");
/// writer.finish(header, 0, &limits)?;
/// let mut first = Frame::from_message(bytes.freeze(), &limits)?;
///
/// let said = InData::of(&first.take_extensions()?);
/// let mut parts = BodyParts::begin(first, said.body.unwrap())?;
/// parts.push(b"and")?;
/// assert_eq!(parts.missing(), 2);
/// parts.push(b"so")?;
/// assert_eq!(parts.finish()?, Frame::new(header, "svc", "cli", "get", b"firstandso", &limits)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BodyParts {
    /// The frame of the first part, without a payload.
    first: Frame,
    /// Its header and names, and what came of the body.
    whole: BytesMut,
    total: u64,
}

impl BodyParts {
    /// Begins with a frame whose extensions were taken, and said that the body has `total` bytes.
    ///
    /// # Errors
    /// [`BodyError::Total`] when the frame has more of them.
    pub fn begin(first: Frame, total: u64) -> Result<Self, BodyError> {
        let (head, payload) = (BytesMut::from(first.head()), first.payload_bytes());
        // What was read with the first part must not stay for as long as the others take.
        let mut parts = Self { first: first.of_whole(head.clone()), whole: head, total };
        parts.push(&payload)?;
        Ok(parts)
    }

    /// Bytes of the whole body.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that are still to come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.total - self.len()
    }

    fn len(&self) -> u64 {
        (self.whole.len() - self.first.head().len()) as u64
    }

    /// Adds what comes next.
    ///
    /// # Errors
    /// [`BodyError::Total`] when that is more than is missing; nothing is added then.
    pub fn push(&mut self, part: &[u8]) -> Result<(), BodyError> {
        if part.len() as u64 > self.missing() {
            return Err(BodyError::Total { size: self.len() + part.len() as u64, total: self.total });
        }
        let len = self.whole.len() + part.len();
        if len > self.whole.capacity() {
            let all = usize::try_from(self.total).unwrap_or(usize::MAX).saturating_add(self.first.head().len());
            self.whole.reserve((2 * len).min(all) - self.whole.len());
        }
        self.whole.put_slice(part);
        Ok(())
    }

    /// The whole frame. One that is larger than [`Limits::max_frame_bytes`] is for its reader, and
    /// never travels.
    ///
    /// [`Limits::max_frame_bytes`]: crate::Limits::max_frame_bytes
    ///
    /// # Errors
    /// [`BodyError::Total`] when not all came.
    pub fn finish(self) -> Result<Frame, BodyError> {
        if self.missing() > 0 {
            return Err(BodyError::Total { size: self.len(), total: self.total });
        }
        Ok(self.first.of_whole(self.whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CallId, FormatId, Header, Kind, Limits, MAX_MESSAGE_BYTES};

    fn first(payload: &[u8]) -> Frame {
        let header = Header::new(Kind::Request, CallId(7), FormatId::OPAQUE, false, true);
        Frame::new(header, "a", "b", "f", payload, &Limits::default()).unwrap()
    }

    #[test]
    fn a_body_that_lies_about_its_total_is_refused() {
        assert!(matches!(BodyParts::begin(first(b"abc"), 2), Err(BodyError::Total { size: 3, total: 2 })));
        let mut parts = BodyParts::begin(first(b"abc"), 5).unwrap();
        assert!(matches!(parts.push(b"def"), Err(BodyError::Total { size: 6, total: 5 })));
        parts.push(b"d").unwrap();
        assert!(matches!(parts.finish(), Err(BodyError::Total { size: 4, total: 5 })));
    }

    #[test]
    fn memory_is_taken_as_parts_come() {
        let mut parts = BodyParts::begin(first(b"abc"), 1 << 40).unwrap();
        for _ in 0..20 {
            parts.push(&[7; 1000]).unwrap();
            assert!(parts.whole.capacity() < 4 * parts.whole.len() + 100, "{}", parts.whole.capacity());
        }
    }

    #[test]
    fn one_larger_than_any_frame_is_read_all_the_same() {
        let mut parts = BodyParts::begin(first(b""), MAX_MESSAGE_BYTES as u64).unwrap();
        parts.push(&vec![7; MAX_MESSAGE_BYTES]).unwrap();
        let whole = parts.finish().unwrap();
        assert_eq!((whole.method(), whole.transmitter(), whole.payload().len()), ("f", "a", MAX_MESSAGE_BYTES));
        assert!(!whole.header().has_extensions());
    }
}

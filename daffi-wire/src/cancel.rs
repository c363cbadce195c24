//! CANCEL: one end of an open call needs no more of the other (level 4).

use crate::{BodyError, CallId, EncodeError, FormatId, Frame, Header, Kind, Limits};

/// Why one end of an open call tells the other to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// The caller dropped the call.
    Dropped,
    /// The caller's deadline has passed.
    Deadline,
    /// The caller has left. Only a Router says this; with [`CallId::NONE`] it means all calls of
    /// that caller.
    CallerGone,
    /// The caller needs no further results.
    EnoughResults,
    /// The callee needs no further items.
    EnoughItems,
}

impl CancelReason {
    /// The number as it travels.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Dropped => 1,
            Self::Deadline => 2,
            Self::CallerGone => 3,
            Self::EnoughResults => 4,
            Self::EnoughItems => 5,
        }
    }

    /// Whether the caller's side says so, rather than the callee.
    #[must_use]
    pub const fn is_from_caller(self) -> bool {
        !matches!(self, Self::EnoughItems)
    }

    /// The reason of a number, by the direction of its frame. A number that has no meaning yet, or
    /// none in this direction, counts as the plainest reason: whoever says CANCEL needs no more.
    const fn read(number: u8, from_caller: bool) -> Self {
        match (from_caller, number) {
            (false, _) => Self::EnoughItems,
            (true, 2) => Self::Deadline,
            (true, 3) => Self::CallerGone,
            (true, 4) => Self::EnoughResults,
            (true, _) => Self::Dropped,
        }
    }
}

/// What a CANCEL frame says about the call with the number of its header. `return_result` is the
/// direction: 1 from the caller, 0 from the callee.
///
/// ```
/// use daffi_wire::{CallId, Cancel, CancelReason, Limits};
/// let cancel = Cancel { id: CallId(7), reason: CancelReason::Deadline };
/// let frame = cancel.frame("caller", "worker", &Limits::default())?;
/// assert_eq!(Cancel::read(&frame)?, cancel);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The call. [`CallId::NONE`] stands for all calls of a caller that has left, and with any
    /// other reason for none.
    pub id: CallId,
    /// Why.
    pub reason: CancelReason,
}

impl Cancel {
    /// The frame that says so.
    ///
    /// # Errors
    /// [`EncodeError`] when the names do not fit.
    pub fn frame(self, from: &str, to: &str, limits: &Limits) -> Result<Frame, EncodeError> {
        let direction = self.reason.is_from_caller();
        let header = Header::new(Kind::Cancel, self.id, FormatId::OPAQUE, false, direction);
        Frame::new(header, from, to, "", &[self.reason.number()], limits)
    }

    /// What a CANCEL frame says.
    ///
    /// # Errors
    /// [`BodyError`] when it is no CANCEL frame, or its body is not one byte.
    pub fn read(frame: &Frame) -> Result<Self, BodyError> {
        let (kind, body, header) = (frame.kind(), frame.payload(), frame.header());
        if kind != Kind::Cancel {
            return Err(BodyError::Kind(kind));
        }
        let &[number] = body else { return Err(BodyError::Length { kind, size: body.len(), expected: 1 }) };
        let reason = CancelReason::read(number, header.wants_reply());
        Ok(Self { id: header.id(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id: u16, from_caller: bool, body: &[u8]) -> Result<Cancel, BodyError> {
        let header = Header::new(Kind::Cancel, CallId(id), FormatId::OPAQUE, false, from_caller);
        Cancel::read(&Frame::new(header, "a", "b", "", body, &Limits::default()).unwrap())
    }

    #[test]
    fn the_bytes_of_a_cancel() {
        let frame =
            Cancel { id: CallId(7), reason: CancelReason::Deadline }.frame("a", "b", &Limits::default()).unwrap();
        assert_eq!(&frame.as_bytes()[..], b"\x07\0\xc6\x05\0\0\x08\0\x81a|b|\x02");
    }

    #[test]
    fn every_reason_is_read_as_it_was_written() {
        for number in 1..=5 {
            let from_caller = number != 5;
            let cancel = read(7, from_caller, &[number]).unwrap();
            assert_eq!((cancel.reason.number(), cancel.reason.is_from_caller()), (number, from_caller));
        }
        assert_eq!(read(7, true, &[200]).unwrap().reason, CancelReason::Dropped);
        assert_eq!(read(7, false, &[1]).unwrap().reason, CancelReason::EnoughItems);
    }

    #[test]
    fn what_is_no_cancel_is_refused() {
        assert!(matches!(read(7, true, b""), Err(BodyError::Length { size: 0, expected: 1, .. })));
        assert!(matches!(read(7, true, b"\x01\x01"), Err(BodyError::Length { size: 2, .. })));
        assert_eq!(read(0, true, b"\x01").unwrap().reason, CancelReason::Dropped, "of no call");
        assert_eq!(read(0, true, b"\x03").unwrap().reason, CancelReason::CallerGone);
        let other = Frame::new(Header::control(Kind::Events, CallId(1), true), "", "", "", b"\x01", &Limits::default());
        assert!(matches!(Cancel::read(&other.unwrap()), Err(BodyError::Kind(Kind::Events))));
    }
}

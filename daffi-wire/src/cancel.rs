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
    /// The caller has left. Only a Router says this. Of all calls of that caller it says so by
    /// [`CallerLeft`].
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
    /// The call. [`CallId::NONE`] stands for none: what such a frame says is a [`CallerLeft`].
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

/// What a CANCEL with [`CallId::NONE`] and the reason [`CancelReason::CallerGone`] says, about all
/// calls of one caller. `return_result` is the direction: 1 from a Router, 0 from who runs the
/// calls.
///
/// ```
/// use daffi_wire::{CallerLeft, Limits};
/// let told = CallerLeft::Told(7);
/// let frame = told.frame("caller", "worker", &Limits::default())?;
/// assert_eq!(CallerLeft::read(&frame)?, Some(told));
/// assert_eq!(told.answer(), Some(CallerLeft::Answered(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerLeft {
    /// The caller has left. Who hears it says the number back; 0 wants no answer.
    Told(u32),
    /// All is said about the calls of that caller that came before the word with this number.
    Answered(u32),
}

impl CallerLeft {
    /// The answer, to one that wants it.
    #[must_use]
    pub const fn answer(self) -> Option<Self> {
        match self {
            Self::Told(0) | Self::Answered(_) => None,
            Self::Told(number) => Some(Self::Answered(number)),
        }
    }

    /// The frame that says so: `from` the caller to who runs its calls, or back.
    ///
    /// # Errors
    /// [`EncodeError`] when the names do not fit.
    pub fn frame(self, from: &str, to: &str, limits: &Limits) -> Result<Frame, EncodeError> {
        let (number, direction) = match self {
            Self::Told(number) => (number, true),
            Self::Answered(number) => (number, false),
        };
        let mut body = [CancelReason::CallerGone.number(); 5];
        body[1..].copy_from_slice(&number.to_le_bytes());
        let header = Header::new(Kind::Cancel, CallId::NONE, FormatId::OPAQUE, false, direction);
        Frame::new(header, from, to, "", &body, limits)
    }

    /// What a CANCEL frame with [`CallId::NONE`] says. `None`: nothing, because it has another
    /// reason.
    ///
    /// # Errors
    /// [`BodyError`] when it is no CANCEL frame about all calls of a caller, or has no number.
    pub fn read(frame: &Frame) -> Result<Option<Self>, BodyError> {
        let (kind, body, header) = (frame.kind(), frame.payload(), frame.header());
        if kind != Kind::Cancel || header.id() != CallId::NONE {
            return Err(BodyError::Kind(kind));
        }
        match *body {
            [reason, a, b, c, d] if reason == CancelReason::CallerGone.number() => {
                let number = u32::from_le_bytes([a, b, c, d]);
                Ok(Some(if header.wants_reply() { Self::Told(number) } else { Self::Answered(number) }))
            }
            [reason] if reason != CancelReason::CallerGone.number() => Ok(None),
            _ => Err(BodyError::Length { kind, size: body.len(), expected: 5 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_word_that_a_caller_has_left() {
        let frame = CallerLeft::Told(0x0403_0201).frame("a", "b", &Limits::default()).unwrap();
        assert_eq!(&frame.as_bytes()[..], b"\0\0\xc6\x09\0\0\x08\0\x81a|b|\x03\x01\x02\x03\x04");
        for (direction, number) in [(true, 0), (true, u32::MAX), (false, 0), (false, 9)] {
            let says = if direction { CallerLeft::Told(number) } else { CallerLeft::Answered(number) };
            let frame = says.frame("a", "b", &Limits::default()).unwrap();
            assert_eq!(CallerLeft::read(&frame).unwrap(), Some(says));
            let wants = direction && number != 0;
            assert_eq!(says.answer(), wants.then_some(CallerLeft::Answered(number)));
        }
    }

    #[test]
    fn what_is_no_word_about_all_calls_of_a_caller_is_none() {
        let read = |id: u16, body: &[u8]| {
            let header = Header::new(Kind::Cancel, CallId(id), FormatId::OPAQUE, false, true);
            CallerLeft::read(&Frame::new(header, "a", "b", "", body, &Limits::default()).unwrap())
        };
        for reason in [0, 1, 2, 4, 5, 200] {
            assert_eq!(read(0, &[reason]).unwrap(), None, "of no call");
            assert!(matches!(read(0, &[reason, 1, 0, 0, 0]), Err(BodyError::Length { size: 5, .. })));
        }
        for body in [&b""[..], b"\x03", b"\x03\x01\0\0", b"\x03\x01\0\0\0\0"] {
            assert!(matches!(read(0, body), Err(BodyError::Length { expected: 5, .. })));
        }
        assert!(matches!(read(7, b"\x03\x01\0\0\0"), Err(BodyError::Kind(Kind::Cancel))));
    }

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
        let other = Frame::new(Header::control(Kind::Events, CallId(1), true), "", "", "", b"\x01", &Limits::default());
        assert!(matches!(Cancel::read(&other.unwrap()), Err(BodyError::Kind(Kind::Events))));
    }
}

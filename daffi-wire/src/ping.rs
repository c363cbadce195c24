//! PING: whether the other end of a link lives (level 4).

use crate::{BodyError, CallId, FormatId, Frame, Header, Kind, Limits};

/// A question to the other end of the link, or the answer to one. It travels one hop and is never
/// forwarded; a node answers beside its callbacks, so that only a process that stands still leaves
/// it unanswered.
///
/// ```
/// use daffi_wire::Ping;
/// let asked = Ping::Asks(*b"12345678");
/// assert_eq!(Ping::read(&asked.frame())?, asked);
/// assert_eq!(asked.answer(), Some(Ping::Answers(*b"12345678")));
/// assert_eq!(asked.answer().and_then(Ping::answer), None);
/// # Ok::<(), daffi_wire::BodyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// The bytes are to be sent back; `return_result` is 1.
    Asks([u8; Self::LEN]),
    /// The answer to a PING with these bytes; `return_result` is 0.
    Answers([u8; Self::LEN]),
}

impl Ping {
    /// Bytes of the body.
    pub const LEN: usize = 8;

    /// The answer to a question.
    #[must_use]
    pub const fn answer(self) -> Option<Self> {
        match self {
            Self::Asks(token) => Some(Self::Answers(token)),
            Self::Answers(_) => None,
        }
    }

    /// The frame.
    #[must_use]
    pub fn frame(self) -> Frame {
        let (token, asks) = match self {
            Self::Asks(token) => (token, true),
            Self::Answers(token) => (token, false),
        };
        let header = Header::new(Kind::Ping, CallId::NONE, FormatId::OPAQUE, false, asks);
        Frame::new(header, "", "", "", &token, &Limits::default()).expect("ten bytes fit into any frame")
    }

    /// What a PING frame is.
    ///
    /// # Errors
    /// [`BodyError`] when it is no PING frame, or its body has not 8 bytes.
    pub fn read(frame: &Frame) -> Result<Self, BodyError> {
        let (kind, body) = (frame.kind(), frame.payload());
        if kind != Kind::Ping {
            return Err(BodyError::Kind(kind));
        }
        let token = body.try_into().map_err(|_| BodyError::Length { kind, size: body.len(), expected: Self::LEN })?;
        Ok(if frame.header().wants_reply() { Self::Asks(token) } else { Self::Answers(token) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_question() {
        let frame = Ping::Asks(*b"abcdefgh").frame();
        assert_eq!(&frame.as_bytes()[..], b"\0\0\xc9\x0a\0\0\x04\0\x81||abcdefgh");
        let header = Header::new(Kind::Ping, CallId::NONE, FormatId::OPAQUE, false, true);
        for body in [&b"1234567"[..], b"123456789", b""] {
            let frame = Frame::new(header, "", "", "", body, &Limits::default()).unwrap();
            assert!(matches!(Ping::read(&frame), Err(BodyError::Length { expected: 8, .. })));
        }
    }
}

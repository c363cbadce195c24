//! CREDIT of one call: how much DATA its other end may send (level 4).

use crate::{
    BodyError, CallId, EncodeError, FormatId, Frame, Header, Kind, Limits, credit::window_beyond, credit_cost,
};

/// What a sender of DATA may have outstanding in each direction of a call before there is credit
/// for more, unless the call's WINDOW says otherwise.
pub const FIRST_CALL_WINDOW: u32 = 64 * 1024;

/// The largest window of one direction of a call; a larger one counts as this, at every hop.
pub const MAX_CALL_WINDOW: u32 = 4 * 1024 * 1024;

/// What a DATA frame that carries so many bytes costs; the same at every hop.
///
/// ```
/// assert_eq!(daffi_wire::data_cost(44), 300);
/// ```
#[must_use]
pub const fn data_cost(bytes: usize) -> u64 {
    credit_cost(bytes)
}

/// What one end of an open call takes of the DATA that the other sends, as totals since the call
/// began: a newer grant makes an older one void. `return_result` is the direction of the frame: 1
/// from the caller, who grants results, and 0 from the callee, who grants items.
///
/// ```
/// use daffi_wire::{CallCredit, CallId, Limits};
/// let credit = CallCredit::new(CallId(7), true, 300, 65_536)?;
/// assert_eq!(credit.limit(), 65_836);
/// let frame = credit.frame("caller", "worker", &Limits::default())?;
/// assert_eq!(CallCredit::read(&frame)?, credit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallCredit {
    id: CallId,
    from_caller: bool,
    worked_off: u64,
    window: u32,
}

/// Bytes of the body.
const LEN: usize = 12;

impl CallCredit {
    /// `worked_off`: what all DATA of that direction cost that the speaker is done with. `window`:
    /// what may be outstanding beyond it; above [`MAX_CALL_WINDOW`] it counts as that.
    ///
    /// # Errors
    /// [`BodyError::Overflow`] when both together are beyond 64 bits.
    pub fn new(id: CallId, from_caller: bool, worked_off: u64, window: u32) -> Result<Self, BodyError> {
        let window = window.min(MAX_CALL_WINDOW);
        match worked_off.checked_add(window.into()) {
            Some(_) => Ok(Self { id, from_caller, worked_off, window }),
            None => Err(BodyError::Overflow { worked_off, window }),
        }
    }

    /// The call.
    #[must_use]
    pub const fn id(self) -> CallId {
        self.id
    }

    /// Whether the caller says so, rather than the callee.
    #[must_use]
    pub const fn is_from_caller(self) -> bool {
        self.from_caller
    }

    /// What all DATA cost that the speaker is done with.
    #[must_use]
    pub const fn worked_off(self) -> u64 {
        self.worked_off
    }

    /// What may be outstanding.
    #[must_use]
    pub const fn window(self) -> u32 {
        self.window
    }

    /// What all DATA of that direction may cost until the next grant.
    #[must_use]
    pub const fn limit(self) -> u64 {
        self.worked_off + self.window as u64
    }

    /// The frame that says so.
    ///
    /// # Errors
    /// [`EncodeError`] when the names do not fit.
    pub fn frame(self, from: &str, to: &str, limits: &Limits) -> Result<Frame, EncodeError> {
        let header = Header::new(Kind::Credit, self.id, FormatId::OPAQUE, false, self.from_caller);
        let mut body = [0; LEN];
        body[..8].copy_from_slice(&self.worked_off.to_le_bytes());
        body[8..].copy_from_slice(&self.window.to_le_bytes());
        Frame::new(header, from, to, "", &body, limits)
    }

    /// What a CREDIT frame of a call says.
    ///
    /// # Errors
    /// [`BodyError`] when it is no CREDIT frame, is about no call, or its body is not one.
    pub fn read(frame: &Frame) -> Result<Self, BodyError> {
        let (kind, header, body) = (frame.kind(), frame.header(), frame.payload());
        if kind != Kind::Credit {
            return Err(BodyError::Kind(kind));
        }
        if header.id() == CallId::NONE {
            return Err(BodyError::NoCall(kind));
        }
        let wrong = BodyError::Length { kind, size: body.len(), expected: LEN };
        let Some((worked_off, window)) = body.split_first_chunk() else { return Err(wrong) };
        let Ok(window) = window.try_into() else { return Err(wrong) };
        let (worked_off, window) = (u64::from_le_bytes(*worked_off), u32::from_le_bytes(window));
        Self::new(header.id(), header.wants_reply(), worked_off, window_beyond(worked_off, window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id: u16, body: &[u8]) -> Result<CallCredit, BodyError> {
        let header = Header::new(Kind::Credit, CallId(id), FormatId::OPAQUE, false, true);
        CallCredit::read(&Frame::new(header, "a", "b", "", body, &Limits::default()).unwrap())
    }

    #[test]
    fn the_bytes_of_a_call_credit() {
        let frame = CallCredit::new(CallId(7), false, 300, 65_536).unwrap().frame("a", "b", &Limits::default());
        assert_eq!(frame.unwrap().payload(), [44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn what_is_no_call_credit_is_refused() {
        for size in (0..20).filter(|size| *size != LEN) {
            let error = read(7, &vec![0; size]).unwrap_err();
            assert!(matches!(error, BodyError::Length { size: s, expected: LEN, .. } if s == size), "{error}");
        }
        assert!(matches!(read(0, &[0; LEN]), Err(BodyError::NoCall(Kind::Credit))));
        let beyond = CallCredit::new(CallId(7), true, u64::MAX, 0).unwrap();
        assert_eq!(read(7, &[0xff; LEN]).unwrap(), beyond, "of more than was ever sent");
        let large = [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read(7, &large).unwrap().window(), MAX_CALL_WINDOW);
    }
}

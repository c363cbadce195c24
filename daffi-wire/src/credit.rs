//! Credit: how much nowait traffic one node may send to another through a Router (level 4).

use crate::{BodyError, CallId, EncodeError, FormatId, Frame, Header, Kind, Limits};

/// What a sender may have outstanding with a receiver that has granted nothing yet.
pub const FIRST_WINDOW: u32 = 8 * 1024;

/// The largest window; a larger one counts as this, at every hop.
pub const MAX_WINDOW: u32 = 512 * 1024;

/// What a request costs beside its payload, so that a window of small requests is bounded in number
/// too.
const REQUEST_COST: u64 = 256;

/// What a nowait request with a payload of so many bytes costs; the same at every hop, because
/// payloads are forwarded as they are.
///
/// ```
/// assert_eq!(daffi_wire::credit_cost(44), 300);
/// assert_eq!(daffi_wire::credit_cost(1 << 20), (1 << 20) + 256);
/// ```
#[must_use]
pub const fn credit_cost(payload_bytes: usize) -> u64 {
    payload_bytes as u64 + REQUEST_COST
}

/// The number of a flow: the nowait traffic of one sender to one receiver, for as long as both keep
/// their connections. Its sender chooses it, another one each time that the flow begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u32);

/// What a receiver takes of a flow, as totals since the flow began: a newer grant makes an older
/// one void, and one that was told twice changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    flow: FlowId,
    worked_off: u64,
    window: u32,
}

impl Grant {
    /// A grant. `worked_off` is what all requests cost that the receiver is done with, `window`
    /// what may be outstanding beyond it.
    ///
    /// # Errors
    /// [`BodyError::Overflow`] when both together are beyond 64 bits.
    ///
    /// ```
    /// use daffi_wire::{FlowId, Grant};
    /// let grant = Grant::new(FlowId(7), 300, 16_384)?;
    /// assert_eq!((grant.flow(), grant.worked_off(), grant.limit()), (FlowId(7), 300, 16_684));
    /// assert!(Grant::new(FlowId(7), u64::MAX, 1).is_err());
    /// # Ok::<(), daffi_wire::BodyError>(())
    /// ```
    pub fn new(flow: FlowId, worked_off: u64, window: u32) -> Result<Self, BodyError> {
        match worked_off.checked_add(window.into()) {
            Some(_) => Ok(Self { flow, worked_off, window }),
            None => Err(BodyError::Overflow { worked_off, window }),
        }
    }

    /// The flow that it is about.
    #[must_use]
    pub const fn flow(self) -> FlowId {
        self.flow
    }

    /// What all requests cost that the receiver is done with.
    #[must_use]
    pub const fn worked_off(self) -> u64 {
        self.worked_off
    }

    /// What may be outstanding.
    #[must_use]
    pub const fn window(self) -> u32 {
        self.window
    }

    /// What all requests of the flow may cost until the next grant.
    #[must_use]
    pub const fn limit(self) -> u64 {
        self.worked_off + self.window as u64
    }
}

/// What a CREDIT frame says.
///
/// ```
/// use daffi_wire::{Credit, FlowId, Grant, Limits};
/// let limits = Limits::default();
/// let begins = Credit::Begins(FlowId(7)).frame("sender", "worker", &limits)?;
/// assert_eq!(Credit::read(&begins)?, Credit::Begins(FlowId(7)));
/// let grants = Credit::Grants(Grant::new(FlowId(7), 300, 16_384)?).frame("worker", "sender", &limits)?;
/// assert!(matches!(Credit::read(&grants)?, Credit::Grants(grant) if grant.window() == 16_384));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// From the sender, before the first request of the flow: a flow of this number begins, and the
    /// one before is over.
    Begins(FlowId),
    /// From the receiver.
    Grants(Grant),
}

/// Bytes of the body of each.
const BEGINS: usize = 4;
const GRANTS: usize = 16;

impl Credit {
    /// The frame that says so. `return_result` is the direction: 1 from the sender of the requests,
    /// 0 from their receiver.
    ///
    /// # Errors
    /// [`EncodeError`] when the names do not fit.
    pub fn frame(self, from: &str, to: &str, limits: &Limits) -> Result<Frame, EncodeError> {
        let header = |begins| Header::new(Kind::Credit, CallId::NONE, FormatId::OPAQUE, false, begins);
        match self {
            Self::Begins(FlowId(flow)) => Frame::new(header(true), from, to, "", &flow.to_le_bytes(), limits),
            Self::Grants(Grant { flow, worked_off, window }) => {
                let mut body = [0; GRANTS];
                body[..4].copy_from_slice(&flow.0.to_le_bytes());
                body[4..12].copy_from_slice(&worked_off.to_le_bytes());
                body[12..].copy_from_slice(&window.to_le_bytes());
                Frame::new(header(false), from, to, "", &body, limits)
            }
        }
    }

    /// What a CREDIT frame says.
    ///
    /// # Errors
    /// [`BodyError`] when it is no CREDIT frame, or its body is not one.
    pub fn read(frame: &Frame) -> Result<Self, BodyError> {
        let (kind, body) = (frame.kind(), frame.payload());
        if kind != Kind::Credit {
            return Err(BodyError::Kind(kind));
        }
        let expected = if frame.header().wants_reply() { BEGINS } else { GRANTS };
        let wrong = BodyError::Length { kind, size: body.len(), expected };
        if body.len() != expected {
            return Err(wrong);
        }
        let Some((flow, rest)) = body.split_first_chunk() else { return Err(wrong) };
        let flow = FlowId(u32::from_le_bytes(*flow));
        if rest.is_empty() {
            return Ok(Self::Begins(flow));
        }
        let Some((worked_off, rest)) = rest.split_first_chunk() else { return Err(wrong) };
        let Some((window, _)) = rest.split_first_chunk() else { return Err(wrong) };
        let worked_off = u64::from_le_bytes(*worked_off);
        Grant::new(flow, worked_off, window_beyond(worked_off, u32::from_le_bytes(*window))).map(Self::Grants)
    }
}

/// As much of a window as there is beyond a total. One of which not all is there is a grant of more
/// than can ever have been sent, which is ignored as such.
pub(crate) fn window_beyond(worked_off: u64, window: u32) -> u32 {
    window.min(u32::try_from(u64::MAX - worked_off).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credit(wants_reply: bool, body: &[u8]) -> Result<Credit, BodyError> {
        let header = Header::new(Kind::Credit, CallId::NONE, FormatId::OPAQUE, false, wants_reply);
        Credit::read(&Frame::new(header, "a", "b", "", body, &Limits::default()).unwrap())
    }

    #[test]
    fn the_bytes_of_both_bodies() {
        let body = [7, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        let grant = Grant::new(FlowId(7), 300, 65_536).unwrap();
        assert_eq!(Credit::Grants(grant).frame("a", "b", &Limits::default()).unwrap().payload(), body);
        assert_eq!(credit(false, &body).unwrap(), Credit::Grants(grant));
        assert_eq!(credit(true, &body[..4]).unwrap(), Credit::Begins(FlowId(7)));
    }

    #[test]
    fn another_length_or_direction_is_refused() {
        for (wants_reply, expected) in [(true, BEGINS), (false, GRANTS)] {
            for size in (0..20).filter(|size| *size != expected) {
                let error = credit(wants_reply, &vec![0; size]).unwrap_err();
                assert!(matches!(error, BodyError::Length { size: s, expected: e, .. } if (s, e) == (size, expected)));
            }
        }
        let beyond = Grant::new(FlowId(u32::MAX), u64::MAX, 0).unwrap();
        assert_eq!(credit(false, &[0xff; GRANTS]).unwrap(), Credit::Grants(beyond), "of more than was ever sent");
        let other =
            Frame::new(Header::control(Kind::Events, CallId::NONE, true), "", "", "", b"1234", &Limits::default());
        assert!(matches!(Credit::read(&other.unwrap()), Err(BodyError::Kind(Kind::Events))));
    }
}

//! Credit: how much nowait traffic one node may send to another through a Router (level 4).

use bytes::Bytes;

use crate::{BodyError, CallId, EncodeError, FormatId, Frame, Header, Kind, Limits};

/// Credit that a sender has with each receiver before the receiver grants any, and the most it can have.
pub const CREDIT_WINDOW: usize = 512 * 1024;

/// What a request costs beside its bytes, so that a window of small requests is bounded in number too.
const REQUEST_COST: usize = 256;

/// What a nowait request of `frame_bytes` on the wire costs; at most a whole window, so that it can always be paid.
///
/// ```
/// use daffi_wire::{CREDIT_WINDOW, credit_cost};
/// assert_eq!(credit_cost(44), 300);
/// assert_eq!(credit_cost(1 << 20), CREDIT_WINDOW);
/// ```
#[must_use]
pub const fn credit_cost(frame_bytes: usize) -> usize {
    let cost = frame_bytes.saturating_add(REQUEST_COST);
    if cost < CREDIT_WINDOW { cost } else { CREDIT_WINDOW }
}

/// The CREDIT frame by which `receiver` lets `sender` send so much more.
///
/// # Errors
/// [`EncodeError`] when the names do not fit.
pub fn credit_frame(receiver: &str, sender: &str, amount: usize, limits: &Limits) -> Result<Frame, EncodeError> {
    let header = Header::new(Kind::Credit, CallId::NONE, FormatId::OPAQUE, false, false);
    let amount = u32::try_from(amount).unwrap_or(u32::MAX);
    Frame::new(header, receiver, sender, "", &amount.to_le_bytes(), limits)
}

/// The amount that a CREDIT frame grants.
///
/// # Errors
/// [`BodyError::Credit`] when the payload is not one 32-bit number.
pub fn credit_amount(payload: &Bytes) -> Result<usize, BodyError> {
    let bytes: [u8; 4] = payload[..].try_into().map_err(|_| BodyError::Credit(payload.len()))?;
    Ok(usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_travels_from_the_receiver_to_the_sender() {
        let frame = credit_frame("worker", "caller", 70_000, &Limits::default()).unwrap();
        assert_eq!((frame.kind(), frame.transmitter(), frame.receiver()), (Kind::Credit, "worker", "caller"));
        assert_eq!(credit_amount(&frame.payload_bytes()).unwrap(), 70_000);
        assert!(matches!(credit_amount(&Bytes::from_static(b"12345")), Err(BodyError::Credit(5))));
    }
}

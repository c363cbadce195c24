//! Whether a request may go from one node to another.

use daffi_serde::RemoteError;
use daffi_wire::{CallId, Frame, Level, NodeName};

use crate::refusal::Refusal;

/// Checks that a transmitter is who its handshake said.
pub(crate) fn check_transmitter(frame: &Frame, name: &NodeName) -> Result<(), RemoteError> {
    if frame.is_from(name) {
        return Ok(());
    }
    let text = format!("this connection is {name:?} and cannot speak for {:?}", frame.transmitter());
    Err(RemoteError::new("PermissionError", text))
}

/// Checks that `receiver`, on a link of level `to`, can be given a request that came on a link of
/// level `from`.
pub(crate) fn check_receiver(frame: &Frame, from: Level, receiver: &NodeName, to: Level) -> Result<(), RemoteError> {
    let header = frame.header();
    if header.wants_reply() && header.id() == CallId::NONE {
        // Such a call ends the process of a 3.0.1 worker (docs/protocol.md#10.3).
        return Err(RemoteError::new("ValueError", "a call that wants an answer cannot have the number 0"));
    }
    let format = header.format(from);
    if !to.at_least(format.min_level()) {
        let text = format!("{receiver} is a daffi 3.0.1 node and cannot read {format}");
        return Err(Refusal::FormatUnsupported.error(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use daffi_wire::{FormatId, Header, Kind, Limits};

    use super::*;

    fn request(id: u16, format: FormatId, wants_reply: bool) -> Frame {
        let header = Header::new(Kind::Request, CallId(id), format, false, wants_reply);
        Frame::new(header, "sender", "worker", "f", b"", &Limits::default()).unwrap()
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text, &Limits::default()).unwrap()
    }

    #[test]
    fn nobody_speaks_for_others() {
        let frame = request(1, FormatId::JSON, true);
        assert!(check_transmitter(&frame, &name("sender")).is_ok());
        assert_eq!(check_transmitter(&frame, &name("other")).unwrap_err().class, "PermissionError");
    }

    #[test]
    fn a_receiver_gets_only_what_it_can_read() {
        let worker = name("worker");
        let check = |frame: &Frame, to| check_receiver(frame, Level::FOUR, &worker, to).map_err(|error| error.class);
        assert_eq!(check(&request(0, FormatId::JSON, true), Level::FOUR).unwrap_err(), "ValueError");
        assert!(check(&request(0, FormatId::JSON, false), Level::THREE).is_ok());
        let postcard = request(1, FormatId::POSTCARD, true);
        assert_eq!(check(&postcard, Level::THREE).unwrap_err(), "FormatUnsupported");
        assert!(check(&postcard, Level::FOUR).is_ok());
    }
}

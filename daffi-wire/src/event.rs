//! The JSON bodies of EVENTS frames ([protocol, 3](crate::protocol#3) and
//! [protocol, 5.3](crate::protocol#5.3)).

use serde::{Deserialize, Serialize};

use crate::{BodyError, Limits};

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EventKind {
    /// A node joined.
    Connected,
    /// A node left.
    Disconnected,
    /// A newer connection took the node's name.
    Evicted,
    /// The server itself is stopping; only level 4 has it.
    Stopping,
    /// The server has stopped, and has answered what it took; only level 4 has it.
    Stopped,
}

/// The body of an EVENTS frame.
///
/// ```
/// use daffi_wire::{EventBody, EventKind, Limits};
/// let body = EventBody { kind: EventKind::Connected, member: "w1".into() };
/// assert_eq!(body.to_json(), br#"{"type":"connected","member":"w1"}"#);
/// assert_eq!(EventBody::parse(&body.to_json(), &Limits::default())?, body);
/// # Ok::<(), daffi_wire::BodyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The member that it happened to.
    pub member: String,
}

impl EventBody {
    /// Writes the body as 3.0.1 does.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("two strings always have a JSON form")
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`BodyError`]: bad JSON, an unknown type or an unknown key. As 3.0.1 does, ignore such an event whole.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        if body.len() > limits.max_control_bytes {
            return Err(BodyError::TooLarge { what: "event", size: body.len(), limit: limits.max_control_bytes });
        }
        serde_json::from_slice(body).map_err(|error| BodyError::json("event", &error))
    }
}

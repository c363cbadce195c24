//! WATCH: of which members a node wants to be told (level 4).

use serde::{Deserialize, Serialize};

use crate::{BodyError, CallId, EncodeError, FormatId, Frame, Header, Kind, Limits, MethodName};

/// What a node that watches some callbacks tells its Router in a WATCH frame ([level
/// 4](crate::level_four#watching)). The answer is a WATCH frame with the body of a
/// [`Handshake`](crate::Handshake): the members of which the node had not been told, or why nothing
/// has changed.
///
/// ```
/// use daffi_wire::{Limits, MethodName, Watch};
/// let limits = Limits::default();
/// let watch = Watch { add: vec![MethodName::new("add", &limits)?], ..Watch::default() };
/// assert_eq!(watch.to_json(), br#"{"add":["add"]}"#);
/// assert_eq!(Watch::parse(&watch.to_json(), &limits)?, watch);
/// assert!(Watch::parse(br#"{"all":true}"#, &limits)?.all);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// All members, until the connection ends; then the rest has no meaning.
    pub all: bool,
    /// Callbacks that are watched from now on.
    pub add: Vec<MethodName>,
    /// Callbacks that are watched no more. A name that is added as well stays.
    pub remove: Vec<MethodName>,
}

#[derive(Serialize, Deserialize)]
struct WatchJson {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    add: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    remove: Vec<String>,
}

impl Watch {
    /// All members.
    #[must_use]
    pub const fn all() -> Self {
        Self { all: true, add: Vec::new(), remove: Vec::new() }
    }

    /// Writes the body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let names = |names: &[MethodName]| names.iter().map(ToString::to_string).collect();
        let wire = WatchJson { all: self.all, add: names(&self.add), remove: names(&self.remove) };
        serde_json::to_vec(&wire).expect("strings and lists always have a JSON form")
    }

    /// Reads a body; keys that it does not know are ignored.
    ///
    /// # Errors
    /// [`BodyError`] when the JSON is none of a WATCH, or a name is unusable.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        if body.len() > limits.max_control_bytes {
            return Err(BodyError::TooLarge { what: "watch", size: body.len(), limit: limits.max_control_bytes });
        }
        let wire: WatchJson = serde_json::from_slice(body).map_err(|error| BodyError::json("watch", &error))?;
        let names =
            |names: Vec<String>| names.iter().map(|name| MethodName::new(name, limits)).collect::<Result<_, _>>();
        Ok(Self { all: wire.all, add: names(wire.add)?, remove: names(wire.remove)? })
    }

    /// The frame by which `from` says so.
    ///
    /// # Errors
    /// [`EncodeError`] when the names do not fit.
    pub fn frame(&self, from: &str, limits: &Limits) -> Result<Frame, EncodeError> {
        Frame::new(header(true), from, "", "", &self.to_json(), limits)
    }

    /// The answer to `to`. `body`: that of a [`Handshake`](crate::Handshake).
    ///
    /// # Errors
    /// [`EncodeError`] when the body is larger than a frame may be.
    pub fn answer(to: &str, body: &[u8], limits: &Limits) -> Result<Frame, EncodeError> {
        Frame::new(header(false), to, "", "", body, limits)
    }
}

/// `return_result` is the direction: 1 from the node that watches, 0 from its Router.
const fn header(asks: bool) -> Header {
    Header::new(Kind::Watch, CallId::NONE, FormatId::OPAQUE, false, asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watch_is_refused() {
        let parse = |body: &str| Watch::parse(body.as_bytes(), &Limits::default());
        for body in ["", r#"{"all":1}"#, r#"{"add":"f"}"#, r#"{"add":[1]}"#, r#"{"add":[],"add":[]}"#, "{}x"] {
            assert!(matches!(parse(body), Err(BodyError::Json { .. })), "{body}");
        }
        for body in [r#"{"add":["a,b"]}"#, r#"{"remove":[""]}"#, r#"{"add":["a|b"]}"#] {
            assert!(matches!(parse(body), Err(BodyError::Name(_))), "{body}");
        }
        assert_eq!(parse(r#"{"of_later":{"x":1}}"#).unwrap(), Watch::default());
        let small = Limits::default().max_control_bytes(16);
        assert!(matches!(Watch::parse(&[b' '; 17], &small), Err(BodyError::TooLarge { .. })));
    }

    #[test]
    fn the_direction_is_in_the_header() {
        let limits = Limits::default();
        let asks = Watch::all().frame("me", &limits).unwrap();
        let answer = Watch::answer("me", b"{}", &limits).unwrap();
        for (frame, is_asked) in [(asks, true), (answer, false)] {
            assert_eq!((frame.kind(), frame.transmitter(), frame.receiver()), (Kind::Watch, "me", ""));
            assert_eq!((frame.header().wants_reply(), frame.header().id()), (is_asked, CallId::NONE));
        }
    }
}

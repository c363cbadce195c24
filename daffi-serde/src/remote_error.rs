use std::fmt;

use daffi_wire::Shown;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, IgnoredAny, Visitor},
    ser::SerializeTuple,
};

use crate::envelope::lossy_text;

/// The failure of a callback as it travels: a class name, the module it lives in, and a message.
///
/// A Python caller raises a class of that name ([protocol, 7.3](daffi_wire::protocol#7.3)). Return
/// one from a callback to choose the class yourself.
///
/// ```
/// use daffi_serde::RemoteError;
/// let error = RemoteError::new("ValueError", "bad");
/// assert_eq!(error.module, "builtins");
/// assert_eq!(error.to_string(), "ValueError: bad");
/// assert_eq!(RemoteError::new("KeyError", "").to_string(), "KeyError");
/// ```
///
/// Its fields are what the peer sent, whatever that is. `Display` is one line for a log or a
/// terminal, [shown](Shown).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteError {
    /// Name of the exception's class, `ValueError` for one.
    pub class: String,
    /// Module of the class, `builtins` for Python's own.
    pub module: String,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown::new(&self.class))?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", Shown::new(&self.message)) }
    }
}

impl std::error::Error for RemoteError {}

impl RemoteError {
    /// An error of one of Python's built-in classes, or of a class that only has a name.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), module: "builtins".into(), message: message.into() }
    }

    /// The same error with another module.
    #[must_use]
    pub fn in_module(mut self, module: impl Into<String>) -> Self {
        self.module = module.into();
        self
    }
}

/// Writes four elements, the last of which is always null ([protocol,
/// 7.3](daffi_wire::protocol#7.3)).
impl Serialize for RemoteError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // This is no derived tuple struct, because pickle and msgpack must write a plain sequence.
        let mut four = serializer.serialize_tuple(4)?;
        four.serialize_element(&self.class)?;
        four.serialize_element(&self.module)?;
        four.serialize_element(&self.message)?;
        four.serialize_element(&())?;
        four.end()
    }
}

/// A lone surrogate in one of the texts, which Python and JSON may have, stands as a replacement
/// character: the rest of the error is worth more.
impl<'de> Deserialize<'de> for RemoteError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (Text(class), Text(module), Text(message), _traceback): (Text, Text, Text, IgnoredAny) =
            Deserialize::deserialize(deserializer)?;
        Ok(Self { class, module, message })
    }
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Formats that describe themselves give text to whoever asks for bytes, and serde_json even
        // text that is not UTF-8.
        if deserializer.is_human_readable() {
            deserializer.deserialize_bytes(TextVisitor)
        } else {
            deserializer.deserialize_str(TextVisitor)
        }
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text of an error")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(lossy_text(bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SerdeError;

    #[test]
    fn what_a_peer_sent_forges_no_line_and_is_cut() {
        let error = RemoteError::new("E\n\u{9b}", format!("a\nforged\u{1b}[2J{}", "x".repeat(1 << 20)));
        let shown = error.to_string();
        assert!(shown.starts_with(r"E\n\u{9b}: a\nforged\u{1b}[2Jxxx"), "{}", &shown[..80]);
        assert!(shown.ends_with("xxx... (1048588 bytes)") && shown.len() < 1200, "{} bytes", shown.len());
        assert_eq!(error.message.len(), 1_048_588, "programs get it whole");
        let quoted = format_args!("unknown variant `{}`", "\u{202e}".repeat(1 << 20)).to_string();
        let SerdeError::Decode { reason, .. } = SerdeError::decode(daffi_wire::FormatId::JSON, quoted) else {
            unreachable!("it was made so")
        };
        assert!(
            reason.starts_with(r"unknown variant `\u{202e}\u{202e}") && reason.len() < 8 << 10,
            "{} bytes",
            reason.len()
        );
    }
}

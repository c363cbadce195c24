use serde::{Deserialize, Serialize, de::IgnoredAny, ser::SerializeTuple};

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
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{class}: {message}")]
pub struct RemoteError {
    /// Name of the exception's class, `ValueError` for one.
    pub class: String,
    /// Module of the class, `builtins` for Python's own.
    pub module: String,
    /// What went wrong.
    pub message: String,
}

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

/// As four elements, the last of which is always null ([protocol, 7.3](daffi_wire::protocol#7.3)).
impl Serialize for RemoteError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Not a derived tuple struct: pickle and msgpack must write a plain sequence.
        let mut four = serializer.serialize_tuple(4)?;
        four.serialize_element(&self.class)?;
        four.serialize_element(&self.module)?;
        four.serialize_element(&self.message)?;
        four.serialize_element(&())?;
        four.end()
    }
}

impl<'de> Deserialize<'de> for RemoteError {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (class, module, message, _traceback): (String, String, String, IgnoredAny) =
            Deserialize::deserialize(deserializer)?;
        Ok(Self { class, module, message })
    }
}

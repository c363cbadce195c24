use std::fmt;

use serde::Deserialize;

/// An exception in a Python node.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct PyError {
    /// The name of its class.
    pub class: String,
    /// The module of its class.
    pub module: String,
    /// What `str()` makes of it.
    pub message: String,
    /// The names of the classes above it, nearest first; `RemoteCallError` comes first when a
    /// callback raised it.
    pub bases: Vec<String>,
    /// The names of the functions in its traceback.
    pub frames: Vec<String>,
}

impl PyError {
    /// Whether a callback raised it, rather than the node that called.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.bases.first().is_some_and(|base| base == "RemoteCallError")
    }

    /// The class, the module and the message.
    #[must_use]
    pub fn parts(&self) -> (&str, &str, &str) {
        (&self.class, &self.module, &self.message)
    }
}

impl fmt::Display for PyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.module, self.class, self.message)
    }
}

use std::fmt;

use daffi_wire::FormatId;

/// A value that could not be written in a format, or read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerdeError {
    /// A Rust value that the format cannot hold.
    #[error("cannot write {format}: {reason}")]
    Encode {
        /// The format.
        format: FormatId,
        /// What could not be written; names the rule, the limit and the value.
        reason: String,
    },
    /// Bytes that are not the value asked for.
    #[error("cannot read {format}: {reason}")]
    Decode {
        /// The format.
        format: FormatId,
        /// What could not be read; names the rule, the limit and the value.
        reason: String,
    },
    /// The node has no such format.
    #[error("this node has no {0}: add it with the builder's format(), or turn its feature on")]
    UnknownFormat(FormatId),
}

impl SerdeError {
    /// A value that `format` could not write.
    pub fn encode(format: FormatId, reason: impl fmt::Display) -> Self {
        Self::Encode { format, reason: reason.to_string() }
    }

    /// Bytes that could not be read as the value asked for.
    pub fn decode(format: FormatId, reason: impl fmt::Display) -> Self {
        Self::Decode { format, reason: reason.to_string() }
    }
}

use std::fmt;

use daffi_wire::{FormatId, Shown};

/// A value that could not be written in a format, or read from it.
///
/// A reason may repeat what a peer sent. The constructors keep 1 KiB of it, and escape what could
/// forge a line of a log or steer a terminal.
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
    /// A value that `format` could not write. The reason is [shown](Shown): it may quote the value.
    pub fn encode(format: FormatId, reason: impl fmt::Display) -> Self {
        Self::Encode { format, reason: bound_reason(reason) }
    }

    /// Bytes that could not be read as the value asked for. The reason is [shown](Shown), so that
    /// it carries at most a KiB of what a peer sent.
    pub fn decode(format: FormatId, reason: impl fmt::Display) -> Self {
        Self::Decode { format, reason: bound_reason(reason) }
    }
}

/// The first KiB of a reason, as [`Shown`] shows it. For every error of a format whose text may
/// repeat what a peer sent.
///
/// ```
/// use daffi_serde::bound_reason;
/// assert_eq!(bound_reason("no variant `a\n`"), r"no variant `a\n`");
/// assert_eq!(bound_reason("x".repeat(1 << 20)), format!("{}...", "x".repeat(1024)));
/// ```
pub fn bound_reason(reason: impl fmt::Display) -> String {
    Shown::of(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_keeps_a_kib_of_what_a_peer_sent_and_forges_no_line() {
        let error = SerdeError::decode(FormatId::JSON, format_args!("a\n{}", "\u{e4}".repeat(1 << 20)));
        assert_eq!(error.to_string(), format!("cannot read JSON: a\\n{}...", "\u{e4}".repeat(511)));
        assert_eq!(bound_reason(format_args!("{}{}", "x".repeat(1024), "")), "x".repeat(1024));
        // A text without an end is not written to its end.
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("\u{1b}")?;
                }
            }
        }
        assert_eq!(bound_reason(Endless), format!("{}...", "\\u{1b}".repeat(1024)));
    }
}

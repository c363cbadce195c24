//! The first bytes of a connection, and how to tell other protocols by theirs.

use std::fmt;

/// What a native client sends before its first frame ([protocol, 1](crate::protocol#1)). Send it in
/// one write with what follows: 3.0.1 reads it with a single read.
pub const SYN: [u8; 9] = [0x1f; 9];

/// What the first bytes of an accepted connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A native client begins. Drop [`SYN`]'s nine bytes; frames follow.
    Native,
    /// An HTTP upgrade to WebSocket begins: `GET` in any letter case.
    Http,
    /// Another protocol.
    Foreign(Foreign),
}

impl Opening {
    /// Bytes after which [`classify`](Self::classify) always has an answer.
    pub const LEN: usize = SYN.len();

    /// Tells what `first` begins. `None` says that these are too few bytes to tell.
    ///
    /// As 3.0.1 does, any nine bytes that are nothing else count as the SYN.
    ///
    /// ```
    /// use daffi_wire::{Opening, SYN};
    /// assert_eq!(Opening::classify(&SYN), Some(Opening::Native));
    /// assert_eq!(Opening::classify(&SYN[..8]), None);
    /// assert_eq!(Opening::classify(b"gEt"), Some(Opening::Http));
    /// ```
    #[must_use]
    pub fn classify(first: &[u8]) -> Option<Self> {
        if first.len() >= 3 && first[..3].eq_ignore_ascii_case(b"get") {
            return Some(Self::Http);
        }
        if let Some(foreign) = Foreign::recognise(first) {
            return Some(Self::Foreign(foreign));
        }
        (first.len() >= Self::LEN).then_some(Self::Native)
    }
}

/// Another protocol, recognised by its first bytes so that the error can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A TLS record.
    Tls,
    /// An HTTP request other than GET, or an HTTP response.
    Http,
}

impl Foreign {
    /// The protocol that `first` belongs to, if it is one that is often sent to the wrong port.
    #[must_use]
    pub fn recognise(first: &[u8]) -> Option<Self> {
        const HTTP: [&[u8]; 7] = [b"POST ", b"HEAD ", b"PUT /", b"OPTIONS ", b"DELETE ", b"PATCH ", b"HTTP/1."];
        // A TLS record: type handshake (22) or alert (21), version major 3.
        if let [0x15 | 0x16, 0x03, 0..=4, ..] = first {
            return Some(Self::Tls);
        }
        HTTP.iter().any(|word| first.starts_with(word)).then_some(Self::Http)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "the peer speaks TLS on a plain connection: use tls:// on both sides",
            Self::Http => "the peer speaks HTTP, not daffi: a node behind a web server is reached by ws:// or wss://",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_named() {
        assert_eq!(Opening::classify(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]), Some(Opening::Foreign(Foreign::Tls)));
        assert_eq!(Opening::classify(b"POST / HT"), Some(Opening::Foreign(Foreign::Http)));
        assert_eq!(Foreign::recognise(b"HTTP/1.1 400 Invalid"), Some(Foreign::Http));
    }

    #[test]
    fn nine_bytes_of_anything_are_a_syn() {
        for first in [[0u8; 9], [0xff; 9], *b"ABCDEFGHI"] {
            assert_eq!(Opening::classify(&first), Some(Opening::Native));
        }
        assert_eq!(Opening::classify(b"ge"), None);
        assert_eq!(Opening::classify(b""), None);
    }
}

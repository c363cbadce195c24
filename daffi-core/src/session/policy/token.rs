//! Secrets by which a node shows who it is.

use std::fmt;

use subtle::ConstantTimeEq;

/// Bytes that a token has at least: shorter ones can be guessed.
const LEAST: usize = 16;

/// Bytes that a token has at most.
const MOST: usize = 512;

/// A secret that a client shows a server, which knows it, too ([level 4](daffi_wire::level_four)).
///
/// It is never shown: not by `Debug`, and in no log. Two are compared in a time that does not tell
/// how much of them is the same.
///
/// ```
/// use daffi_core::Token;
/// let token = Token::new("cHJldHR5IGdvb2QgZW50cm9weQ")?;
/// assert_eq!(format!("{token:?}"), "Token(..)");
/// assert!(Token::new("1234").is_err());
/// # Ok::<(), daffi_core::TokenError>(())
/// ```
#[derive(Clone)]
pub struct Token(Box<str>);

/// A token that a peer showed.
#[derive(Clone, Debug)]
pub(crate) struct ShownToken {
    /// The name under which the server knows it.
    pub(crate) name: String,
    pub(crate) token: Token,
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is short enough to be guessed, or longer than a handshake takes.
    #[error("a token has {size} bytes; {LEAST} to {MOST} are expected: `openssl rand -base64 32` makes one")]
    Length {
        /// Its bytes.
        size: usize,
    },
    /// It has characters that do not survive copying.
    #[error("a token has printable ASCII characters only, and no blanks: `openssl rand -base64 32` makes one")]
    Characters,
}

impl Token {
    /// A token of 16 to 512 printable ASCII characters.
    ///
    /// # Errors
    /// [`TokenError`] when it is no such text.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        match text.len() {
            LEAST..=MOST if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(text.into())),
            LEAST..=MOST => Err(TokenError::Characters),
            size => Err(TokenError::Length { size }),
        }
    }

    /// The secret itself, for the wire.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

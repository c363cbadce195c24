//! The postcard payload format of daffi, for Rust nodes among themselves.
//!
//! It is the smallest and fastest of the formats, and the only one that does not describe itself,
//! so both ends must agree on the types. Only level 4 nodes read it. Take the facade crate `daffi`
//! to call and serve; take this one alone to read or write such payloads yourself.
//!
//! ```
//! use bytes::BytesMut;
//! use daffi_serde::{ArgsSink, Binding, Body, Codec, Output, args};
//! use daffi_serde_postcard::Postcard;
//!
//! let postcard = Postcard::default();
//! let mut buffer = BytesMut::new();
//! postcard.encode_args(&args![3_u8, b = "x"], &mut Output::new(&mut buffer))?;
//! assert_eq!(buffer, b"\x01\x01\0\0\0\x03\x01\x01b\x02\0\0\0\x01x"[..]);
//!
//! let mut call = Binding::<(u8, String)>::new("f", &["a", "b"]);
//! postcard.decode_args(&Body::new(buffer), &mut call)?;
//! assert_eq!(call.finish(), Ok((3, "x".to_owned())));
//! # Ok::<(), daffi_serde::SerdeError>(())
//! ```
//!
//! # The bytes
//!
//! A value is what the crate `postcard` writes for it. Around the arguments of a call:
//!
//! | what | bytes |
//! |---|---|
//! | number of positional arguments | varint |
//! | each of them | length as `u32`, little endian; then that many bytes: the value |
//! | number of keyword arguments | varint |
//! | each of them | length of the name as varint, the name in UTF-8, and the value as above |
//!
//! So an argument that nobody takes is skipped, and one that is longer than its type is an error. A
//! result is the value alone. A [`Value`](daffi_serde::Value), wherever it stands, is an enum whose
//! variant names its kind, with the numbers of [`daffi_serde::value::exact`]: nothing is lost. An
//! error is a
//! [`RemoteError`]: three texts, and a unit that takes no bytes.
//!
//! # Limits
//!
//! What cannot be read back is not carried. Where the writer sees it, nothing is sent:
//!
//! - a field that `skip_serializing_if` leaves out, since no field bears its name;
//! - what does not know its length beforehand: `#[serde(flatten)]`, `serialize_seq(None)`.
//!
//! The bytes of others look like those of a plain struct, list or number, so that only their reader
//! can refuse them. It does, with an error that says so, and reads nothing else in their place:
//!
//! - enums that are internally tagged (`tag`), adjacently tagged (`tag` and `content`) or
//!   `untagged`;
//! - types that take whatever is there, `serde_json::Value` and `IgnoredAny` in a struct among
//!   them. The exception is daffi's own [`Value`](daffi_serde::Value).
//!
//! When a type fails by itself while it is read, postcard keeps no text, so that the error says
//! little more than which argument it was. Both ends must agree on the type: bytes of one may be
//! those of another, `u8` and `bool` for two.

mod argument;
mod envelope;
mod write;

use bytes::Bytes;
use daffi_serde::{
    Args, ArgsSink, Body, Codec, Output, RemoteError, ResultSink, SerdeError, ValueLimits,
    guard::{Rules, Watch},
};
use daffi_wire::FormatId;
use serde::Serialize;

/// The postcard format. `Default` has the default [`ValueLimits`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard {
    limits: ValueLimits,
}

impl Postcard {
    /// Reads payloads under `limits`.
    #[must_use]
    pub const fn new(limits: ValueLimits) -> Self {
        Self { limits }
    }

    /// The only argument of a call as the payload of a result, which it is: a value without its
    /// length. `None` for a call with fewer or more arguments, or with keywords. So an echo can
    /// answer without knowing the type.
    ///
    /// # Errors
    /// For what is not the payload of a call.
    pub fn sole_argument(&self, payload: &Bytes) -> Result<Option<Bytes>, SerdeError> {
        let sole = envelope::sole(payload).map_err(|error| SerdeError::decode(FormatId::POSTCARD, error))?;
        Ok(sole.map(|value| payload.slice_ref(value)))
    }

    fn watch(&self, bytes: &[u8]) -> Watch<'static> {
        Watch::new(self.limits, bytes.len())
    }
}

/// What postcard has: everything but names for what its bytes are.
#[derive(Debug)]
struct PostcardRules;

impl Rules for PostcardRules {
    const NAME: &'static str = "POSTCARD";
    const SELF_DESCRIBING: bool = false;
    const CHARS_AS_TEXT: bool = true;
}

fn encode_error(error: impl std::fmt::Display) -> SerdeError {
    SerdeError::encode(FormatId::POSTCARD, error)
}

/// The error in the words of the limit that was broken, if one was, because postcard keeps none.
fn decode_error(error: impl std::fmt::Display, watch: &Watch) -> SerdeError {
    match watch.breach() {
        Some(breach) => SerdeError::decode(FormatId::POSTCARD, breach),
        None => SerdeError::decode(FormatId::POSTCARD, error),
    }
}

impl Codec for Postcard {
    fn id(&self) -> FormatId {
        FormatId::POSTCARD
    }

    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        envelope::write(args, out.buffer())
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        write::value(value, out.buffer())
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let watch = self.watch(&body.bytes);
        envelope::read(&body.bytes, &watch, sink).map_err(|error| decode_error(error, &watch))
    }

    fn decode_bound(&self, len: usize) -> usize {
        self.limits.decode_bound(len)
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        self.decode_item(&body.bytes, sink)
    }

    fn decode_item<S: ResultSink>(&self, item: &[u8], sink: &mut S) -> Result<(), SerdeError> {
        let watch = self.watch(item);
        argument::read(item, &watch, |argument| sink.result(argument)).map_err(|error| decode_error(error, &watch))
    }

    fn decode_error(&self, body: &Body) -> Result<RemoteError, SerdeError> {
        let mut texts = None::<(String, String, String)>;
        self.decode_result(body, &mut texts)?;
        let (class, module, message) =
            texts.ok_or_else(|| SerdeError::decode(FormatId::POSTCARD, "the payload holds no error"))?;
        Ok(RemoteError::new(class, message).in_module(module))
    }
}

#[cfg(test)]
mod tests;

//! OPAQUE: the one argument, or the result, is the payload ([protocol, 7](daffi_wire::protocol#7)).

use bytes::Bytes;
use daffi_wire::FormatId;
use serde::{Serialize, de::value::Error};

use self::{read::OpaqueDeserializer, write::OpaqueSerializer};
use crate::{
    Args, ArgsSink, ArgsVisitor, Body, BytesWithin, Codec, Output, ResultSink, SerdeError, ValueLimits, bytes_like,
};

mod read;
mod write;

/// Payloads of this size or more are sent as shared bytes; copying a smaller one into the frame is
/// cheaper than a second write.
const SHARE_FROM: usize = 1024;

/// Payloads of this size or more keep the buffer they were read into; a smaller one would keep far
/// more than itself alive.
const KEEP_FROM: usize = 4096;

/// The OPAQUE format: bytes and text as they are, for one argument.
///
/// | given | travels as |
/// |---|---|
/// | [`Bytes`], `Vec<u8>`, anything that serialises as bytes | the bytes |
/// | text, a `char`, an enum's variant without content | the text |
/// | `None`, `()`, a boolean, a number | what Python prints: `None`, `True`, `42`, `1.0`, `1e+16` |
/// | a list, a map, a struct | an error that names formats for it |
/// | no argument | no bytes |
///
/// When a payload is read, the type that was asked for decides: bytes are bytes, text is text or
/// the bytes of its UTF-8, and text that Python would print for a number, a boolean or `None` is
/// that. A callback without parameters accepts a payload without bytes.
///
/// A list may be asked for where bytes are: its elements are counted as those of other formats, by
/// [`ValueLimits::max_values`], unless each takes the one byte that it is. `Default` has the default
/// limits.
///
/// ```
/// use bytes::BytesMut;
/// use daffi_serde::{Body, Codec, Opaque, Output};
///
/// let mut buffer = BytesMut::new();
/// let mut out = Output::new(&mut buffer);
/// let opaque = Opaque::default();
/// opaque.encode_result(&1e16, &mut out)?;
/// assert!(out.is_text());
///
/// let mut read = None::<f64>;
/// opaque.decode_result(&Body::text(buffer.freeze()), &mut read)?;
/// assert_eq!(read, Some(1e16));
/// # Ok::<(), daffi_serde::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opaque {
    limits: ValueLimits,
}

impl Opaque {
    /// Reads payloads under `limits`.
    #[must_use]
    pub const fn new(limits: ValueLimits) -> Self {
        Self { limits }
    }

    fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        let text = value.serialize(OpaqueSerializer(out.buffer())).map_err(encode_error)?;
        if text {
            out.mark_text();
        }
        Ok(())
    }

    fn send(bytes: &Bytes, out: &mut Output<'_>) {
        if bytes.len() >= SHARE_FROM {
            out.share(bytes.clone());
        } else {
            out.buffer().extend_from_slice(bytes);
        }
    }
}

fn encode_error(error: Error) -> SerdeError {
    SerdeError::encode(FormatId::OPAQUE, error)
}

fn decode_error(error: Error) -> SerdeError {
    SerdeError::decode(FormatId::OPAQUE, error)
}

/// Whether `body` should be offered as shared bytes before it is read.
fn worth_keeping(body: &Body) -> bool {
    !body.text && body.bytes.len() >= KEEP_FROM
}

impl Codec for Opaque {
    fn id(&self) -> FormatId {
        FormatId::OPAQUE
    }

    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        let (positional, keyword) = (args.positional_len(), args.keyword_len());
        if positional > 1 || keyword > 0 {
            return Err(SerdeError::encode(
                FormatId::OPAQUE,
                format_args!(
                    "a call has one positional argument, {positional} and {keyword} keyword arguments were given; JSON, \
                     MSGPACK and PICKLE carry any number"
                ),
            ));
        }
        if let Some(bytes) = args.sole_bytes() {
            Self::send(bytes, out);
            return Ok(());
        }
        struct Sole<'a, 'b>(&'a mut Output<'b>);
        impl ArgsVisitor for Sole<'_, '_> {
            type Error = SerdeError;
            fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
                Opaque::encode(value, self.0)
            }
            fn keyword<T: Serialize + ?Sized>(&mut self, _: &str, _: &T) -> Result<(), SerdeError> {
                Ok(())
            }
        }
        args.visit(&mut Sole(out))
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Self::encode(value, out)
    }

    fn encode_return<T: Serialize + 'static>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        match bytes_like::as_bytes(value) {
            Some(bytes) => {
                Self::send(bytes, out);
                Ok(())
            }
            None => self.encode_result(&bytes_like::BytesLike(value), out),
        }
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        if sink.is_empty() && body.bytes.is_empty() {
            return Ok(());
        }
        if worth_keeping(body) && sink.offer_shared(&body.bytes) {
            return Ok(());
        }
        sink.positional(0, OpaqueDeserializer::new(body, self.limits).map_err(decode_error)?).map_err(decode_error)
    }

    /// Bytes that are read as a list may be as large as any list of so many numbers; what stays
    /// bytes or text is the payload, copied once.
    fn decode_bound(&self, len: usize) -> usize {
        self.limits.decode_bound(len)
    }

    fn decode_bound_of_bytes(&self, len: usize) -> usize {
        len
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        if worth_keeping(body) && sink.offer_shared(&body.bytes) {
            return Ok(());
        }
        sink.result(OpaqueDeserializer::new(body, self.limits).map_err(decode_error)?).map_err(decode_error)
    }

    fn decode_item<S: ResultSink>(&self, item: &[u8], sink: &mut S) -> Result<(), SerdeError> {
        sink.result(OpaqueDeserializer::of_bytes(item, self.limits)).map_err(decode_error)
    }

    fn bytes_in_args(&self, _: &[u8], total: u64) -> Option<BytesWithin> {
        Some(BytesWithin::all(total))
    }

    fn bytes_in_result(&self, _: &[u8], total: u64) -> Option<BytesWithin> {
        Some(BytesWithin::all(total))
    }
}

#[cfg(test)]
mod tests;

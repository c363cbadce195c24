//! The callback that answers any payload unchanged.

use bytes::BytesMut;
use daffi::{
    FormatId, Formats, RemoteError, SerdeError, Value,
    format::{ArgsSink, Binding, Body, FormatSet, Output},
    tower::{Reply, Request},
};
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use serde::{
    Deserializer,
    de::{Deserialize, IgnoredAny},
};

/// `echo(payload)`: answers the bytes that came, and so also what this node could not read, an
/// object of a class for one.
pub(super) fn echo(request: Request) -> Reply {
    match payload(request.format(), request.body()) {
        Ok(body) => request.reply_raw(&body),
        Err(error) => Reply::error(error),
    }
}

/// The body of a result that is the argument of a call with this body.
fn payload(format: FormatId, body: &Body) -> Result<Body, RemoteError> {
    match as_it_is(format, body) {
        Ok(Some(body)) => Ok(body),
        // The call has a keyword, or gets the same error as from any other callback.
        Ok(None) => rewritten(format, body),
        Err(error) => Err(RemoteError::new("TypeError", format!("echo() arguments: {error}"))),
    }
}

/// With one positional argument the body of the call is, byte for byte, that of the result
/// (docs/protocol.md#7), or holds it.
fn as_it_is(format: FormatId, body: &Body) -> Result<Option<Body>, SerdeError> {
    let is_sole = match format {
        FormatId::OPAQUE => true,
        FormatId::PICKLE => Pickle::default().is_sole_argument(&body.bytes)?,
        FormatId::POSTCARD => return Ok(Postcard::default().sole_argument(&body.bytes)?.map(Body::new)),
        other => {
            let mut counted = Counted::default();
            Formats::default().decode_args(other, body, &mut counted)?;
            counted == Counted { positional: 1, keywords: 0 }
        }
    };
    Ok(is_sole.then(|| body.clone()))
}

fn rewritten(format: FormatId, body: &Body) -> Result<Body, RemoteError> {
    let formats = Formats::default();
    let mut binding = Binding::<(Value,)>::new("echo", &["payload"]);
    formats.decode_args(format, body, &mut binding).map_err(|error| binding.explain(&error))?;
    let (payload,) = binding.finish()?;
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    formats
        .encode_result(format, &payload, &mut out)
        .map_err(|error| RemoteError::new("TypeError", format!("result of echo(): {error}")))?;
    let (shared, text) = (out.take_shared(), out.is_text());
    Ok(Body { bytes: shared.unwrap_or_else(|| buffer.freeze()), text })
}

/// A sink that counts arguments and looks at none.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    positional: usize,
    keywords: usize,
}

impl ArgsSink for Counted {
    fn positional<'de, D: Deserializer<'de>>(&mut self, _: usize, deserializer: D) -> Result<(), D::Error> {
        self.positional += 1;
        IgnoredAny::deserialize(deserializer).map(drop)
    }

    fn keyword<'de, D: Deserializer<'de>>(&mut self, _: &str, deserializer: D) -> Result<(), D::Error> {
        self.keywords += 1;
        IgnoredAny::deserialize(deserializer).map(drop)
    }

    fn len(&self) -> usize {
        usize::MAX
    }
}

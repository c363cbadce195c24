//! The MSGPACK payload format of daffi.
//!
//! Arguments are `[args, kwargs]`, a result is `[[result], {}]` ([protocol,
//! 7](daffi_wire::protocol#7)). Bytes travel as `bin`, and so does a `Vec<u8>`; structs travel as
//! maps, so that Python sees a `dict`, and addresses, UUIDs and their like as text. Take the facade
//! crate `daffi` to call and serve; take this one alone to read or write such payloads yourself.
//!
//! ```
//! use bytes::BytesMut;
//! use daffi_serde::{Body, Codec, Output};
//! use daffi_serde_msgpack::Msgpack;
//!
//! let msgpack = Msgpack::default();
//! let mut buffer = BytesMut::new();
//! msgpack.encode_result(&3, &mut Output::new(&mut buffer))?;
//! assert_eq!(buffer, [0x92, 0x91, 3, 0x80][..]);
//!
//! let mut read = None::<u8>;
//! msgpack.decode_result(&Body::new(buffer), &mut read)?;
//! assert_eq!(read, Some(3));
//! # Ok::<(), daffi_serde::SerdeError>(())
//! ```
//!
//! # What MSGPACK has not
//!
//! Integers beyond 64 bits are an error that names formats which carry them. Extension types,
//! timestamps among them, are refused when read, and so is text (`str`) that is not UTF-8, unless a
//! type asks for bytes. A list, tuple, map or set as a key of a map is refused when written, since
//! a Python node that reads one stops. A sequence nested in a value that holds only `u8` is written
//! as `bin`; of an empty one nobody can tell, so it is an empty list: use [`bytes::Bytes`] where a
//! peer must see bytes even then. When a payload is read, either is taken for the other.

mod envelope;
mod payload;
mod within;

use daffi_serde::{
    Args, ArgsSink, Body, BytesWithin, Codec, Output, ResultSink, SerdeError, ValueLimits,
    guard::{Guarded, GuardedArgs, Rules, Watch},
};
use daffi_wire::FormatId;
use rmp_serde::decode::Error;
use serde::{Deserialize, Serialize, de::DeserializeSeed};

use crate::{
    envelope::{ArgsPair, ResultPair, call, reply},
    payload::Payload,
};

/// The MSGPACK format. `Default` has the default [`ValueLimits`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Msgpack {
    limits: ValueLimits,
}

impl Msgpack {
    /// Reads payloads under `limits`.
    #[must_use]
    pub const fn new(limits: ValueLimits) -> Self {
        Self { limits }
    }

    fn write<T: Serialize>(value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        let mut writer = out.writer();
        let mut serializer = rmp_serde::Serializer::new(&mut writer).with_struct_map().with_human_readable();
        value.serialize(&mut serializer).map_err(|error| SerdeError::encode(FormatId::MSGPACK, error))
    }

    fn read<'de>(&self, bytes: &'de [u8], seed: impl DeserializeSeed<'de, Value = ()>) -> Result<(), SerdeError> {
        let payload = Payload(bytes);
        let watch = Watch::new(self.limits, bytes.len()).with_envelope(2).with_source(&payload);
        let mut msgpack = rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
        // The watch counts, and this limit must only not be in its way.
        msgpack.set_max_depth(usize::MAX);
        let read =
            seed.deserialize(watch.guard::<MsgpackRules, _>(&mut msgpack)).and_then(|()| {
                match bool::deserialize(&mut msgpack) {
                    Err(Error::InvalidMarkerRead(_)) => Ok(()),
                    _ => Err(serde::de::Error::custom("bytes after the end")),
                }
            });
        read.map_err(|error| match error {
            // Of the reader of a slice, which ends.
            Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => SerdeError::decode(
                FormatId::MSGPACK,
                format_args!(
                    "it ends in the middle of a value, after {} bytes: it was cut short, or is of another format",
                    bytes.len()
                ),
            ),
            Error::Utf8Error(why) => SerdeError::decode(
                FormatId::MSGPACK,
                format_args!("text (str) that is not UTF-8: {why}; bytes are sent as bin, and read as such"),
            ),
            other => SerdeError::decode(FormatId::MSGPACK, other),
        })
    }
}

/// What MSGPACK has.
#[derive(Debug)]
struct MsgpackRules;

impl Rules for MsgpackRules {
    const NAME: &'static str = "MSGPACK";
    const WIDE_INTEGERS: bool = false;
    const NUMBERS_AS_ANY: bool = true;
    const LISTS_AS_ANY: bool = true;
    const OCTETS_AS_BYTES: bool = true;
    const CONTAINERS_AS_KEYS: bool = false;
}

impl Codec for Msgpack {
    fn id(&self) -> FormatId {
        FormatId::MSGPACK
    }

    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Self::write(&call(&GuardedArgs::<MsgpackRules, A>::new(args)), out)
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Self::write(&reply(&Guarded::<MsgpackRules, T>::new(value)), out)
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        self.read(&body.bytes, ArgsPair(sink))
    }

    fn decode_bound(&self, len: usize) -> usize {
        self.limits.decode_bound(len)
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        self.read(&body.bytes, ResultPair(sink))
    }

    fn decode_item<S: ResultSink>(&self, item: &[u8], sink: &mut S) -> Result<(), SerdeError> {
        self.read(item, ResultPair(sink))
    }

    fn bytes_in_args(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        within::in_args(first, total)
    }

    fn bytes_in_result(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        within::in_result(first, total)
    }
}

#[cfg(test)]
mod tests;

use bytes::BytesMut;
use daffi_serde::{
    Args, ArgsSink, Body, BytesWithin, Codec, Output, RemoteError, ResultSink, SerdeError, Value, ValueLimits,
};
use daffi_wire::FormatId;
use serde::{Deserialize, Serialize};

use crate::{
    ReadError, WriteError, envelope,
    read::{Loaded, Unknown},
    within,
    write::{ArgsWriter, Writer},
};

/// The PICKLE format.
///
/// As a [`Codec`] it reads and writes the payloads of a call. Its own methods, and
/// [`from_slice`](crate::from_slice) and
/// [`to_vec`](crate::to_vec), read and write any single value.
///
/// ```
/// use daffi_serde::ValueLimits;
/// use daffi_serde_pickle::Pickle;
///
/// // pickle.dumps([3, 'four'], protocol=0)
/// let value = Pickle::default().read(b"(lp0\nI3\naVfour\np1\na.")?;
/// assert_eq!(value.to_string(), "[3, 'four']");
///
/// let strict = Pickle::new(ValueLimits::default().max_depth(1));
/// assert!(strict.read(b"((tt.").is_err());
/// # Ok::<(), daffi_serde_pickle::ReadError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pickle {
    limits: ValueLimits,
}

impl Pickle {
    /// The format with other limits.
    #[must_use]
    pub const fn new(limits: ValueLimits) -> Self {
        Self { limits }
    }

    /// What a pickle may make a reader hold; `max_depth` holds for the writer, too.
    #[must_use]
    pub const fn limits(&self) -> ValueLimits {
        self.limits
    }

    /// Reads a pickle of any protocol.
    ///
    /// # Errors
    /// [`ReadError`] for what is no pickle of plain data, or breaks a limit.
    pub fn read(&self, pickle: &[u8]) -> Result<Value, ReadError> {
        self.read_as(pickle)
    }

    /// Reads a pickle of any protocol as a `T`, which may borrow text and bytes from it.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`ReadError::Type`] for what is no `T`.
    pub fn read_as<'de, T: Deserialize<'de>>(&self, pickle: &'de [u8]) -> Result<T, ReadError> {
        let loaded = Loaded::new(pickle, self.limits, Unknown::Refuse)?;
        T::deserialize(loaded.at(loaded.root))
    }

    /// Whether the payload of a call holds one positional argument and no other.
    ///
    /// Such a payload is, byte for byte, that of a result which is this argument
    /// ([protocol, 7](daffi_wire::protocol#7)): an echo can send it back without understanding it.
    /// Classes and calls in it are not looked at, rather than refused.
    ///
    /// # Errors
    /// [`ReadError`] for what is not the payload of a call, or breaks a limit.
    pub fn is_sole_argument(&self, payload: &[u8]) -> Result<bool, ReadError> {
        let loaded = Loaded::new(payload, self.limits, Unknown::Skip)?;
        let (positional, keywords) = envelope::arguments(&loaded)?;
        Ok(positional.len() == 1 && keywords.len() == 0)
    }

    /// Writes a pickle to the end of `out`.
    ///
    /// # Errors
    /// [`WriteError`]; `out` may then hold half a pickle.
    pub fn write<T: Serialize + ?Sized>(&self, value: &T, out: &mut BytesMut) -> Result<(), WriteError> {
        let mut writer = Writer::new(out, self.limits.max_depth);
        value.serialize(&mut writer)?;
        writer.stop();
        Ok(())
    }
}

impl Codec for Pickle {
    fn id(&self) -> FormatId {
        FormatId::PICKLE
    }

    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        let writer = Writer::new(out.buffer(), self.limits.max_depth);
        let mut args_writer = ArgsWriter::new(writer, args.positional_len());
        args.visit(&mut args_writer)?;
        Ok(args_writer.end()?)
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        let mut writer = Writer::new(out.buffer(), self.limits.max_depth);
        writer.result(value)?;
        Ok(())
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let loaded = Loaded::new(&body.bytes, self.limits, Unknown::Refuse)?;
        let (positional, mut keywords) = envelope::arguments(&loaded)?;
        if positional.len() == 1
            && keywords.len() == 0
            && let Some(bytes) = positional.clone().next().and_then(|sole| loaded.shared_bytes(sole, &body.bytes))
            && sink.offer_shared(&bytes)
        {
            return Ok(());
        }
        loaded.count(positional.len() + keywords.len())?;
        for (index, slot) in positional.enumerate() {
            sink.positional(index, loaded.at(slot))?;
        }
        while let (Some(name), Some(slot)) = (keywords.next(), keywords.next()) {
            sink.keyword(&loaded.keyword(name)?, loaded.at(slot))?;
        }
        Ok(())
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let loaded = Loaded::new(&body.bytes, self.limits, Unknown::Refuse)?;
        let result = envelope::result(&loaded)?;
        if let Some(bytes) = loaded.shared_bytes(result, &body.bytes)
            && sink.offer_shared(&bytes)
        {
            return Ok(());
        }
        Ok(sink.result(loaded.at(result))?)
    }

    fn decode_item<S: ResultSink>(&self, item: &[u8], sink: &mut S) -> Result<(), SerdeError> {
        let loaded = Loaded::new(item, self.limits, Unknown::Refuse)?;
        let result = envelope::result(&loaded)?;
        Ok(sink.result(loaded.at(result))?)
    }

    /// The traceback (the fourth element) is not looked at: names and calls in it are skipped
    /// rather than refused.
    fn decode_error(&self, body: &Body) -> Result<RemoteError, SerdeError> {
        let loaded = Loaded::new(&body.bytes, self.limits, Unknown::Skip)?;
        Ok(envelope::error(&loaded)?)
    }

    fn decode_bound(&self, len: usize) -> usize {
        self.limits.decode_bound(len)
    }

    fn bytes_in_args(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        within::in_args(first, total, self.limits)
    }

    fn bytes_in_result(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        within::in_result(first, total, self.limits)
    }
}

use bytes::{Bytes, BytesMut};
use daffi_serde::{
    Args, ArgsSink, Body, Codec, Output, RemoteError, ResultSink, SerdeError, Value, ValueLimits,
    value::ValueDeserializer,
};
use daffi_wire::FormatId;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ReadError, WriteError, envelope,
    read::{Loaded, Unknown},
    write::{ArgsWriter, Writer},
};

/// The PICKLE format.
///
/// As a [`Codec`] it reads and writes the payloads of a call. Its own methods, and [`from_slice`](crate::from_slice) and
/// [`to_vec`](crate::to_vec), read and write any single value.
///
/// ```
/// use daffi_serde::{Value, ValueLimits};
/// use daffi_serde_pickle::Pickle;
///
/// // pickle.dumps([3, 'four'], protocol=0)
/// let value = Pickle::default().read(&b"(lp0\nI3\naVfour\np1\na.".as_slice().into())?;
/// assert_eq!(value, Value::List(vec![3.into(), "four".into()]));
///
/// let strict = Pickle::new(ValueLimits { max_depth: 1, ..ValueLimits::default() });
/// assert!(strict.read(&b"((tt.".as_slice().into()).is_err());
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

    /// Reads a pickle of any protocol. Bytes of 4 KiB or more are shared with `pickle`, others are copied.
    ///
    /// # Errors
    /// [`ReadError`] for what is no pickle of plain data, or breaks a limit.
    pub fn read(&self, pickle: &Bytes) -> Result<Value, ReadError> {
        Loaded::from_shared(pickle, self.limits, Unknown::Refuse)?.value()
    }

    /// Reads a pickle of any protocol as a `T`.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`ReadError::Type`] for what is no `T`.
    pub fn read_as<T: DeserializeOwned>(&self, pickle: &[u8]) -> Result<T, ReadError> {
        let value = Loaded::from_slice(pickle, self.limits, Unknown::Refuse)?.value()?;
        T::deserialize(ValueDeserializer::<ReadError>::new(value))
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
        let loaded = Loaded::from_slice(payload, self.limits, Unknown::Skip)?;
        let expander = loaded.expander();
        Ok(matches!(envelope::arguments(expander.graph(), loaded.root)?, ([_], [])))
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
        let loaded = Loaded::from_shared(&body.bytes, self.limits, Unknown::Refuse)?;
        let mut expander = loaded.expander();
        let graph = expander.graph();
        let (positional, keywords) = envelope::arguments(graph, loaded.root)?;
        if let ([sole], []) = (positional, keywords)
            && let Some(bytes) = expander.shared_bytes(*sole)
            && sink.shared(&bytes)
        {
            return Ok(());
        }
        for (index, slot) in positional.iter().enumerate() {
            sink.positional(index, ValueDeserializer::<ReadError>::new(expander.value(*slot)?))?;
        }
        for [name, slot] in keywords {
            let name = graph.text(*name).ok_or(ReadError::Envelope("arguments: a keyword is not text"))?;
            sink.keyword(name, ValueDeserializer::<ReadError>::new(expander.value(*slot)?))?;
        }
        Ok(())
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let loaded = Loaded::from_shared(&body.bytes, self.limits, Unknown::Refuse)?;
        let mut expander = loaded.expander();
        let result = envelope::result(expander.graph(), loaded.root)?;
        if let Some(bytes) = expander.shared_bytes(result)
            && sink.shared(&bytes)
        {
            return Ok(());
        }
        Ok(sink.result(ValueDeserializer::<ReadError>::new(expander.value(result)?))?)
    }

    /// A traceback (the fourth element) is not looked at: names and calls in it are skipped rather than refused.
    fn decode_error(&self, body: &Body) -> Result<RemoteError, SerdeError> {
        let loaded = Loaded::from_shared(&body.bytes, self.limits, Unknown::Skip)?;
        Ok(envelope::error(loaded.expander().graph(), loaded.root)?)
    }
}

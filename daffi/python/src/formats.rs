//! Payloads that pass the engine unread: Python reads and writes them.

use std::{any::Any, cell::RefCell};

use bytes::Bytes;
use daffi_serde::{Args, ArgsSink, ArgsVisitor, Body, FormatSet, Output, RemoteError, SerdeError, Value, to_value};
use daffi_wire::FormatId;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        DeserializeOwned, Error as _,
        value::{BoolDeserializer, Error, U8Deserializer},
    },
};

/// The names of the parameters under which a callback gets a payload as it came.
pub(crate) const RAW_PARAMS: &[&str] = &["body", "format", "text"];

/// From here on a payload is shared rather than copied.
const SHARE_FROM: usize = 8 * 1024;

const NEVER_READ: &str = "a payload that is passed on unread was read";

/// A payload that is written already: arguments, a result or an item.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Bytes,
    pub(crate) text: bool,
}

impl Args for Written {
    fn positional_len(&self) -> usize {
        1
    }

    /// Says whether it is text, for which arguments have no other place.
    fn keyword_len(&self) -> usize {
        usize::from(self.text)
    }

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        visitor.positional(self)
    }

    fn sole_bytes(&self) -> Option<&Bytes> {
        Some(&self.bytes)
    }
}

thread_local! {
    /// What was just serialised: a chunk of a stream, which is known by no type where it is
    /// written.
    static HANDED_OVER: RefCell<Option<Written>> = const { RefCell::new(None) };
}

/// It hands itself over to who asks for it, and is nothing to others.
impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        HANDED_OVER.set(Some(self.clone()));
        serializer.serialize_unit()
    }
}

/// Finds the only argument, if it is written already.
struct Sole(Option<Written>);

impl ArgsVisitor for Sole {
    type Error = SerdeError;

    fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
        HANDED_OVER.take();
        let _nothing = to_value(value);
        self.0 = HANDED_OVER.take();
        Ok(())
    }

    fn keyword<T: Serialize + ?Sized>(&mut self, _: &str, _: &T) -> Result<(), SerdeError> {
        Ok(())
    }
}

/// A result, or an item, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) text: bool,
    pub(crate) format: FormatId,
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(NEVER_READ))
    }
}

/// The formats that nodes of Python share with those of 3.0.1. They give what came as it came, and
/// know by the formats themselves what reading it may hold and what an error says.
#[derive(Clone, Default)]
pub(crate) struct Unread(daffi::Formats);

impl Unread {
    /// Results that were to go one by one, as one list for a caller that takes no others. Each is
    /// read again, so it must be plain data.
    fn encode_list(&self, id: FormatId, list: &[Written], out: &mut Output<'_>) -> Result<(), SerdeError> {
        let read = |written: &Written| {
            self.0.decode_result::<Value>(id, &Body { bytes: written.bytes.clone(), text: written.text })
        };
        let values = list.iter().map(read).collect::<Result<Vec<Value>, _>>()?;
        self.0.encode_result(id, &values, out)
    }
}

fn write(bytes: &Bytes, text: bool, out: &mut Output<'_>) {
    if text {
        out.mark_text();
    }
    if bytes.len() < SHARE_FROM {
        out.buffer().extend_from_slice(bytes);
    } else {
        out.share(bytes.clone());
    }
}

impl FormatSet for Unread {
    fn contains(&self, id: FormatId) -> bool {
        [FormatId::OPAQUE, FormatId::JSON, FormatId::PICKLE, FormatId::MSGPACK].contains(&id)
    }

    fn encode_args<A: Args>(&self, id: FormatId, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        match args.sole_bytes() {
            Some(bytes) => write(bytes, args.keyword_len() > 0, out),
            None => {
                let mut sole = Sole(None);
                args.visit(&mut sole)?;
                match sole.0 {
                    Some(written) => write(&written.bytes, written.text, out),
                    None => return self.0.encode_args(id, args, out),
                }
            }
        }
        Ok(())
    }

    fn encode_result<T: Serialize + 'static>(
        &self,
        id: FormatId,
        value: &T,
        out: &mut Output<'_>,
    ) -> Result<(), SerdeError> {
        let any: &dyn Any = value;
        if let Some(written) = any.downcast_ref::<Written>() {
            write(&written.bytes, written.text, out);
            return Ok(());
        }
        match any.downcast_ref::<Vec<Written>>() {
            Some(list) => self.encode_list(id, list, out),
            None => self.0.encode_result(id, value, out),
        }
    }

    fn decode_args<S: ArgsSink>(&self, id: FormatId, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        if !self.contains(id) {
            return Err(SerdeError::UnknownFormat(id));
        }
        if !sink.offer_shared(&body.bytes) {
            return self.0.decode_args(id, body, sink);
        }
        let [_, format, text] = [RAW_PARAMS[0], RAW_PARAMS[1], RAW_PARAMS[2]];
        let said = sink
            .keyword(format, U8Deserializer::<Error>::new(number_of(id)))
            .and_then(|()| sink.keyword(text, BoolDeserializer::<Error>::new(body.text)));
        said.map_err(|error| SerdeError::decode(id, error))
    }

    fn decode_result<T: DeserializeOwned + 'static>(&self, id: FormatId, body: &Body) -> Result<T, SerdeError> {
        if !self.contains(id) {
            return Err(SerdeError::UnknownFormat(id));
        }
        let mut received = Some(Received { bytes: body.bytes.clone(), text: body.text, format: id });
        let any: &mut dyn Any = &mut received;
        match any.downcast_mut::<Option<T>>().and_then(Option::take) {
            Some(received) => Ok(received),
            None => self.0.decode_result(id, body),
        }
    }

    /// Python makes no list of bytes.
    fn decode_bound(&self, id: FormatId, len: usize) -> usize {
        self.0.decode_bound_of_bytes(id, len)
    }

    fn decode_error(&self, id: FormatId, body: &Body) -> Result<RemoteError, SerdeError> {
        self.0.decode_error(id, body)
    }
}

/// The number that Python's `SerdeFormat` has for a format.
pub(crate) fn number_of(id: FormatId) -> u8 {
    match id {
        FormatId::OPAQUE => 0,
        FormatId::JSON => 1,
        FormatId::PICKLE => 2,
        _ => 3,
    }
}

/// The format of that number in Python's `SerdeFormat`.
pub(crate) fn format_of(number: u8) -> Option<FormatId> {
    [FormatId::OPAQUE, FormatId::JSON, FormatId::PICKLE, FormatId::MSGPACK].get(usize::from(number)).copied()
}

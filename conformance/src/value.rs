//! Payloads as values, where a recording leaves their form free or a reader wants to see what they
//! hold.

use daffi_serde::{Body, Codec, DynArgs, Value};
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;

use crate::{Format, Frame, Kind};

/// What a pickle holds, the order of sets aside. `None`: it is none of plain data.
///
/// The reader is this project's own, which its own tests hold to what Python writes.
pub(crate) fn read_pickle(payload: &bytes::Bytes) -> Option<Value> {
    Pickle::default().read(payload).ok().map(sort_sets)
}

fn sort_sets(value: Value) -> Value {
    let all = |items: Box<[Value]>| items.into_iter().map(sort_sets).collect::<Vec<_>>();
    let in_order = |items: Box<[Value]>| {
        let mut items = all(items);
        items.sort_by_cached_key(ToString::to_string);
        items
    };
    match value {
        Value::List(items) => Value::List(all(items).into()),
        Value::Tuple(items) => Value::Tuple(all(items).into()),
        Value::Set(items) => Value::Set(in_order(items).into()),
        Value::FrozenSet(items) => Value::FrozenSet(in_order(items).into()),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, item)| (sort_sets(key), sort_sets(item))).collect())
        }
        other => other,
    }
}

/// Payloads longer than this are not shown decoded.
const SHOWN: usize = 4096;

/// What a binary payload holds, for the reader of a recording.
pub(crate) fn readable(frame: &Frame) -> Option<String> {
    if !frame.kind.is_call() || frame.payload.len() > SHOWN {
        return None;
    }
    let plain = Frame {
        payload: frame.split_extensions().map_or_else(|| frame.payload.clone(), |(_, rest)| rest),
        ..frame.clone()
    };
    let frame = &plain;
    let text = match frame.format {
        Format::PICKLE => read_pickle(&frame.payload)?.to_string(),
        Format::MSGPACK => unpack(frame)?,
        _ => return None,
    };
    Some(text.replace(char::is_control, "."))
}

fn unpack(frame: &Frame) -> Option<String> {
    let body = Body::new(frame.payload.clone());
    if frame.kind == Kind::REQUEST {
        let mut args = DynArgs::default();
        Msgpack::default().decode_args(&body, &mut args).ok()?;
        return Some(format!(
            "{}, {}",
            Value::List(args.positional.into()),
            args.keywords.into_iter().collect::<Value>()
        ));
    }
    let mut result = None::<Value>;
    Msgpack::default().decode_result(&body, &mut result).ok()?;
    Some(result?.to_string())
}

//! Payloads of each format, read as plain values.

use bytes::BytesMut;
use daffi_serde::{Binding, Body, Codec, Opaque, Output, Value};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use daffi_wire::{FormatId, Level};

use crate::{Signature, Tape, recorded::frames};

fn sample() -> Value {
    let text = |text: &str| Value::Str(text.into());
    Value::List(
        vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(-70_000),
            Value::Float(1.5),
            text("é"),
            Value::Bytes(b"\x00\xff".to_vec().into()),
            Value::Map(vec![(text("k"), Value::List(vec![Value::Int(1 << 62)].into()))].into()),
        ]
        .into(),
    )
}

fn written<C: Codec>(number: u8, codec: &C, value: &Value) -> Option<Vec<u8>> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    codec.encode_result(value, &mut out).ok()?;
    let shared = out.take_shared().unwrap_or_default();
    Some([&[number], &buffer[..], &shared[..]].concat())
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for value in [sample(), Value::Str("text".into()), Value::Bytes(b"bytes".to_vec().into())] {
        seeds.extend(written(0, &Opaque::default(), &value));
        seeds.extend(written(1, &Json::default(), &value));
        seeds.extend(written(2, &Msgpack::default(), &value));
        seeds.extend(written(3, &Pickle::default(), &value));
        seeds.extend(written(4, &Postcard::default(), &value));
    }
    // What Python writes: a set, a date, a decimal, a shared list, protocol 0.
    for pickle in [
        &b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8f\x94(K\x01K\x02\x90."[..],
        b"\x80\x04\x95 \x00\x00\x00\x00\x00\x00\x00\x8c\x08datetime\x94\x8c\x04date\x94\x93\x94C\x04\x07\xea\x01\x02\x94\x85\x94R\x94.",
        b"\x80\x04\x95!\x00\x00\x00\x00\x00\x00\x00\x8c\x07decimal\x94\x8c\x07Decimal\x94\x93\x94\x8c\x031.5\x94\x85\x94R\x94.",
        b"\x80\x04\x95\r\x00\x00\x00\x00\x00\x00\x00]\x94(]\x94(K\x01eh\x01h\x01e.",
        b"(lp0\nI1\naI01\naF1.5\naVtext\np1\na.",
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01X\x01\x00\x00\x00bq\x02\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fu.",
    ] {
        seeds.push([&[3], pickle].concat());
        seeds.push([&[8], pickle].concat());
    }
    seeds.extend(frames().map(|frame| {
        let format = match frame.header().format(Level::THREE) {
            FormatId::JSON => 1,
            FormatId::MSGPACK => 2,
            FormatId::PICKLE => 3,
            _ => 0,
        };
        [&[format], frame.payload()].concat()
    }));
    seeds
}

pub(super) fn run(input: &[u8]) -> Result<Signature, String> {
    let mut tape = Tape::new(input);
    let how = tape.byte();
    let payload = tape.rest().to_vec();
    let body = if how & 0x80 == 0 { Body::new(payload) } else { Body::text(payload) };
    let what = match how % 5 {
        0 => check(&Opaque::default(), &body),
        1 => check(&Json::default(), &body),
        2 => check(&Msgpack::default(), &body),
        3 => check(&Pickle::default(), &body),
        _ => check(&Postcard::default(), &body),
    }?;
    Ok(Signature::of((how % 5, what)))
}

fn check<C: Codec>(codec: &C, body: &Body) -> Result<String, String> {
    let mut args = Binding::<(Value, Value)>::new("f", &["a", "b"]);
    let read_args = codec.decode_args(body, &mut args).err().map(|error| letters(&error.to_string()));
    let _bound = args.finish();
    let _error = codec.decode_error(body);
    let mut result = None::<Value>;
    let read = codec.decode_result(body, &mut result);
    let Some(result) = result.filter(|_| read.is_ok()) else {
        return Ok(format!(
            "{read_args:?} {}",
            read.err().map(|error| letters(&error.to_string())).unwrap_or_default()
        ));
    };
    // What was read can be written in a format that holds everything, and is the same then.
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    let pickle = Pickle::default();
    if let Err(error) = pickle.encode_result(&result, &mut out) {
        return Ok(format!("{read_args:?} not written: {}", letters(&error.to_string())));
    }
    let mut again = None::<Value>;
    if let Err(error) = pickle.decode_result(&Body::new(buffer.freeze()), &mut again) {
        return Err(format!("{result:?} was read, and cannot be read again: {error}"));
    }
    let again = again.unwrap_or(Value::Null);
    // NaN is not equal to itself, but looks the same.
    if format!("{again:?}") != format!("{result:?}") {
        return Err(format!("{result:?} became {again:?}"));
    }
    Ok(format!(
        "{read_args:?} {}",
        letters(&format!("{result:?}").chars().take_while(|c| *c != '(').collect::<String>())
    ))
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphabetic()).take(50).collect()
}

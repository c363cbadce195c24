//! What reading holds at most, counted by the allocator: alone in its process, and in one test.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    alloc::System,
    io::{Write, stderr},
};

use bytes::BytesMut;
use cap::Cap;
use daffi_serde::{Binding, Body, Codec, Output, Value, ValueLimits};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use serde::Serialize;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Runs with at most `most` bytes beyond those that are held already. More cannot be had: the test
/// ends with the allocator's message below the line that says what was tried.
fn within<T>(most: usize, what: &str, run: impl FnOnce() -> T) -> T {
    // Not through the capture of the test's output, which would be lost.
    stderr().write_all(format!("{what}: at most {most} bytes\n").as_bytes()).unwrap();
    MEMORY.set_limit(MEMORY.allocated() + most).unwrap();
    let made = run();
    MEMORY.set_limit(usize::MAX).unwrap();
    made
}

fn written<C: Codec>(format: &C, value: &(impl Serialize + 'static)) -> Body {
    let mut buffer = BytesMut::new();
    Codec::encode_return(format, value, &mut Output::new(&mut buffer)).unwrap();
    Body::new(buffer)
}

/// Reads `body` as a `Value`, or refuses it, within `most` bytes.
fn read<C: Codec>(format: &C, body: &Body, most: usize, name: &str) {
    let what = format!("{name} of {} bytes in {:?}", body.bytes.len(), Codec::id(format));
    let most = most.min(ValueLimits::default().decode_bound(body.bytes.len()));
    within(most, &what, || {
        let mut read = None::<Value>;
        let _either = Codec::decode_result(format, body, &mut read);
    });
}

fn each<T: Serialize + 'static>(name: &str, value: &T, multiple: usize) {
    fn one<C: Codec, T: Serialize + 'static>(format: &C, name: &str, value: &T, multiple: usize) {
        let body = written(format, value);
        let mut read_once = None::<Value>;
        Codec::decode_result(format, &body, &mut read_once).unwrap();
        drop(read_once);
        read(format, &body, (64 << 10) + multiple * body.bytes.len(), name);
    }
    one(&Json::default(), name, value, multiple);
    one(&Msgpack::default(), name, value, multiple);
    one(&Pickle::default(), name, value, multiple);
    one(&Postcard::default(), name, value, multiple);
}

#[test]
fn decoding_holds_what_its_payload_is_worth() {
    // What people send: at most eight times the payload.
    let rows: Vec<Value> = (0..5_000_i64)
        .map(|n| {
            let text = format!("a customer's name and address, number {n}");
            Value::from_iter([("id", Value::from(n + 1_000_000)), ("name", text.into()), ("score", 0.5.into())])
        })
        .collect();
    each("rows", &Value::from(rows), 8);
    let texts: Vec<Value> = (0..20_000).map(|n| format!("text number {n:06}").into()).collect();
    each("texts", &Value::from(texts), 8);
    each("floats", &Value::from((0..20_000).map(|n| f64::from(n) / 3.0).collect::<Vec<_>>()), 8);

    // The smallest values there are, in every nesting.
    let nulls = Value::from(vec![Value::Null; 200_000]);
    each("nulls", &nulls, 24);
    each("small integers", &Value::from(vec![1; 200_000]), 24);
    each("empty lists", &Value::from(vec![Value::List(Box::default()); 100_000]), 24);
    each("lists of one", &Value::from(vec![Value::from(vec![1]); 100_000]), 24);
    each("maps of one", &Value::from(vec![Value::from_iter([("", 1)]); 100_000]), 24);
    each("empty texts", &Value::from(vec![""; 100_000]), 24);

    // What nobody honest sends.
    let level = |below: u8| [&b"("[..], &[b'h', below].repeat(8), b"t\x94"].concat();
    let eights = [b"]\x94".to_vec(), (0..8).flat_map(level).collect(), b"\x85}\x86.".to_vec()].concat();
    read(&Pickle::default(), &Body::new(eights.clone()), usize::MAX, "shared references");
    for (name, pickle) in [
        ("tuples of one", [&b"("[..], &b"N\x85".repeat(200_000), b"l\x85}\x86."].concat()),
        ("memo", [&b"N"[..], &b"\x94".repeat(400_000), b"\x85}\x86."].concat()),
        ("remembered lists", [&b"("[..], &b"]\x94".repeat(200_000), b"l\x85}\x86."].concat()),
        ("marks", [&b"("[..], &b"(t".repeat(200_000), b"l\x85}\x86."].concat()),
        ("remembered nothing", [&b"("[..], &b"N\x94".repeat(200_000), b"l\x85}\x86."].concat()),
        ("decimals", [&b"("[..], &b"cdecimal\nDecimal\n\x8c\x011\x85R".repeat(20_000), b"l\x85}\x86."].concat()),
    ] {
        read(&Pickle::default(), &Body::new(pickle), usize::MAX, name);
    }
    // Lengths that are announced and never come, each within the one before.
    let announced = [&b"\x92\x91"[..], &b"\xdd\x00\x03\x00\x00".repeat(200), &[0xc0; 200_000]].concat();
    read(&Msgpack::default(), &Body::new(announced), usize::MAX, "announced lengths");

    // What a callback has no parameter for is not built.
    let body = written(&Pickle::default(), &nulls);
    within((64 << 10) + 8 * body.bytes.len(), "an argument that nobody takes", || {
        let mut call = Binding::<()>::new("f", &[]);
        Codec::decode_args(&Pickle::default(), &body, &mut call).unwrap();
    });
    let body = Body::new(eights);
    within(64 << 10, "shared references that nobody takes", || {
        let mut call = Binding::<()>::new("f", &[]);
        Codec::decode_args(&Pickle::default(), &body, &mut call).unwrap();
    });
}

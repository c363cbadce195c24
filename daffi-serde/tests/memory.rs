//! What reading holds at most, counted by the allocator: alone in its process, and in one test.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    alloc::System,
    collections::BTreeMap,
    io::{Write, stderr},
};

use bytes::{Bytes, BytesMut};
use cap::Cap;
use daffi_serde::{Binding, Body, Codec, DynArgs, Opaque, Output, Value, ValueLimits};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

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

fn encode<C: Codec>(format: &C, value: &(impl Serialize + 'static)) -> Body {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    Codec::encode_return(format, value, &mut out).unwrap();
    Body::new(out.take_shared().unwrap_or_else(|| buffer.freeze()))
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
        let body = encode(format, value);
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

/// One value that is referred to again and again, from two bytes each, by every opcode that makes
/// one of any length; and what is made again and again of the same parts.
fn shared_scalars() {
    let ones = b"1".repeat(100_000);
    let long = |before: &[u8], len: usize, after: &[u8]| [before, &ones[..len], after].concat();
    for (name, shared, each) in [
        ("text", long(b"X\xa0\x86\x01\0", 100_000, b""), &b"h\0"[..]),
        ("text of 64 bits", long(b"\x8d\xa0\x86\x01\0\0\0\0\0", 100_000, b""), b"h\0"),
        ("short text", long(b"\x8c\xff", 255, b""), b"h\0"),
        ("lines of text", long(b"V", 100_000, b"\n"), b"h\0"),
        ("lines of text with escapes", long(b"V\xe9", 100_000, b"\n"), b"h\0"),
        ("text of Python 2", long(b"T\xa0\x86\x01\0", 100_000, b""), b"h\0"),
        ("short text of Python 2", long(b"U\xff", 255, b""), b"h\0"),
        ("quoted text", long(b"S'", 100_000, b"'\n"), b"h\0"),
        ("quoted text with escapes", long(b"S'\\x41", 100_000, b"'\n"), b"h\0"),
        ("bytes", long(b"B\xa0\x86\x01\0", 100_000, b""), b"h\0"),
        ("short bytes", long(b"C\xff", 255, b""), b"h\0"),
        ("bytearrays", long(b"\x96\xa0\x86\x01\0\0\0\0\0", 100_000, b""), b"h\0"),
        ("integers", long(b"\x8b\0\x10\0\0", 4096, b""), b"h\0"),
        ("integers in digits", long(b"L", 4300, b"L\n"), b"h\0"),
        ("small integers in digits", long(b"I", 20, b"\n"), b"h\0"),
        ("shared decimals", long(b"cdecimal\nDecimal\nX\xa0\x86\x01\0", 100_000, b"\x85R"), b"h\0"),
        ("dates", b"cdatetime\ndate\n\x94C\x04\x07\xe8\x02\x1d\x85\x94".to_vec(), b"h\0h\x01R"),
        ("moments in zones", moments_in_zones(), b"h\0h\x01R"),
        ("sets", b"cbuiltins\nset\n\x94(K\x01K\x02l\x85\x94".to_vec(), b"h\0h\x01R"),
    ] {
        let memo = if each == b"h\0" { &b"\x94"[..] } else { b"" };
        let pickle = [&shared[..], memo, b"0(", &each.repeat(100_000), b"l\x85}\x86."].concat();
        read(&Pickle::default(), &Body::new(pickle), usize::MAX, name);
    }
    let names = [&long(b"X\xa0\x86\x01\0", 100_000, b"\x940)}(")[..], &b"h\0N".repeat(50_000), b"u\x86."].concat();
    let body = Body::new(names);
    within(ValueLimits::default().decode_bound(body.bytes.len()), "shared names of arguments", || {
        let mut call = DynArgs::default();
        let _either = Codec::decode_args(&Pickle::default(), &body, &mut call);
    });
}

/// The class of moments, and the arguments of one in a zone with a name as long as it may be.
fn moments_in_zones() -> Vec<u8> {
    let zone =
        [&b"cdatetime\ntimezone\ncdatetime\ntimedelta\nK\0K\x01K\0\x87R\x8c\x40"[..], &[b'Z'; 64], b"\x86R"].concat();
    let state = b"C\x0a\x07\xe8\x02\x1d\0\0\0\0\0\0";
    [&b"cdatetime\ndatetime\n\x94"[..], state, &zone, b"\x86\x94"].concat()
}

/// Types that make more of a byte than a byte.
#[derive(Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is never made")]
enum Untagged {
    Numbers(Vec<f64>),
}

#[derive(Deserialize)]
struct Flat {
    #[serde(flatten)]
    _rest: BTreeMap<String, Vec<u32>>,
}

#[derive(Deserialize)]
#[serde(tag = "kind")]
#[expect(dead_code, reason = "it is never made")]
enum Tagged {
    Holds { data: Vec<f64> },
}

/// The only value that is free of counting, wherever it stands.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    kind: String,
    data: Vec<u8>,
}

/// Elements that each of these reads may have.
const FEW: usize = 10_000;

/// What so few elements hold, as the largest that serde keeps, in a list that is moved as it grows;
/// and what serde makes room for at once.
const OF_FEW: usize = FEW * 32 * 4 + (2 << 20);

/// Refuses `body` as a `T`, within what the limit of values is worth.
fn check_refused<T: DeserializeOwned + 'static>(format: &impl Codec, body: &Body) {
    let what = format!("{} of {} bytes in {:?}", std::any::type_name::<T>(), body.bytes.len(), Codec::id(format));
    let result = within(OF_FEW, &what, || Codec::decode_result(format, body, &mut None::<T>));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("more than 10000 values (max_values)"), "{what}: {error}");
}

fn read_as<T: DeserializeOwned + 'static>(format: &impl Codec, body: &Body, most: usize) -> T {
    let what = format!("{} of {} bytes in {:?}", std::any::type_name::<T>(), body.bytes.len(), Codec::id(format));
    let (read, result) = within(most, &what, || {
        let mut read = None::<T>;
        let result = Codec::decode_result(format, body, &mut read);
        (read, result)
    });
    result.unwrap();
    read.unwrap()
}

/// Bytes that are read as a list, or as whatever is there, count as the list that they become; and
/// not at all where they stay what they are.
fn octets_as_elements() {
    const SENT: usize = 2 << 20;

    fn as_lists(format: &impl Codec, body: &Body) {
        check_refused::<Vec<f64>>(format, body);
        check_refused::<Vec<i64>>(format, body);
        check_refused::<Vec<Value>>(format, body);
        check_refused::<serde_json::Value>(format, body);
        check_refused::<Vec<serde_json::Value>>(format, body);
        check_refused::<Untagged>(format, body);
        check_refused::<Option<Untagged>>(format, body);
    }

    fn within_values(format: &impl Codec) {
        let holder = Value::from_iter([("kind", Value::from("Holds")), ("data", Value::Bytes(vec![7; SENT].into()))]);
        let body = encode(format, &holder);
        check_refused::<Flat>(format, &body);
        check_refused::<Tagged>(format, &body);
        check_refused::<serde_json::Value>(format, &body);
        check_refused::<BTreeMap<String, serde_json::Value>>(format, &body);
        // It grows by doubling.
        let held: Holder = read_as(format, &body, 3 * SENT);
        assert_eq!(held.data.len(), SENT);

        // Each by itself is within the limit, and not all of them.
        let many = Value::from(vec![Value::Bytes(vec![7; 1000].into()); 1000]);
        check_refused::<Vec<Vec<f64>>>(format, &encode(format, &many));
        check_refused::<Vec<Untagged>>(format, &encode(format, &many));
    }

    fn as_they_are(format: &impl Codec) {
        let large = vec![7; 30 << 20];
        let body = encode(format, &Bytes::from(large.clone()));
        assert_eq!(read_as::<Bytes>(format, &body, large.len() + 1024), large);
        assert_eq!(read_as::<Vec<u8>>(format, &body, large.len() + 1024), large);
        assert_eq!(read_as::<Value>(format, &body, large.len() + 1024).as_bytes(), Some(&large[..]));
    }

    let few = ValueLimits::default().max_values(FEW);
    let sent = Bytes::from(vec![7; SENT]);
    let (json, msgpack, pickle, opaque) = (Json::new(few), Msgpack::new(few), Pickle::new(few), Opaque::new(few));
    as_lists(&msgpack, &encode(&msgpack, &sent));
    as_lists(&pickle, &encode(&pickle, &sent));
    as_lists(&opaque, &encode(&opaque, &sent));
    // JSON and postcard have no list of another kind for them.
    as_lists(&json, &encode(&json, &sent.to_vec()));
    let body = encode(&Postcard::default(), &vec![7_i64; SENT]);
    check_refused::<Vec<i64>>(&Postcard::new(few), &body);
    check_refused::<Vec<i16>>(&Postcard::new(few), &body);

    within_values(&msgpack);
    within_values(&pickle);
    as_they_are(&msgpack);
    as_they_are(&pickle);
    as_they_are(&opaque);
    let text = "x".repeat(30 << 20);
    assert_eq!(read_as::<String>(&msgpack, &encode(&msgpack, &text), text.len() + 1024), text);

    // The list of the arguments itself.
    let mut hidden = BytesMut::from(&b"\x92\xc6\x00\x20\x00\x00"[..]);
    hidden.resize(hidden.len() + SENT, 7);
    hidden.extend_from_slice(b"\x80");
    within(OF_FEW, "bytes in the place of the arguments", || {
        let mut call = DynArgs::default();
        Codec::decode_args(&msgpack, &Body::new(hidden), &mut call).unwrap_err();
    });
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
    shared_scalars();
    octets_as_elements();
    // Lengths that are announced and never come, each within the one before.
    let announced = [&b"\x92\x91"[..], &b"\xdd\x00\x03\x00\x00".repeat(200), &[0xc0; 200_000]].concat();
    read(&Msgpack::default(), &Body::new(announced), usize::MAX, "announced lengths");

    // What a callback has no parameter for is not built.
    let body = encode(&Pickle::default(), &nulls);
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

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Args, Binding, Body, Codec, Output, RemoteError, Value, args};
use serde::{Serialize, de::DeserializeOwned};

use crate::Msgpack;

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, String> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    Msgpack::default().encode_result(value, &mut out).map_err(|error| error.to_string())?;
    assert!(!out.is_text());
    Ok(buffer.freeze())
}

/// The value's own bytes.
fn inner<T: Serialize + ?Sized>(value: &T) -> Bytes {
    let whole = encode(value).unwrap();
    assert_eq!((&whole[..2], &whole[whole.len() - 1..]), (&[0x92, 0x91][..], &[0x80][..]));
    whole.slice(2..whole.len() - 1)
}

fn encode_call(args: &impl Args) -> BytesMut {
    let mut buffer = BytesMut::new();
    Msgpack::default().encode_args(args, &mut Output::new(&mut buffer)).unwrap();
    buffer
}

fn read<T: DeserializeOwned + 'static>(bytes: impl Into<Bytes>) -> Result<T, String> {
    let mut slot = None;
    Msgpack::default().decode_result(&Body::new(bytes), &mut slot).map_err(|error| error.to_string())?;
    Ok(slot.unwrap())
}

fn result<T: DeserializeOwned + 'static>(inner: &[u8]) -> Result<T, String> {
    read([&[0x92, 0x91], inner, &[0x80]].concat())
}

#[test]
fn the_bytes_are_those_of_python() {
    // docs/protocol.md#7.1 and docs/protocol.md#7.3.
    assert_eq!(encode(&3).unwrap(), [0x92, 0x91, 3, 0x80][..]);
    let error = RemoteError::new("ValueError", "bad");
    let bytes = b"\x92\x91\x94\xaaValueError\xa8builtins\xa3bad\xc0\x80";
    assert_eq!(encode(&error).unwrap(), bytes[..]);
    assert_eq!(Msgpack::default().decode_error(&Body::new(&bytes[..])), Ok(error));
    assert_eq!(encode_call(&args![1, "a", k = true]), b"\x92\x92\x01\xa1a\x81\xa1k\xc3"[..]);
}

#[test]
fn octets_are_bytes() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Nested {
        data: Vec<u8>,
    }
    assert_eq!(inner(&Bytes::from("ab")), b"\xc4\x02ab"[..]);
    assert_eq!(inner(&b"ab".to_vec()), b"\xc4\x02ab"[..]);
    assert_eq!(inner(&Nested { data: vec![1] }), b"\x81\xa4data\xc4\x01\x01"[..]);
    assert_eq!(encode_call(&(Vec::<u8>::new(), 1_u8)), b"\x92\x92\xc4\x00\x01\x80"[..], "empty, and args are no bytes");
    assert_eq!(encode_call(&(1_u8, 2_u8)), b"\x92\x92\x01\x02\x80"[..]);
    assert_eq!(inner(&vec![1_u16, 2]), b"\x92\x01\x02"[..]);
    assert_eq!(inner(&Value::from(vec![1, 2])), b"\x92\x01\x02"[..]);

    for bytes in [&b"\xc4\x02ab"[..], b"\x92\x61\x62"] {
        assert_eq!(result(bytes), Ok(b"ab".to_vec()));
        assert_eq!(result(bytes), Ok(Bytes::from("ab")));
        assert_eq!(result(bytes), Ok([97_i32, 98]));
    }
    assert_eq!(result(b"\x81\xa4data\xc4\x01\x01"), Ok(Nested { data: vec![1] }));
    assert!(result::<String>(b"\xc4\x02ab").unwrap_err().contains("invalid type: bytes, expected a string"));
}

#[test]
fn integers_end_at_64_bits() {
    assert_eq!(inner(&3_i128), [3][..]);
    assert_eq!(inner(&u128::from(u64::MAX)), b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"[..]);
    assert_eq!(
        encode(&(1_i128 << 64)).unwrap_err(),
        "cannot write MSGPACK: 18446744073709551616 is beyond 64 bits, where integers of MSGPACK end; JSON and PICKLE \
         carry it"
    );
    assert!(encode(&Value::from(i128::MIN)).is_err());
    let widest = encode(&Value::from(u128::MAX)).unwrap_err();
    assert!(
        widest.contains(&format!("{} is beyond 64 bits", u128::MAX)) && widest.contains("JSON and PICKLE"),
        "{widest}"
    );
    assert_eq!(result(b"\xff"), Ok(-1_i128));
    assert!(result::<u128>(b"\xff").is_err(), "not 2^128 - 1");
    assert_eq!(result(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), Ok(u128::from(u64::MAX)));
}

#[test]
fn text_that_is_not_utf_8_is_an_error_and_loses_no_exception() {
    let why = "text (str) that is not UTF-8: invalid utf-8 sequence of 1 bytes from index 1; bytes are sent as bin";
    let long = [b"\xd9\x28a\xff".as_slice(), &[b'x'; 38]].concat();
    for text in [b"\xa2a\xff".as_slice(), b"\xda\0\x02a\xff", b"\xdb\0\0\0\x02a\xff", &long] {
        for error in [
            result::<Value>(text).unwrap_err(),
            result::<String>(text).unwrap_err(),
            result::<Vec<u16>>(text).unwrap_err(),
            result::<serde::de::IgnoredAny>(text).map(drop).unwrap_err(),
            result::<Value>(&[b"\x81", text, b"\x01"].concat()).unwrap_err(),
        ] {
            assert!(error.contains(why), "{error}");
        }
        // Bytes are what it asks for.
        assert_eq!(result::<Bytes>(text).map(|bytes| bytes[..2].to_vec()), Ok(b"a\xff".to_vec()));
    }
    assert_eq!(result(b"\xc4\x02a\xff"), Ok(Value::Bytes(b"a\xff".as_slice().into())));

    let error = b"\x92\x91\x94\xa7OSError\xa8builtins\xa5a\xed\xb3\xbfb\xc0\x80";
    assert_eq!(Msgpack::default().decode_error(&Body::new(&error[..])), Ok(RemoteError::new("OSError", "a\u{fffd}b")));
}

#[test]
fn structs_are_maps_and_addresses_text() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    enum Shape {
        Circle(u8),
    }
    assert_eq!(inner(&IpAddr::from(Ipv4Addr::LOCALHOST)), b"\xa9127.0.0.1"[..]);
    assert_eq!(inner(&Unit), b"\xc0"[..]);
    assert_eq!(inner(&Shape::Circle(1)), b"\x81\xa6Circle\x01"[..]);
    assert_eq!(inner(&f64::NAN)[0], 0xcb);
    assert_eq!(result(b"\xa9127.0.0.1"), Ok(IpAddr::from(Ipv4Addr::LOCALHOST)));
}

#[test]
fn keys_are_read_whatever_they_are_and_written_if_python_can_hash_them() {
    // msgpack of Python reads both as a list, and ends with `unhashable type: 'list'`.
    for key in [Value::Tuple(vec![1.into()].into()), vec![1].into()] {
        let map = Value::Map(vec![(key.clone(), 2.into())].into());
        let mut buffer = BytesMut::new();
        let error = Msgpack::default().encode_result(&map, &mut Output::new(&mut buffer)).unwrap_err().to_string();
        assert!(error.contains(&format!("(the key is {key})")), "{error}");
    }
    assert_eq!(inner(&Value::from_iter([(Value::Null, 2)])), b"\x81\xc0\x02"[..]);
    assert_eq!(result(b"\x81\x91\x01\x02"), Ok(Value::Map(vec![(vec![1].into(), 2.into())].into())));
    assert_eq!(result(b"\x81\x01\x02"), Ok(HashMap::from([(1, 2)])));
}

#[test]
fn what_is_no_payload_is_refused() {
    assert!(read::<i64>(&b"\x92\x91\x03\x80\x80"[..]).unwrap_err().contains("bytes after the end"));
    assert!(read::<i64>(&b"\x92\x90\x80"[..]).unwrap_err().contains("expected one result"));
    assert!(read::<i64>(&b"\x91\x91\x03"[..]).unwrap_err().contains("expected a pair"));
    assert!(read::<i64>(&b"\x93\x91\x03\x80\x80"[..]).is_err());
    assert!(read::<i64>(&b""[..]).is_err());
    for timestamp in [&b"\xd6\xff\0\0\0\0"[..], b"\xc7\x00\x01"] {
        assert!(result::<Value>(timestamp).unwrap_err().contains("extension types of MSGPACK are not read"));
        assert!(result::<i64>(timestamp).unwrap_err().contains("extension types of MSGPACK are not read"));
    }
    let mut binding = Binding::<(i64,)>::new("f", &["a"]);
    let error = Msgpack::default().decode_args(&Body::new(&b"\x92\x91\xa1x\x80"[..]), &mut binding).unwrap_err();
    assert_eq!(
        binding.explain(&error).message,
        "f() argument 'a': cannot read MSGPACK: invalid type: string \"x\", expected i64"
    );
}

#[test]
fn depth_and_announced_lengths_are_limited() {
    let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    assert!(result::<Value>(&nested(256)).is_ok());
    assert!(result::<Value>(&nested(257)).unwrap_err().contains("nested deeper than 256 levels (max_depth)"));
    assert!(result::<Value>(&nested(1 << 20)).is_err());
    let mut binding = Binding::<()>::new("f", &[]);
    let ignored = [&[0x92, 0x91][..], &nested(1 << 20), &[0x80]].concat();
    assert!(Msgpack::default().decode_args(&Body::new(ignored), &mut binding).is_err());
    for announced in
        [&b"\xdd\xff\xff\xff\xff"[..], b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
    {
        assert!(result::<Value>(announced).is_err());
        assert!(result::<Vec<[u64; 32]>>(announced).is_err());
        assert!(result::<Bytes>(announced).is_err());
    }
}

#[test]
fn what_is_cut_short_says_so() {
    let mut whole = BytesMut::new();
    Msgpack::default().encode_result(&("a text", 1.5, vec![1_u16; 20]), &mut Output::new(&mut whole)).unwrap();
    let whole = whole.freeze();
    for len in 0..whole.len() {
        let middle =
            format!("cannot read MSGPACK: it ends in the middle of a value, after {len} bytes: it was cut short");
        let says_so = |said: String| {
            let too_many = said.ends_with("elements are announced, more than the payload has bytes for");
            assert!(too_many || said.starts_with(&middle), "{said}");
        };
        says_so(read::<(String, f64, Vec<u16>)>(whole.slice(..len)).unwrap_err());
        says_so(read::<Value>(whole.slice(..len)).unwrap_err());
    }
}

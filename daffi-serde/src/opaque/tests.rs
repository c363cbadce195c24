use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Args, Binding, Body, Codec, Opaque, Output, Params, Value, args};

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<(String, bool), String> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    Opaque::default().encode_result(value, &mut out).map_err(|error| error.to_string())?;
    let text = out.is_text();
    Ok((String::from_utf8(buffer.to_vec()).unwrap(), text))
}

fn call(args: &impl Args) -> Result<(Bytes, bool, bool), String> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    Opaque::default().encode_args(args, &mut out).map_err(|error| error.to_string())?;
    let (text, shared) = (out.is_text(), out.take_shared());
    let is_shared = shared.is_some();
    Ok((shared.unwrap_or_else(|| buffer.freeze()), text, is_shared))
}

fn read<T: DeserializeOwned + 'static>(body: &Body) -> Result<T, String> {
    let mut slot = None;
    Opaque::default().decode_result(body, &mut slot).map_err(|error| error.to_string())?;
    Ok(slot.unwrap())
}

fn bind<P: Params>(body: &Body) -> Result<P, String> {
    let mut binding = Binding::<P>::new("f", &["x", "y"]);
    Opaque::default().decode_args(body, &mut binding).map_err(|error| error.to_string())?;
    binding.finish().map_err(|error| error.message)
}

#[test]
fn values_are_written_as_python_prints_them() {
    let text = |text: &str| Ok((text.to_owned(), true));
    assert_eq!(encode(&3), text("3"), "7.1: 33");
    assert_eq!(encode(&-1_i8), text("-1"));
    assert_eq!(encode(&u128::MAX), text("340282366920938463463374607431768211455"));
    assert_eq!(encode(&1.0), text("1.0"));
    assert_eq!(encode(&1e16), text("1e+16"));
    assert_eq!(encode(&f64::NAN), text("nan"));
    assert_eq!(encode(&f64::INFINITY), text("inf"));
    assert_eq!(encode(&true), text("True"));
    assert_eq!(encode(&()), text("None"));
    assert_eq!(encode(&None::<i64>), text("None"));
    assert_eq!(encode(&Some("x")), text("x"));
    assert_eq!(encode("héllo"), text("héllo"));
    assert_eq!(encode(&'x'), text("x"));
    assert_eq!(encode(&Value::Decimal("1.50".into())), text("1.50"));
    assert_eq!(encode(&Value::Bytes(b"raw".as_slice().into())), Ok(("raw".to_owned(), false)));
}

#[test]
fn containers_are_errors_that_name_other_formats() {
    let error = "cannot write OPAQUE: a list has no OPAQUE form; JSON, MSGPACK and PICKLE carry it";
    assert_eq!(encode(&vec![1]), Err(error.to_owned()));
    assert!(encode(&(1, 2)).is_err());
    assert!(encode(&Value::Map(vec![].into())).is_err());
    assert!(encode(&Value::Complex(1.0, 2.0)).is_err());
}

#[test]
fn a_call_has_one_argument() {
    assert_eq!(call(&()), Ok((Bytes::new(), false, false)));
    assert_eq!(call(&("x",)), Ok((Bytes::from("x"), true, false)));
    assert_eq!(call(&(vec![1_u8, 2],)), Ok((Bytes::from(vec![1, 2]), false, false)));
    assert!(call(&(1, 2)).unwrap_err().contains("2 and 0 keyword arguments were given"));
    assert!(call(&args![x = 1]).unwrap_err().contains("0 and 1 keyword arguments were given"));
}

#[test]
fn large_bytes_are_shared_both_ways() {
    let large = Bytes::from(vec![7; 4096]);
    for (sent, shared) in [(large.slice(..1023), false), (large.slice(..1024), true)] {
        let (body, text, was_shared) = call(&sent).unwrap();
        assert_eq!((body == sent, text, was_shared), (true, false, shared));
        assert_eq!(body.as_ptr() == sent.as_ptr(), shared);
        let (body, _, was_shared) = call(&crate::Owned(sent.clone())).unwrap();
        assert_eq!((body == sent, was_shared), (true, shared));
        // A tuple's elements may be borrowed, so nothing is known of what they share.
        let (body, _, was_shared) = call(&(sent.clone(),)).unwrap();
        assert_eq!((body == sent, was_shared), (true, false));
    }
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    Opaque::default().encode_return(&large, &mut out).unwrap();
    assert_eq!(out.take_shared().unwrap().as_ptr(), large.as_ptr());

    let kept: Bytes = read(&Body::new(large.clone())).unwrap();
    assert_eq!(kept.as_ptr(), large.as_ptr());
    let (kept,): (Bytes,) = bind(&Body::new(large.clone())).unwrap();
    assert_eq!(kept.as_ptr(), large.as_ptr());
    let copied: Bytes = read(&Body::new(large.slice(1..))).unwrap();
    assert_ne!(copied.as_ptr(), large[1..].as_ptr());
}

#[test]
fn the_type_asked_for_decides() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    enum Colour {
        Red,
    }
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Metres(f64);

    assert_eq!(read(&Body::text("42")), Ok(42_u8));
    assert_eq!(read(&Body::text("42")), Ok(42.0));
    assert_eq!(read(&Body::text("1e+16")), Ok(Metres(1e16)));
    assert_eq!(read(&Body::text("inf")), Ok(f64::INFINITY));
    assert_eq!(read(&Body::text("False")), Ok(false));
    assert_eq!(read(&Body::text("None")), Ok(()));
    assert_eq!(read(&Body::text("None")), Ok(None::<String>));
    assert_eq!(read(&Body::text("7")), Ok(Some(7)));
    assert_eq!(read(&Body::text("Red")), Ok(Colour::Red));
    assert_eq!(read(&Body::text("é")), Ok('é'));
    assert_eq!(read(&Body::text("ab")), Ok("ab".to_owned()));
    assert_eq!(read(&Body::text("ab")), Ok(b"ab".to_vec()));
    assert_eq!(read(&Body::text("ab")), Ok(Bytes::from("ab")));
    assert_eq!(read(&Body::text("42")), Ok(Value::from("42")));
    assert_eq!(read(&Body::new("ab")), Ok(b"ab".to_vec()));
    assert_eq!(read(&Body::new("ab")), Ok(Some(b"ab".to_vec())));
    assert_eq!(read(&Body::new("ab")), Ok(Value::Bytes(b"ab".as_slice().into())));
    assert_eq!(read(&Body::new("")), Ok(()));
}

#[test]
fn what_does_not_fit_is_said() {
    let error = |result: Result<String, String>| result.unwrap_err();
    assert_eq!(
        error(read(&Body::new("ab"))),
        "cannot read OPAQUE: invalid type: bytes, which are no text, expected a string"
    );
    assert_eq!(
        read::<i8>(&Body::text("300")),
        Err("cannot read OPAQUE: invalid value: string \"300\", expected i8".to_owned())
    );
    assert!(read::<bool>(&Body::text("true")).is_err());
    assert!(read::<i64>(&Body::text("1.0")).is_err());
    assert!(error(read(&Body::text(&b"\xff"[..]))).contains("not UTF-8"));
    assert!(read::<Value>(&Body::text(&b"\xff"[..])).is_err());
    assert!(read::<Vec<i64>>(&Body::text("[1]")).unwrap_err().contains("JSON, MSGPACK and PICKLE carry containers"));
}

#[test]
fn parameters_and_the_one_argument() {
    assert_eq!(bind(&Body::new("")), Ok(()));
    assert_eq!(bind(&Body::text("x")), Err::<(), _>("f() takes 0 positional arguments but 1 was given".to_owned()));
    assert_eq!(bind(&Body::new("")), Ok((Bytes::new(),)));
    assert_eq!(bind(&Body::text("1")), Ok((1, None::<i64>)));
    assert_eq!(bind::<(i64, i64)>(&Body::text("1")), Err("f() missing 1 required positional argument: 'y'".to_owned()));
}

#[test]
fn elements_of_bytes_are_counted_unless_each_is_a_byte() {
    let (few, body) = (Opaque::new(crate::ValueLimits::default().max_values(3)), Body::new(vec![1, 2, 3, 4]));
    let refused = "cannot read OPAQUE: more than 3 values (max_values), each of them one byte of bytes: read those as Bytes, \
                   Vec<u8> or daffi's Value, which count as one";
    let mut floats = None::<Vec<f64>>;
    assert_eq!(few.decode_result(&body, &mut floats).unwrap_err().to_string(), refused);
    let mut call = Binding::<(Vec<Value>,)>::new("f", &[]);
    assert_eq!(few.decode_args(&body, &mut call).unwrap_err().to_string(), refused);
    let mut items = None::<Vec<u32>>;
    assert_eq!(few.decode_item(&body.bytes, &mut items).unwrap_err().to_string(), refused);
    let (mut octets, mut small) = (None::<Box<[u8]>>, None::<(u16, i64, f64)>);
    few.decode_result(&body, &mut octets).unwrap();
    few.decode_result(&Body::new(vec![1, 2, 3]), &mut small).unwrap();
    assert_eq!((octets.as_deref(), small), (Some(&[1, 2, 3, 4][..]), Some((1, 2, 3.0))));
}

#[test]
fn what_reading_may_hold_is_more_than_the_payload_where_a_list_is_made_of_it() {
    let opaque = Opaque::default();
    assert_eq!(opaque.decode_bound_of_bytes(1 << 20), 1 << 20);
    assert_eq!(opaque.decode_bound(1 << 20), crate::ValueLimits::default().decode_bound(1 << 20));
    assert!(<(Bytes, Option<String>, Value)>::keep_bytes() && <(Vec<u8>, i64)>::keep_bytes() && <()>::keep_bytes());
    assert!(!<(Bytes, Vec<u16>)>::keep_bytes() && !<(Vec<Value>,)>::keep_bytes() && !<(Box<[u8]>,)>::keep_bytes());
}

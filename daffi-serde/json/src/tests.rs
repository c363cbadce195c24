use bytes::{Bytes, BytesMut};
use daffi_serde::{Binding, Body, Codec, Output, Params, RemoteError, Value, ValueLimits, args};
use num_bigint::BigInt;
use serde::{Serialize, de::DeserializeOwned};

use crate::Json;

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    Json::default().encode_result(value, &mut out).map_err(|error| error.to_string())?;
    assert!(out.is_text());
    Ok(String::from_utf8(buffer.to_vec()).unwrap())
}

fn read<T: DeserializeOwned + 'static>(text: impl Into<Bytes>) -> Result<T, String> {
    let mut slot = None;
    Json::default().decode_result(&Body::text(text), &mut slot).map_err(|error| error.to_string())?;
    Ok(slot.unwrap())
}

fn result<T: DeserializeOwned + 'static>(text: &str) -> Result<T, String> {
    read(format!(r#"{{"args": [{text}], "kwargs": {{}}}}"#))
}

fn bind<P: Params>(text: impl Into<Bytes>) -> Result<P, String> {
    let mut binding = Binding::new("f", &["a", "b"]);
    Json::default().decode_args(&Body::text(text), &mut binding).map_err(|error| error.to_string())?;
    binding.finish().map_err(|error| error.message)
}

#[test]
fn what_python_writes_is_read() {
    // docs/protocol.md#7.1 and docs/protocol.md#7.3.
    assert_eq!(read(&b"{\"args\": [3], \"kwargs\": {}}"[..]), Ok(3));
    let error = Body::text(r#"{"args": [["ValueError", "builtins", "bad", null]], "kwargs": {}}"#);
    assert_eq!(Json::default().decode_error(&error), Ok(RemoteError::new("ValueError", "bad")));
    assert_eq!(result(r#""\u00e9""#), Ok("é".to_owned()));
}

#[test]
fn both_keys_once_in_any_order() {
    assert_eq!(bind(r#"{"kwargs": {"b": 2}, "more": [[{}]], "args": [1]}"#), Ok((1, 2)));
    assert!(bind::<()>(r#"{"args": []}"#).unwrap_err().contains("missing field `kwargs`"));
    assert!(bind::<()>(r#"{"kwargs": {}}"#).unwrap_err().contains("missing field `args`"));
    assert!(bind::<()>(r#"{"args": [], "args": [], "kwargs": {}}"#).unwrap_err().contains("duplicate field `args`"));
    assert!(bind::<()>("[[], {}]").unwrap_err().contains(r#"expected an object with "args" and "kwargs""#));
    assert!(bind::<()>(r#"{"args": [], "kwargs": {}} x"#).unwrap_err().contains("trailing characters"));
    assert!(bind::<()>(&b"{\"args\": [\"\xff\"], \"kwargs\": {}}"[..]).unwrap_err().contains("not UTF-8"));
    assert!(read::<i64>(r#"{"args": [], "kwargs": {}}"#).unwrap_err().contains("expected one result"));
    assert_eq!(read(r#"{"args": [1, 2], "kwargs": {}}"#), Ok(1));
}

#[test]
fn what_json_has_not_is_an_error_that_names_what_has() {
    let error = |result: Result<String, String>| result.unwrap_err();
    assert_eq!(error(encode(&f64::NAN)), "cannot write JSON: JSON has no NaN; MSGPACK and PICKLE carry it");
    assert!(error(encode(&vec![Some(f32::NEG_INFINITY)])).contains("JSON has no -Infinity"));
    assert_eq!(
        error(encode(&Value::Bytes(b"abc".as_slice().into()))),
        "cannot write JSON: JSON has no bytes (3 were given); MSGPACK, PICKLE and OPAQUE carry them"
    );
    let pairs: Value = [(Value::Tuple(vec![1.into(), 2.into()].into()), "pair")].into_iter().collect();
    assert_eq!(
        error(encode(&pairs)),
        "cannot write JSON: key must be a string; MSGPACK has keys that are numbers or bytes, PICKLE tuples as well; every format has a list of pairs"
    );
    for (text, number) in [("NaN", "NaN"), ("[\n 1, Infinity]", "Infinity"), ("{\"k\": -Infinity}", "Infinity")] {
        let error = result::<Value>(text).unwrap_err();
        assert!(error.contains(&format!("JSON has no {number}; MSGPACK and PICKLE carry it")), "{text}: {error}");
    }
}

#[test]
fn octets_are_a_list_of_numbers() {
    let mut buffer = BytesMut::new();
    Json::default().encode_args(&args![vec![1_u8, 2], k = Vec::<u8>::new()], &mut Output::new(&mut buffer)).unwrap();
    assert_eq!(buffer, r#"{"args":[[1,2]],"kwargs":{"k":[]}}"#);
    assert_eq!(result("[1, 2]"), Ok(vec![1_u8, 2]));
    assert_eq!(result("[1, 2]"), Ok(Bytes::from_static(&[1, 2])));
}

#[test]
fn integers_never_become_floats() {
    assert_eq!(encode(&i128::MIN), Ok(format!(r#"{{"args":[{}],"kwargs":{{}}}}"#, i128::MIN)));
    assert_eq!(result("18446744073709551615"), Ok(Value::from(u64::MAX)));
    assert_eq!(result(&u128::MAX.to_string()), Ok(u128::MAX));
    assert_eq!(result(&i128::MIN.to_string()), Ok(i128::MIN));
    assert_eq!(result("18446744073709551616"), Ok(18_446_744_073_709_551_616.0));
    assert!(result::<i64>("9223372036854775808").is_err());
    assert!(result::<i64>("1.0").is_err());
    // The first three are one float.
    for text in ["18446744073709551616", "18446744073709551617", "18446744073709551615", "-9223372036854775809"] {
        let integer = Value::from(text.parse::<BigInt>().unwrap());
        for around in [text.to_owned(), format!(" {text} ")] {
            assert_eq!(result(&around), Ok(integer.clone()), "{around}");
        }
        let list = format!("[{text}, 1.8446744073709552e19,\t{{\"k\":{text}}}, {text}.0]");
        let read = Value::from(vec![
            integer.clone(),
            18_446_744_073_709_552_000.0.into(),
            [("k", integer.clone())].into_iter().collect(),
            text.parse::<f64>().unwrap().into(),
        ]);
        assert_eq!(result(&list), Ok(read.clone()));
        assert_eq!(encode(&integer), Ok(format!(r#"{{"args":[{text}],"kwargs":{{}}}}"#)));
        assert_eq!(
            bind::<(Value, Value)>(format!(r#"{{"args":[{text}],"kwargs":{{"b":{list}}}}}"#)),
            Ok((integer, read))
        );
    }
}

#[test]
fn the_largest_integers_are_read_and_written_whole() {
    let power = |exponent| Value::from(BigInt::from(2).pow(exponent));
    for value in [power(70), power(128), power(1000), Value::from(-BigInt::from(10).pow(307)), u128::MAX.into()] {
        assert_eq!(encode(&value), Ok(format!(r#"{{"args":[{value}],"kwargs":{{}}}}"#)));
        assert_eq!(result(&value.to_string()), Ok(value.clone()));
        assert_eq!(result(&format!("[{value}, 6.02e23]")), Ok((value, 6.02e23)));
    }
    assert_eq!(
        encode(&power(1024)).unwrap_err(),
        "cannot write JSON: an integer of 309 digits; those of JSON have at most 308, PICKLE carries larger ones"
    );
    assert!(result::<Value>(&format!("1{}", "0".repeat(400))).unwrap_err().contains("number out of range"));
}

#[test]
fn large_floats_stay_floats() {
    for text in ["6.02e23", "1e300", "-1e19", "9223372036854775808.0", "1E+20", "602000000000000000000000e0"] {
        let float: f64 = text.parse().unwrap();
        assert_eq!(result(text), Ok(Value::Float(float)), "{text}");
        assert_eq!(result(&format!("[{text}]")), Ok(serde_json::json!([float])), "{text}");
        let written = encode(&Value::Float(float)).unwrap();
        assert_eq!(read(written), Ok(Value::Float(float)), "{text}");
    }
}

#[test]
fn an_integer_that_a_type_has_no_place_for_is_an_error() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(untagged)]
    enum Number {
        Integer(i64),
        Float(f64),
    }
    assert_eq!(result("[1, 2.5, 1e20]"), Ok(vec![Number::Integer(1), Number::Float(2.5), Number::Float(1e20)]));
    let error = result::<Number>("18446744073709551616").unwrap_err();
    assert!(error.contains("18446744073709551616 is an integer beyond 64 bits"), "{error}");
    assert!(result::<serde_json::Value>("[18446744073709551616]").is_err());
}

#[test]
fn a_lone_surrogate_is_no_text_but_loses_no_exception() {
    // What `json.dumps` writes for text with the name of a file that is not UTF-8.
    let text = r#""no file a\udcff \ud83d\ude00""#;
    assert!(result::<String>(text).unwrap_err().contains("lone leading surrogate"), "{:?}", result::<String>(text));
    assert!(result::<Value>(text).is_err());
    let error = format!(r#"{{"args": [["OSError", "builtins", {text}, null]], "kwargs": {{}}}}"#);
    let read = Json::default().decode_error(&Body::text(error));
    assert_eq!(read, Ok(RemoteError::new("OSError", "no file a\u{fffd} \u{1f600}")));
}

#[test]
fn keys_are_text() {
    let map = Value::Map(vec![(1.into(), 2.into())].into());
    assert_eq!(encode(&map), Ok(r#"{"args":[{"1":2}],"kwargs":{}}"#.to_owned()));
    assert_eq!(result(r#"{"1": 2}"#), Ok(std::collections::HashMap::from([(1, 2)])));
    assert!(encode(&Value::Map(vec![(Value::Tuple(vec![].into()), Value::Null)].into())).is_err());
}

#[test]
fn depth_and_number_of_values_are_limited() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(result::<Value>(&nested(256)).is_ok());
    assert!(result::<Value>(&nested(257)).unwrap_err().contains("nested deeper than 256 levels (max_depth)"));
    assert!(result::<Value>(&nested(1 << 20)).is_err());
    assert_eq!(result::<()>("null").map(drop), Ok(()));

    let json = Json::new(ValueLimits::default().max_values(3));
    let count = |text: &str| {
        let mut slot = None::<Value>;
        json.decode_result(&Body::text(format!(r#"{{"args": [{text}], "kwargs": {{}}}}"#)), &mut slot)
    };
    assert!(count("[1, 2]").is_ok());
    assert!(count("[1, 2, 3, 4]").unwrap_err().to_string().contains("more than 3 values (max_values)"));
}

/// serde's buffers make no number of the text of a key, whoever reads it into them.
#[test]
fn keys_of_numbers_behind_flatten_are_refused_as_by_serde_json() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<i32, String>,
    }
    let object = r#"{"id":1,"7":"x"}"#;
    let theirs = serde_json::from_str::<Flat>(object).unwrap_err().to_string();
    let ours = read::<Flat>(format!(r#"{{"args":[{object}],"kwargs":{{}}}}"#)).unwrap_err();
    for said in [theirs, ours] {
        assert!(said.contains("invalid type: string \"7\", expected i32"), "{said}");
    }
}

/// What the documentation of `Value` says of those who read it without this format.
#[test]
fn what_serde_json_rounds_is_exact_here() {
    let digits = "123456789012345678901234567890";
    if !crate::precise::numbers_are_maps() {
        assert_eq!(serde_json::from_str::<Value>(digits).unwrap(), Value::Float(1.2345678901234568e29));
    }
    assert_eq!(serde_json::from_str::<i128>(digits).unwrap().to_string(), digits);
    let exact = read::<Value>(format!(r#"{{"args":[{digits}],"kwargs":{{}}}}"#)).unwrap();
    assert_eq!(exact.to_string(), digits);
}

use bytes::{Bytes, BytesMut};
use daffi_serde::{
    ArgsSink, Binding, Body, Codec, DynArgs, Output, Params, RemoteError, Value, ValueLimits, args,
    value::{Date, TimeDelta},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::Postcard;

fn encode<T: Serialize + ?Sized>(value: &T) -> BytesMut {
    let mut buffer = BytesMut::new();
    Postcard::default().encode_result(value, &mut Output::new(&mut buffer)).unwrap();
    buffer
}

fn read<T: DeserializeOwned + 'static>(bytes: impl Into<Bytes>) -> Result<T, String> {
    let mut slot = None;
    Postcard::default().decode_result(&Body::new(bytes), &mut slot).map_err(|error| error.to_string())?;
    Ok(slot.unwrap())
}

fn bind<P: Params>(bytes: impl Into<Bytes>) -> Result<P, String> {
    let mut binding = Binding::new("f", &["a", "b"]);
    Postcard::default().decode_args(&Body::new(bytes), &mut binding).map_err(|error| error.to_string())?;
    binding.finish().map_err(|error| error.message)
}

#[test]
fn arguments_are_counted_and_bear_their_length() {
    let mut buffer = BytesMut::new();
    Postcard::default().encode_args(&args!["é", 300_u16, b = Some(1_u8)], &mut Output::new(&mut buffer)).unwrap();
    assert_eq!(buffer, b"\x02\x03\0\0\0\x02\xc3\xa9\x02\0\0\0\xac\x02\x01\x01b\x02\0\0\0\x01\x01"[..]);
    let mut buffer = BytesMut::new();
    Postcard::default().encode_args(&(), &mut Output::new(&mut buffer)).unwrap();
    assert_eq!(buffer, [0, 0][..]);
}

#[test]
fn a_result_is_the_value_alone() {
    assert_eq!(encode(&3_u8), [3][..]);
    assert_eq!(encode("ab"), b"\x02ab"[..]);
    assert_eq!(encode(&()), [][..]);
    assert_eq!(read::<u8>(&[3][..]), Ok(3));
    assert_eq!(read::<()>(Bytes::new()), Ok(()));
}

#[test]
fn a_value_bears_its_kind() {
    let date = Date::new(2024, 2, 29).unwrap();
    let cases: [(Value, &[u8]); 9] = [
        (Value::Null, b"\x00"),
        (true.into(), b"\x01\x01"),
        ((-1).into(), b"\x02\x01"),
        ("ab".into(), b"\x05\x02ab"),
        (Value::Bytes(b"ab".as_slice().into()), b"\x06\x02ab"),
        (Value::List(vec![1.into(), Value::Tuple(vec![].into())].into()), b"\x07\x02\x02\x02\x08\x00"),
        (Value::Set(vec![Value::Map(vec![("k".into(), Value::Null)].into())].into()), b"\x09\x01\x0b\x01\x05\x01k\x00"),
        (date.into(), b"\x0d\x0a2024-02-29"),
        (TimeDelta::new(-1, 2, 3).unwrap().into(), b"\x10\x01\x02\x03"),
    ];
    for (value, bytes) in cases {
        assert_eq!(encode(&value), bytes, "{value}");
        assert_eq!(read(bytes.to_vec()), Ok(value));
    }
}

#[test]
fn what_cannot_be_read_back_is_refused_in_words() {
    #[derive(serde::Serialize)]
    struct Skips {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: u8,
    }
    #[derive(serde::Serialize)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, u8>,
    }
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(tag = "kind")]
    enum Internal {
        A { b: u8 },
    }
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(tag = "kind", content = "of")]
    enum Adjacent {
        A(u8),
    }
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        A(u8),
    }
    fn refusal_of<T: Serialize>(value: &T) -> String {
        let mut buffer = BytesMut::new();
        Postcard::default().encode_result(value, &mut Output::new(&mut buffer)).unwrap_err().to_string()
    }
    let skipped = refusal_of(&Skips { a: None, b: 1 });
    assert!(skipped.starts_with("cannot write POSTCARD: the field a is left out (`skip_serializing_if`)"), "{skipped}");
    let flat = refusal_of(&Flat { id: 1, rest: [("a".to_owned(), 1)].into() });
    assert!(flat.contains("whose length is not known before its end (`flatten`"), "{flat}");
    let date = refusal_of(&Value::Date(Date { year: 2023, ..Date::new(2024, 2, 29).unwrap() }));
    assert!(date.contains("2023-02-29 is no date"), "{date}");

    let asks = "cannot read POSTCARD: the type asks what is there, which POSTCARD does not say";
    for error in [
        read::<Internal>(encode(&Internal::A { b: 1 })).unwrap_err(),
        read::<Adjacent>(encode(&Adjacent::A(1))).unwrap_err(),
        read::<Untagged>(encode(&Untagged::A(1))).unwrap_err(),
        read::<Vec<serde_json::Value>>(encode(&[1, 2])).unwrap_err(),
        read::<Vec<serde::de::IgnoredAny>>(encode(&[1, 2])).unwrap_err(),
    ] {
        assert!(error.starts_with(asks), "{error}");
    }
}

#[test]
fn an_error_is_three_texts() {
    let error = RemoteError::new("ValueError", "bad");
    let bytes = encode(&error);
    assert_eq!(bytes, b"\x0aValueError\x08builtins\x03bad"[..]);
    assert_eq!(Postcard::default().decode_error(&Body::new(bytes)), Ok(error));
}

#[test]
fn arguments_nobody_takes_are_skipped() {
    let mut buffer = BytesMut::new();
    Postcard::default().encode_args(&args![1_u8, "more", "more"], &mut Output::new(&mut buffer)).unwrap();
    assert_eq!(bind::<(u8,)>(buffer), Err("f() takes 1 positional argument but 3 were given".to_owned()));
    let mut buffer = BytesMut::new();
    Postcard::default().encode_args(&args![c = "more", a = 1_u8], &mut Output::new(&mut buffer)).unwrap();
    assert_eq!(bind::<(u8,)>(buffer), Err("f() got an unexpected keyword argument 'c'".to_owned()));
}

#[test]
fn bytes_that_are_no_arguments_are_refused() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "the number of arguments is cut short"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "the number of arguments is cut short"),
        (b"\x01", "the length of an argument is cut short"),
        (b"\x01\xff\xff\xff\xff\x01", "an argument is cut short"),
        (b"\x01\x02\0\0\0\x01\x01\x00", "argument 1 is not of the type asked for: 1 bytes after its end"),
        (b"\x00", "the number of keyword arguments is cut short"),
        (b"\x00\x01\x02a", "a name is cut short"),
        (b"\x00\x01\x01\xff\0\0\0\0", "a name is not UTF-8"),
        (b"\x00\x00\x00", "1 bytes after the arguments"),
    ];
    for (bytes, reason) in cases {
        assert_eq!(bind::<(u8,)>(bytes), Err(format!("cannot read POSTCARD: {reason}")), "{bytes:?}");
    }
}

#[test]
fn lengths_that_are_not_true_cost_nothing() {
    // 2^63 - 1 units, which take no bytes each.
    let many = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
    assert_eq!(
        read::<Vec<()>>(&many[..]),
        Err("cannot read POSTCARD: more than 4194304 values (max_values)".to_owned())
    );
    assert!(read::<Vec<[u64; 32]>>(&many[..]).is_err());
    assert!(read::<std::collections::HashMap<u64, String>>(&many[..]).is_err());
    assert!(read::<String>(&many[..]).is_err());
    assert!(read::<Bytes>(&many[..]).is_err());
    let mut value = vec![7];
    value.extend_from_slice(many);
    assert!(read::<Value>(value).is_err());
}

#[test]
fn deep_types_stop_at_the_limit() {
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only read")]
    enum Chain {
        End,
        Link(Box<Self>),
        Maybe(Option<Box<Self>>),
    }
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Nested(Vec<Self>);

    let deep = "cannot read POSTCARD: nested deeper than 256 levels (max_depth)";
    assert_eq!(read::<Chain>(vec![1; 1 << 20]).unwrap_err(), deep);
    assert_eq!(read::<Nested>(vec![1; 1 << 20]).unwrap_err(), deep);
    assert_eq!(read::<Value>([7, 1].repeat(1 << 20)).unwrap_err(), deep);
    let mut at_limit = vec![1; 256];
    at_limit[255] = 0;
    assert!(read::<Nested>(at_limit).is_ok());
}

#[test]
fn arguments_count_as_values() {
    let limits = ValueLimits::default().max_values(2);
    let body = |count: u8| [vec![count], b"\x01\0\0\0\0".repeat(count.into()), vec![0]].concat();
    let read = |count| {
        let mut sink = DynArgs::default();
        Postcard::new(limits).decode_args(&Body::new(body(count)), &mut sink).map(|()| sink.positional.len())
    };
    assert_eq!(DynArgs::default().len(), usize::MAX);
    assert_eq!(read(2), Ok(2));
    assert!(read(3).unwrap_err().to_string().ends_with("more than 2 values (max_values)"));
}

#[test]
fn a_sole_argument_is_a_result() {
    let sole = |body: &'static [u8]| Postcard::default().sole_argument(&body.into());
    assert_eq!(sole(b"\x01\x02\0\0\0\x07\x08\0"), Ok(Some(Bytes::from_static(&[7, 8]))));
    assert_eq!(sole(b"\x02\x01\0\0\0\x07\x01\0\0\0\x07\0"), Ok(None));
    assert_eq!(sole(b"\x00\0"), Ok(None));
    assert_eq!(sole(b"\x01\x01\0\0\0\x07\x01\x01b\x01\0\0\0\x07"), Ok(None), "a keyword");
    for broken in [&b""[..], b"\x01\x02\0\0\0\x07", b"\x01\x01\0\0\0\x07\0\0"] {
        assert!(sole(broken).is_err(), "{broken:?}");
    }
}

#[test]
fn what_is_of_another_type_says_so() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Point {
        x: f64,
        label: String,
    }
    let point = || encode(&Point { x: -1.5, label: "p".to_owned() });
    for error in [
        read::<Value>(point()).unwrap_err(),
        read::<Point>(encode(&(1.5, 200_u8, 7_u8))).unwrap_err(),
        read::<bool>(encode(&7_u8)).unwrap_err(),
        read::<char>(encode(&"two")).unwrap_err(),
        read::<String>(encode(&(1_u8, 0xff_u8))).unwrap_err(),
    ] {
        assert!(error.contains("of another type than is asked for"), "{error}");
    }
    let wrong = read::<Value>(encode(&"text")).unwrap_err();
    assert!(wrong.contains("a Value only where a Value was written"), "{wrong}");
}

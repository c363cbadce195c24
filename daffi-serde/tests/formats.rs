//! Formats agree on the values they share, written directly or through a pointer.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::for_each_format;

for_each_format! {
    types_survive, values_survive, bytes_survive, arguments_meet_parameters, mismatches_are_in_the_words_of_python,
    defaults_stand_in, errors_survive, arguments_of_any_kind_survive, what_is_no_payload_is_an_error, depth_is_limited,
}

mod check {
    use std::{
        collections::{BTreeMap, HashMap},
        fmt::Debug,
        net::IpAddr,
    };

    use bytes::Bytes;
    use daffi_serde::{
        Args, Binding, Body, Defaulted, DynArgs, Params, RemoteError, Value, args,
        value::{Date, DateTime, Time},
    };
    use serde::{Deserialize, Serialize, de::DeserializeOwned};

    use crate::common::Subject;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Empty,
        Circle(f64),
        Line(i8, i8),
        Box { width: u16 },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        name: String,
        shapes: Vec<Shape>,
        octets: Vec<u8>,
        nothing: Option<u8>,
        something: Option<Box<Self>>,
        keys: BTreeMap<String, (i64, u64)>,
        address: IpAddr,
        anything: Value,
    }

    fn record() -> Record {
        Record {
            name: "näme".into(),
            shapes: vec![Shape::Empty, Shape::Circle(-0.5), Shape::Line(1, -2), Shape::Box { width: 3 }],
            octets: vec![0, 255],
            nothing: None,
            something: None,
            keys: [("k".to_owned(), (i64::MIN, u64::MAX))].into(),
            address: [127, 0, 0, 1].into(),
            anything: Value::from(vec![Value::Null, "x".into(), 1.5.into()]),
        }
    }

    fn survives<T: Serialize + DeserializeOwned + Debug + PartialEq + 'static>(subject: &impl Subject, value: &T) {
        let body = subject.result(value).unwrap();
        assert_eq!(subject.read::<T>(&body).unwrap(), *value, "{subject:?}");
    }

    pub(super) fn types_survive(subject: &impl Subject) {
        survives(subject, &());
        survives(subject, &true);
        survives(subject, &i64::MIN);
        survives(subject, &u64::MAX);
        survives(subject, &-1_i128);
        survives(subject, &0.1_f32);
        survives(subject, &f64::MIN_POSITIVE);
        survives(subject, &'é');
        survives(subject, &"text".to_owned());
        survives(subject, &Some("x".to_owned()));
        survives(subject, &None::<i64>);
        survives(subject, &(1, "two".to_owned(), 3.0));
        survives(subject, &vec![vec![1], vec![]]);
        survives(subject, &HashMap::from([(1, 'a'), (-2, 'b')]));
        survives(subject, &Shape::Empty);
        survives(subject, &record());
        survives(subject, &Record { something: Some(Box::new(record())), ..record() });
        survives(subject, &vec![record(); 100]);
    }

    pub(super) fn values_survive(subject: &impl Subject) {
        survives(subject, &Value::Null);
        survives(subject, &Value::from(i64::MIN));
        survives(subject, &Value::from(u64::MAX));
        survives(subject, &Value::from("text"));
        survives(subject, &Value::from(vec![true, false]));
        survives(subject, &Value::Map(vec![("k".into(), Value::Map(vec![].into())), ("l".into(), 1.5.into())].into()));
        // The nearest form, if not the same.
        let moment = Value::from(DateTime::new(Date::new(2024, 2, 29).unwrap(), Time::new(1, 2, 3, 4).unwrap()));
        let body = subject.result(&moment).unwrap();
        let text = "2024-02-29T01:02:03.000004".into();
        let read: Value = subject.read(&body).unwrap();
        assert!(read == moment || read == text, "{subject:?}: {read}");
    }

    pub(super) fn bytes_survive(subject: &impl Subject) {
        for len in [0, 1, 255, 70_000] {
            let octets = vec![7_u8; len];
            survives(subject, &octets);
            survives(subject, &vec![octets.clone(), octets.clone()]);
            let body = subject.args(&(octets.clone(), 1_u8)).unwrap();
            assert_eq!(bind(subject, &body, &[]), Ok((Bytes::from(octets), 1_u8)));
        }
    }

    fn bind<P: Params>(subject: &impl Subject, body: &Body, names: &'static [&'static str]) -> Result<P, String> {
        let mut binding = Binding::new("f", names);
        subject.read_args(body, &mut binding).unwrap();
        binding.finish().map_err(|error| error.to_string())
    }

    fn call<P: Params>(subject: &impl Subject, args: &impl Args) -> Result<P, String> {
        bind(subject, &subject.args(args).unwrap(), &["a", "b", "c"])
    }

    pub(super) fn arguments_meet_parameters(subject: &impl Subject) {
        assert_eq!(call(subject, &()), Ok(()));
        assert_eq!(call(subject, &(1, 2, 3)), Ok((1, 2, 3)));
        assert_eq!(call(subject, &args![1, c = 3, b = 2]), Ok((1, 2, 3)));
        assert_eq!(
            call(subject, &args![c = "z", a = "x", b = "y"]),
            Ok(("x".to_owned(), "y".to_owned(), "z".to_owned()))
        );
        assert_eq!(call(subject, &args![1, c = record()]), Ok((1, None::<i64>, record())));
    }

    pub(super) fn mismatches_are_in_the_words_of_python(subject: &impl Subject) {
        // Each as CPython 3.11 words it.
        let none = |args| call::<()>(subject, &args).unwrap_err();
        assert_eq!(none((1,)), "TypeError: f() takes 0 positional arguments but 1 was given");

        let one = |result: Result<(i64,), String>| result.unwrap_err();
        assert_eq!(one(call(subject, &())), "TypeError: f() missing 1 required positional argument: 'a'");
        assert_eq!(one(call(subject, &(1, 2))), "TypeError: f() takes 1 positional argument but 2 were given");
        assert_eq!(one(call(subject, &args![1, a = 2])), "TypeError: f() got multiple values for argument 'a'");
        assert_eq!(one(call(subject, &args![1, 2, x = 3])), "TypeError: f() got an unexpected keyword argument 'x'");

        let two = |result: Result<(i64, i64), String>| result.unwrap_err();
        assert_eq!(two(call(subject, &())), "TypeError: f() missing 2 required positional arguments: 'a' and 'b'");
        assert_eq!(two(call(subject, &args![b = 2])), "TypeError: f() missing 1 required positional argument: 'a'");
        assert_eq!(two(call(subject, &args![a = 1, x = 2])), "TypeError: f() got an unexpected keyword argument 'x'");
        assert_eq!(two(call(subject, &args![1, 2, 3, a = 4])), "TypeError: f() got multiple values for argument 'a'");

        let three = call::<(i64, i64, i64)>(subject, &()).unwrap_err();
        assert_eq!(three, "TypeError: f() missing 3 required positional arguments: 'a', 'b', and 'c'");
    }

    pub(super) fn defaults_stand_in(subject: &impl Subject) {
        assert_eq!(call(subject, &(1,)), Ok((1, None::<i64>, Defaulted::<String>::Missing)));
        assert_eq!(call(subject, &args![1, c = "x"]), Ok((1, None::<i64>, Defaulted::Given("x".to_owned()))));
        assert_eq!(
            call::<(i64, Option<i64>)>(subject, &(1, Some(2), 3)).unwrap_err(),
            "TypeError: f() takes from 1 to 2 positional arguments but 3 were given"
        );
        assert_eq!(
            call::<(Option<i64>,)>(subject, &(Some(1), 2)).unwrap_err(),
            "TypeError: f() takes from 0 to 1 positional arguments but 2 were given"
        );
    }

    pub(super) fn errors_survive(subject: &impl Subject) {
        let error = RemoteError::new("OwnError", "was ist lös?").in_module("some.module");
        assert_eq!(subject.read_error(&subject.result(&error).unwrap()).unwrap(), error);
    }

    pub(super) fn arguments_of_any_kind_survive(subject: &impl Subject) {
        let sent = DynArgs {
            positional: vec![1.into(), "two".into(), Value::from(vec![Value::Null])],
            keywords: vec![("k".into(), 2.5.into()), ("l".into(), Value::Null)],
        };
        let mut read = DynArgs::default();
        subject.read_args(&subject.args(&sent).unwrap(), &mut read).unwrap();
        assert_eq!(read, sent, "{subject:?}");
    }

    pub(super) fn what_is_no_payload_is_an_error(subject: &impl Subject) {
        let body = subject.args(&(1, "two")).unwrap();
        for len in 0..body.bytes.len() {
            let cut = Body { bytes: body.bytes.slice(..len), text: body.text };
            assert!(
                subject.read_args(&cut, &mut Binding::<(i64, String)>::new("f", &[])).is_err(),
                "{subject:?} {len}"
            );
        }
        let mut more = body.bytes.to_vec();
        more.push(b'!');
        let more = Body { bytes: more.into(), text: body.text };
        assert!(subject.read_args(&more, &mut Binding::<(i64, String)>::new("f", &[])).is_err(), "{subject:?}");

        let mut binding = Binding::<(i64, i64)>::new("f", &["a", "b"]);
        if let Err(error) = subject.read_args(&body, &mut binding) {
            let message = binding.explain(&error).message;
            assert!(message.contains("argument 'b'") || message.contains("argument 2"), "{subject:?}: {message}");
        }
    }

    /// Tests run on threads of 2 MiB, as a runtime's do: the deepest value must fit.
    pub(super) fn depth_is_limited(subject: &impl Subject) {
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner].into()));
        let at = subject.result(&nested(256)).unwrap();
        assert_eq!(subject.read::<Value>(&at).unwrap(), nested(256));
        // Some formats do not even write it.
        let error = subject.result(&nested(257)).and_then(|body| subject.read::<Value>(&body)).unwrap_err().to_string();
        assert!(error.contains("256"), "{subject:?}: {error}");
    }
}

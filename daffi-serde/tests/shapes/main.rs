//! The shapes that serde gives to types, in each format: what comes back is what was sent, or
//! nothing is sent.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod attributes;
mod peers;
mod table;
mod types_of_libraries;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Body, Codec, Output, Value};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use serde::{Deserialize, Serialize};

use crate::table::{Changed, NotRead, NotWritten, Same, Table, refusal};

macro_rules! shapes {
    ($($item:item)*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        $item
    )*};
}
use shapes;

shapes! {
    struct Unit;
    struct Newtype(u16);
    struct Pair(u8, String);
    struct Empty {}
    struct Named { name: String, data: Vec<u8> }
    struct Holder { inner: Named, more: Vec<Named> }
    enum External { Unit, Newtype(i32), Tuple(u8, u8), Struct { a: u8 }, Data(Vec<u8>), Named(Named) }
    #[serde(tag = "kind")]
    enum Internal { Unit, Struct { a: u8 }, Data { data: Vec<u8> }, Named(Named) }
    #[serde(tag = "kind", content = "of")]
    enum Adjacent { Unit, Newtype(i32), Tuple(u8, u8), Struct { a: u8 }, Data(Vec<u8>) }
    #[serde(untagged)]
    enum Untagged { Text(String), Levels(Vec<u8>), Number(i64), Named(Named) }
    #[serde(untagged)]
    enum Raw { Number(u64), Data(Bytes) }
    struct Flat { id: u8, #[serde(flatten)] rest: Named }
    struct FlatMap { id: u8, #[serde(flatten)] rest: BTreeMap<String, Vec<u8>> }
    struct FlatValues { id: u8, #[serde(flatten)] rest: BTreeMap<String, Value> }
    struct FlatValue { id: u8, #[serde(flatten)] rest: Value }
    #[serde(untagged)]
    enum Anything { Levels(BTreeMap<u8, u8>), Value(Value) }
    #[serde(tag = "kind")]
    enum TaggedValue { Holds { value: Value } }
    #[serde(tag = "kind")]
    enum TaggedWide { Holds { value: i128 } }
    struct Skips { #[serde(skip_serializing_if = "Option::is_none", default)] a: Option<u8>, b: u8 }
    struct Defaults { #[serde(default)] a: u8, #[serde(skip)] b: u8 }
    #[serde(rename_all = "camelCase")]
    struct Renamed { first_name: String }
    #[serde(transparent)]
    struct Transparent { data: Vec<u8> }
    enum Tree { Leaf, Node(Box<Self>, Box<Self>) }
}

fn named() -> Named {
    Named { name: "n".into(), data: vec![72, 105] }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_is_sent_comes_back() {
    let mut table = Table::default();
    table.all("unit", ());
    table.all("bool", true);
    table.all("char", 'ß');
    table.all("text", "naïve ☃".to_owned());
    table.all("i64", i64::MIN);
    table.all("u64", u64::MAX);
    table.row("i128", i128::MIN, [Same, NotWritten, Same, Same]);
    table.row("u128", u128::MAX, [Same, NotWritten, Same, Same]);
    table.all("small i128", -5_i128);
    table.all("f32", 0.1_f32);
    table.all("f64", 6.02e23);
    table.row("infinity", f64::INFINITY, [NotWritten, Same, Same, Same]);
    table.all("Some", Some(5));
    table.all("None", None::<u8>);
    // Formats that have one null cannot tell the two.
    table.row("Some(None)", Some(None::<u8>), [Changed, Changed, Changed, Same]);
    table.row("Some(())", Some(()), [Changed, Changed, Changed, Same]);
    table.all("Some(Some)", Some(Some(1)));
    table.all("Vec<u8>", vec![1_u8, 2]);
    table.all("empty Vec<u8>", Vec::<u8>::new());
    table.row("Bytes", Bytes::from_static(b"\0\xff"), [NotWritten, Same, Same, Same]);
    table.all("Option<Vec<u8>>", Some(vec![1_u8]));
    table.all("Vec<Vec<u8>>", vec![vec![1_u8], vec![]]);
    table.all("[u8; 4]", [1_u8, 2, 3, 4]);
    table.all("tuple with Vec<u8>", (1, vec![1_u8, 2]));
    table.all("Vec<u16>", vec![1_u16, 300]);
    table.all("tuple", (1, "a".to_owned(), None::<u8>));
    table.all("nested tuples", ((1,), ((), (2, 3))));
    table.all("array", [1.5, 2.5]);
    table.all("map of text", BTreeMap::from([("a".to_owned(), 1)]));
    table.all("map of integers", BTreeMap::from([(-1, 2)]));
    table.all("map of bools", BTreeMap::from([(true, 2)]));
    table.all("map of chars", BTreeMap::from([('x', 2)]));
    table.all("map of enums", BTreeMap::from([("k".to_owned(), External::Newtype(1))]));
    table.row("map of tuples", BTreeMap::from([((1, 2), 3)]), [NotWritten, NotWritten, Same, Same]);
    table.row("map of lists", BTreeMap::from([(vec![300], 3)]), [NotWritten, NotWritten, NotWritten, Same]);
    table.row_and_erased(
        "map of Vec<u8>",
        BTreeMap::from([(vec![1_u8], 3)]),
        [NotWritten, Same, Same, Same],
        [NotWritten, Same, NotWritten, Same],
    );
    table.row(
        "map of maps",
        BTreeMap::from([(BTreeMap::from([(1, 2)]), 3)]),
        [NotWritten, NotWritten, NotWritten, Same],
    );
    table.row("map of options", BTreeMap::from([(Some(1), 3)]), [Same, Same, Same, Same]);
    table.all("map of maps of data", HashMap::from([("a".to_owned(), HashMap::from([("b".to_owned(), vec![1_u8])]))]));
    table.all("set", BTreeSet::from([1, 2]));
    table.all("unit struct", Unit);
    table.all("newtype struct", Newtype(7));
    table.all("tuple struct", Pair(1, "a".into()));
    table.all("empty struct", Empty {});
    table.all("struct with data", named());
    table.all("struct in struct", Holder { inner: named(), more: vec![named()] });
    for (name, value) in [
        ("external unit", External::Unit),
        ("external newtype", External::Newtype(-1)),
        ("external tuple", External::Tuple(1, 2)),
        ("external struct", External::Struct { a: 1 }),
        ("external data", External::Data(vec![1, 2])),
        ("external named", External::Named(named())),
    ] {
        table.all(name, value);
    }
    for (name, value) in [
        ("internal unit", Internal::Unit),
        ("internal struct", Internal::Struct { a: 1 }),
        ("internal data", Internal::Data { data: vec![72, 105] }),
        ("internal named", Internal::Named(named())),
    ] {
        table.described(name, value, NotRead);
    }
    for (name, value) in [
        ("adjacent unit", Adjacent::Unit),
        ("adjacent newtype", Adjacent::Newtype(-1)),
        ("adjacent tuple", Adjacent::Tuple(1, 2)),
        ("adjacent struct", Adjacent::Struct { a: 1 }),
        ("adjacent data", Adjacent::Data(vec![1, 2])),
    ] {
        table.described(name, value, NotRead);
    }
    for (name, value) in [
        ("untagged text", Untagged::Text("Hi".into())),
        ("untagged levels", Untagged::Levels(vec![72, 105])),
        ("untagged number", Untagged::Number(-1)),
        ("untagged named", Untagged::Named(named())),
    ] {
        table.described(name, value, NotRead);
    }
    table.row("untagged bytes", Raw::Data(Bytes::from_static(b"\0\xff")), [NotWritten, Same, Same, NotRead]);
    table.described("flatten", Flat { id: 1, rest: named() }, NotWritten);
    let rest = BTreeMap::from([("a".to_owned(), vec![1_u8])]);
    table.described("flattened map", FlatMap { id: 1, rest }, NotWritten);
    for (name, value, json) in [
        ("bytes", Value::Bytes(b"Hi\0\xff".as_slice().into()), NotWritten),
        ("one byte", Value::Bytes(b"H".as_slice().into()), NotWritten),
        ("much data", Value::Bytes(vec![7; 70_000].into()), NotWritten),
        ("small integers", vec![Value::from(1), 2.into(), 3.into()].into(), Same),
        ("integers of two bytes", vec![Value::from(-300), 200.into(), (-70_000).into()].into(), Same),
        ("text", "Hi".into(), Same),
        ("lists of bytes", vec![Value::Bytes(b"ab".as_slice().into()), Value::List([].into())].into(), NotWritten),
    ] {
        let outcomes = |postcard| [json, Same, Same, postcard];
        let rest = BTreeMap::from([("a".to_owned(), value.clone())]);
        table.row(&format!("{name} in a flattened map"), FlatValues { id: 1, rest }, outcomes(NotWritten));
        let rest = Value::Map([("a".into(), value.clone())].into());
        table.row(&format!("{name} in a flattened value"), FlatValue { id: 1, rest }, outcomes(NotWritten));
        table.row(&format!("{name} in an untagged value"), Anything::Value(value.clone()), outcomes(NotRead));
        table.row(&format!("{name} in a tagged value"), TaggedValue::Holds { value: value.clone() }, outcomes(NotRead));
        table.row(&format!("{name} in a value"), value, [json, Same, Same, Same]);
    }
    // In what serde keeps it reads no i128 at all, and nothing tells that no bytes are bytes.
    table.row("i128 in a tagged enum", TaggedWide::Holds { value: 1 }, [NotRead; 4]);
    let empty = Anything::Value(Value::Bytes([].as_slice().into()));
    table.row("no bytes in an untagged value", empty, [NotWritten, Changed, Changed, NotRead]);
    table.described("skipped field", Skips { a: None, b: 1 }, NotWritten);
    table.all("field not skipped", Skips { a: Some(1), b: 1 });
    table.all("defaults", Defaults { a: 1, b: 0 });
    table.all("renamed", Renamed { first_name: "x".into() });
    table.all("transparent", Transparent { data: vec![1, 2] });
    table.all(
        "tree",
        Tree::Node(Box::new(Tree::Leaf), Box::new(Tree::Node(Box::new(Tree::Leaf), Box::new(Tree::Leaf)))),
    );
    table.all("value", Value::from(vec![Value::Null, 1.into(), "a".into()]));
    table.described("JSON value", serde_json::json!({"a": [1, 2.5, null, {"b": "c"}]}), NotRead);
    assert!(table.rows >= 60, "{}", table.rows);
    table.check();
}

#[test]
fn data_within_a_struct_is_a_list_for_who_has_no_bytes() {
    fn through<C: Codec>(format: &C) -> serde_json::Value {
        let mut buffer = BytesMut::new();
        Codec::encode_result(format, &named(), &mut Output::new(&mut buffer)).unwrap();
        let mut read = None;
        Codec::decode_result(format, &Body::new(buffer), &mut read).unwrap();
        read.unwrap()
    }
    let expected = serde_json::json!({"name": "n", "data": [72, 105]});
    assert_eq!(through(&Json::default()), expected);
    assert_eq!(through(&Msgpack::default()), expected);
    assert_eq!(through(&Pickle::default()), expected);
}

#[test]
fn a_key_that_python_cannot_hash_is_named() {
    let lists = HashMap::from([(vec![300], 2)]);
    assert_eq!(
        refusal(&Pickle::default(), &lists),
        "cannot write PICKLE: a list cannot be a key of a map or an element of a set: Python cannot hash it (the key is \
         [300]); tuples and frozen sets can"
    );
    assert!(refusal(&Msgpack::default(), &lists).contains("(the key is [300])"));
    let within = Value::Set(vec![Value::Tuple(vec![Value::List(vec!["deep".into()].into())].into())].into());
    assert!(refusal(&Pickle::default(), &within).contains("(the key is (['deep'],))"));
    let sets = Value::Set(vec![Value::FrozenSet(vec![1.into()].into())].into());
    let mut buffer = BytesMut::new();
    assert!(Codec::encode_return(&Pickle::default(), &sets, &mut Output::new(&mut buffer)).is_ok());
}

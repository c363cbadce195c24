//! Attributes of serde, by themselves and together, and types that ask what is there.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use daffi_serde::Value;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_bytes::ByteBuf;

use crate::{
    shapes,
    table::{Changed, NotRead, NotWritten, Same, Table},
};

shapes! {
    struct Key(u8);
    #[derive(Eq, Hash, PartialOrd, Ord)]
    enum Name { First, Second }
    struct Inner { a: i64, b: Option<u8> }
    struct FlatIntegers { id: u8, #[serde(flatten)] rest: BTreeMap<i32, String> }
    struct FlatBools { id: u8, #[serde(flatten)] rest: BTreeMap<bool, String> }
    struct FlatChars { id: u8, #[serde(flatten)] rest: BTreeMap<char, String> }
    struct FlatNames { id: u8, #[serde(flatten)] rest: BTreeMap<Name, u8> }
    struct FlatOption { id: u8, #[serde(flatten)] rest: Option<Inner> }
    struct FlatTwice { #[serde(flatten)] one: Inner, #[serde(flatten)] rest: HashMap<String, f32> }
    struct FlatTagged { id: u8, #[serde(flatten)] of: Internal }
    struct FlatAdjacent { id: u8, #[serde(flatten)] of: Adjacent }
    struct FlatExternal { id: u8, #[serde(flatten)] of: External }
    enum External { Unit, Newtype(i32), Struct { a: u8 } }
    #[serde(untagged)]
    enum Number { Unsigned(u64), Signed(i64), Float(f64) }
    #[serde(untagged)]
    enum Small { Byte(u8), Short(i16), Single(f32) }
    #[serde(untagged)]
    enum Optional { Some(Option<u8>), Text(String) }
    #[serde(untagged)]
    enum Data { Data(ByteBuf), Text(String) }
    #[serde(untagged)]
    enum TextFirst { Text(String), Data(ByteBuf) }
    #[serde(untagged)]
    enum Lists { Pair((i32, String)), Keys(BTreeMap<i32, i32>), Many(Vec<Number>), Nothing }
    #[serde(untagged)]
    enum OneOrMany { One(String), Many(Vec<String>) }
    #[serde(tag = "kind")]
    enum Internal { Unit, Inner(Inner), Keys(BTreeMap<String, i32>), Struct { at: Duration, c: char } }
    #[serde(tag = "kind", content = "of")]
    enum Adjacent { Unit, Data(ByteBuf), Bytes(Vec<u8>), Key(Key), Keys(BTreeMap<i32, ByteBuf>), Opt(Option<i8>) }
    #[serde(tag = "t", content = "c", deny_unknown_fields)]
    enum Strict { Wide(i64), Pair(u8, f64) }
    struct Deep { #[serde(flatten)] of: Middle, z: u8 }
    struct Middle { #[serde(flatten)] of: Internal, y: u8 }
    #[serde(rename_all = "SCREAMING-KEBAB-CASE", rename = "other")]
    struct Renames { one_two: u8, #[serde(rename = "$x y\u{0}")] three: u8, #[serde(alias = "5", alias = "six")] four: u8 }
    #[serde(default)]
    struct AllDefault { a: u8, b: String }
    #[serde(from = "(u8, u8)", into = "(u8, u8)")]
    struct Through { x: u8, y: u8 }
    #[serde(try_from = "String", into = "String")]
    struct Tried(u8);
    struct With { #[serde(with = "seconds")] at: Duration, #[serde(with = "serde_bytes")] data: Vec<u8> }
    struct OptionWith { #[serde(with = "serde_bytes")] data: Option<Vec<u8>> }
    struct UnitIn { unit: (), maybe: Option<()>, none: Option<()> }
    enum Never {}
    enum Holds { Empty {}, Tuple(), Unit, Map(BTreeMap<String, ()>), Nested(Box<Self>), Opt(Option<u8>), Nothing(()) }
    #[serde(rename_all = "snake_case")]
    enum Cases { FirstCase, #[serde(rename = "2")] Second, #[serde(alias = "x")] Third { field: u8 } }
    enum Other { A, #[serde(other)] Rest }
}

impl Default for AllDefault {
    fn default() -> Self {
        Self { a: 7, b: "d".to_owned() }
    }
}

impl From<(u8, u8)> for Through {
    fn from((x, y): (u8, u8)) -> Self {
        Self { x, y }
    }
}

impl From<Through> for (u8, u8) {
    fn from(of: Through) -> Self {
        (of.x, of.y)
    }
}

impl TryFrom<String> for Tried {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Tried> for String {
    fn from(of: Tried) -> Self {
        of.0.to_string()
    }
}

mod seconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(at.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn inner() -> Inner {
    Inner { a: -1, b: None }
}

#[test]
fn what_is_flattened_comes_back() {
    let mut table = Table::default();
    let text = |text: &str| text.to_owned();
    // serde keeps the keys of what it flattens as they are in the payload: text in JSON, of which
    // it makes no integer later.
    let rest = BTreeMap::from([(1, text("a")), (-300, text("b"))]);
    table.row("integers", FlatIntegers { id: 1, rest }, [NotRead, Same, Same, NotWritten]);
    let rest = BTreeMap::from([(true, text("a"))]);
    table.row("bools", FlatBools { id: 1, rest }, [NotRead, Same, Same, NotWritten]);
    table.described("chars", FlatChars { id: 1, rest: BTreeMap::from([('🦀', text("a"))]) }, NotWritten);
    table.described("names", FlatNames { id: 1, rest: BTreeMap::from([(Name::Second, 2)]) }, NotWritten);
    table.described("some", FlatOption { id: 1, rest: Some(inner()) }, NotWritten);
    table.described("none", FlatOption { id: 1, rest: None }, NotWritten);
    let rest = HashMap::from([(text("x"), 0.1), (text("y"), -0.0)]);
    table.described("twice", FlatTwice { one: inner(), rest }, NotWritten);
    for (name, of) in [
        ("unit", Internal::Unit),
        ("inner", Internal::Inner(inner())),
        ("keys", Internal::Keys(BTreeMap::from([(text("a"), 1)]))),
        ("struct", Internal::Struct { at: Duration::from_millis(1), c: '🦀' }),
    ] {
        table.described(&format!("tagged {name}"), of.clone(), NotRead);
        table.described(&format!("flattened {name}"), FlatTagged { id: 1, of: of.clone() }, NotWritten);
        table.described(&format!("deep {name}"), Deep { of: Middle { of, y: 2 }, z: 3 }, NotWritten);
    }
    for (name, of) in
        [("unit", External::Unit), ("newtype", External::Newtype(-5)), ("struct", External::Struct { a: 1 })]
    {
        table.described(&format!("external {name}"), FlatExternal { id: 1, of }, NotWritten);
    }
    table.described("adjacent", FlatAdjacent { id: 1, of: Adjacent::Bytes(vec![0, 255]) }, NotWritten);
    table.described("adjacent unit", FlatAdjacent { id: 1, of: Adjacent::Unit }, NotWritten);
    table.check();
}

#[test]
fn what_is_told_by_its_content_comes_back() {
    let mut table = Table::default();
    for value in [Number::Unsigned(u64::MAX), Number::Unsigned(0), Number::Signed(i64::MIN), Number::Float(-0.0)] {
        table.described(&format!("{value:?}"), value, NotRead);
    }
    table.described("float", Number::Float(0.1), NotRead);
    table.described("float of an integer", Number::Float(2.0), NotRead);
    for value in [Small::Byte(255), Small::Short(-1), Small::Short(256), Small::Single(0.1)] {
        table.described(&format!("{value:?}"), value, NotRead);
    }
    table.described("option", Optional::Some(Some(1)), NotRead);
    table.described("no option", Optional::Some(None), NotRead);
    table.described("text beside an option", Optional::Text("a".to_owned()), NotRead);
    let bytes = [NotWritten, Same, Same, NotRead];
    table.row("bytes", Data::Data(ByteBuf::from(b"\0\xff".to_vec())), bytes);
    table.row("no bytes", Data::Data(ByteBuf::new()), bytes);
    table.row("bytes behind text", TextFirst::Data(ByteBuf::from(b"text".to_vec())), bytes);
    table.described("text before bytes", TextFirst::Text("text".to_owned()), NotRead);
    table.described("pair", Lists::Pair((1, "a".to_owned())), NotRead);
    let keys = Lists::Keys(BTreeMap::from([(1, 2), (-3, 4)]));
    table.row("integers as keys", keys, [NotRead, Same, Same, NotRead]);
    table.described("many", Lists::Many(vec![Number::Signed(-1), Number::Float(0.5)]), NotRead);
    table.described("nothing", Lists::Nothing, NotRead);
    table.described("one", OneOrMany::One("a".to_owned()), NotRead);
    table.described("many texts", OneOrMany::Many(vec!["a".to_owned()]), NotRead);
    table.check();
}

#[test]
fn what_is_tagged_beside_its_content_comes_back() {
    let mut table = Table::default();
    let data = |data: &[u8]| ByteBuf::from(data.to_vec());
    table.described("unit", Adjacent::Unit, NotRead);
    table.row("bytes", Adjacent::Data(data(b"\0\xff")), [NotWritten, Same, Same, NotRead]);
    table.row("no bytes", Adjacent::Data(data(b"")), [NotWritten, Same, Same, NotRead]);
    table.described("octets", Adjacent::Bytes(vec![0, 255]), NotRead);
    table.described("newtype", Adjacent::Key(Key(1)), NotRead);
    let keys = BTreeMap::from([(1, data(b"a")), (-2, data(b"\0"))]);
    table.row("integers as keys", Adjacent::Keys(keys), [NotWritten, Same, Same, NotRead]);
    table.described("some", Adjacent::Opt(Some(-1)), NotRead);
    table.described("none", Adjacent::Opt(None), NotRead);
    table.described("wide", Strict::Wide(i64::MIN), NotRead);
    table.described("pair", Strict::Pair(1, 0.5), NotRead);
    table.check();
}

#[test]
fn other_attributes_change_nothing() {
    let mut table = Table::default();
    table.all("renames", Renames { one_two: 1, three: 2, four: 3 });
    table.all("defaults", AllDefault { a: 1, b: "x".to_owned() });
    table.all("from and into", Through { x: 1, y: 2 });
    table.all("try_from", Tried(255));
    table.row("with", With { at: Duration::from_millis(1500), data: vec![0, 255] }, [NotWritten, Same, Same, Same]);
    table.row("with some bytes", OptionWith { data: Some(vec![1]) }, [NotWritten, Same, Same, Same]);
    table.row("with no bytes", OptionWith { data: Some(Vec::new()) }, [NotWritten, Same, Same, Same]);
    table.all("with none", OptionWith { data: None });
    table.all("units", UnitIn { unit: (), maybe: None, none: None });
    table.row("unit in an option", UnitIn { unit: (), maybe: Some(()), none: None }, [Changed, Changed, Changed, Same]);
    table.all("nothing at all", None::<Never>);
    for (name, value) in [
        ("empty struct", Holds::Empty {}),
        ("empty tuple", Holds::Tuple()),
        ("unit", Holds::Unit),
        ("empty map", Holds::Map(BTreeMap::new())),
        ("map of units", Holds::Map(BTreeMap::from([("a".to_owned(), ())]))),
        ("nested", Holds::Nested(Box::new(Holds::Nested(Box::new(Holds::Unit))))),
        ("some", Holds::Opt(Some(1))),
        ("none", Holds::Opt(None)),
        ("nothing", Holds::Nothing(())),
    ] {
        table.all(name, value.clone());
        table.all(&format!("list of {name}"), vec![value.clone(), value]);
    }
    table.all("cases", vec![Cases::FirstCase, Cases::Second, Cases::Third { field: 1 }]);
    table.all("other", vec![Other::A, Other::A]);
    table.check();
}

/// Text where a person reads it, and a number elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Stamp(u64);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(&format_args!("@{}", self.0)),
            false => serializer.serialize_u64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix('@').and_then(|digits| digits.parse().ok());
        digits.map(Self).ok_or_else(|| serde::de::Error::custom("no stamp"))
    }
}

/// Takes whatever is there and remembers what it was.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Unit,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Integers(Vec<(i64, Self)>),
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unit => serializer.serialize_unit(),
            Self::Bool(value) => value.serialize(serializer),
            Self::Int(value) => value.serialize(serializer),
            Self::Float(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::List(value) => value.serialize(serializer),
            Self::Integers(value) => serializer.collect_map(value.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Seen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Seen, E> {
                Ok(Seen::Unit)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
                Ok(Seen::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Seen, E> {
                Ok(Seen::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Seen, E> {
                i64::try_from(value).map(Seen::Int).map_err(E::custom)
            }

            fn visit_f64<E>(self, value: f64) -> Result<Seen, E> {
                Ok(Seen::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Seen, E> {
                Ok(Seen::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Seen, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Seen::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Seen, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Seen::Integers(map))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

#[test]
fn what_asks_by_itself_is_answered() {
    let mut table = Table::default();
    table.all("stamp", Stamp(u64::MAX));
    table.all("stamps as keys", BTreeMap::from([(Stamp(1), vec![Stamp(2)])]));
    for value in [
        Seen::Unit,
        Seen::Bool(true),
        Seen::Int(i64::MIN),
        Seen::Float(-0.0),
        Seen::Text("🦀".to_owned()),
        Seen::List(vec![Seen::Int(300), Seen::Unit]),
        Seen::Integers(vec![(1, Seen::Int(2)), (-3, Seen::Float(0.5))]),
    ] {
        table.described(&format!("{value:?}"), value, NotRead);
    }
    table.described("values of any kind", Value::from(vec![Value::from(0.1_f32), Value::Null]), Same);
    table.check();
}

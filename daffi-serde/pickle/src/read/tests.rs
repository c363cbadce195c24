//! Opcodes and forms that today's CPython seldom writes, or never: literal bytes.

use daffi_serde::{
    Value, ValueLimits,
    value::{Date, DateTime, Time},
};

use serde::Deserialize;

use super::{Loaded, Unknown, work::noted};
use crate::{ReadError, from_slice};

fn read(pickle: &[u8]) -> Value {
    from_slice(pickle).unwrap_or_else(|error| panic!("{}: {error}", pickle.escape_ascii()))
}

fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    items.into_iter().collect()
}

#[test]
fn stack_and_memo() {
    assert_eq!(read(b"K\x01K\x020."), Value::Int(1));
    assert_eq!(read(b"K\x01(0."), Value::Int(1), "POP takes a mark");
    assert_eq!(read(b"K\x01(K\x02K\x031."), Value::Int(1));
    assert_eq!(read(b"](K\x0122e."), list([1, 1, 1]));
    assert_eq!(read(b"K\x01p7\n0(g7\ng7\nt."), Value::Tuple(vec![1.into(), 1.into()].into()));
    assert_eq!(
        read(b"K\x01q\x070K\x02r\x08\0\0\x000h\x07j\x08\0\0\0\x86."),
        Value::Tuple(vec![1.into(), 2.into()].into())
    );
    // MEMOIZE counts what is remembered, wherever it was put.
    assert_eq!(read(b"K\x01q\x05\x940h\x01."), Value::Int(1));
}

#[test]
fn numbers() {
    for (pickle, int) in [
        (&b"I-7\n."[..], -7),
        (b"L7L\n.", 7),
        (b"L7\n.", 7),
        (b"J\xff\xff\xff\xff.", -1),
        (b"\x8a\0.", 0),
        (b"\x8b\x01\0\0\0\xff.", -1),
        (b"L9223372036854775808L\n.", 1_i128 << 63),
    ] {
        assert_eq!(read(pickle), Value::from(int), "{}", pickle.escape_ascii());
    }
    assert_eq!(read(b"(I01\nI00\n\x88\x89l."), list([true, false, true, false]));
    assert_eq!(read(b"(F1e+16\nFinf\nF-inf\nl."), list([1e16, f64::INFINITY, f64::NEG_INFINITY]));
}

#[test]
fn text_of_python_2() {
    assert_eq!(read(b"(S'it\\'s'\nT\x01\0\0\0aU\x01bl."), list(["it's", "a", "b"]));
}

#[test]
fn containers() {
    assert_eq!(read(b"(K\x01Nd."), Value::Map(vec![(1.into(), Value::Null)].into()));
    assert_eq!(read(b"}(K\x01Nu(t0."), Value::Map(vec![(1.into(), Value::Null)].into()));
    assert_eq!(read(b"](e."), list([0; 0]));
    assert_eq!(read(b"ccollections\nOrderedDict\n)RK\x01Ns."), Value::Map(vec![(1.into(), Value::Null)].into()));
    assert_eq!(read(b"c__builtin__\nfrozenset\n](K\x01e\x85R."), Value::FrozenSet(vec![1.into()].into()));
    assert_eq!(read(b"cbuiltins\nset\n)R(K\x01\x90."), Value::Set(vec![1.into()].into()));
}

#[test]
fn a_list_is_what_it_was_last() {
    // x = []; pair = (x, x); x.append(1)
    let pair = Value::Tuple(vec![list([1]), list([1])].into());
    assert_eq!(read(b"]\x94h\0\x86h\0K\x01a0."), pair);
    // A set made of a list is a copy: x = []; pair = (set(x), x); x.append(1)
    let pair = Value::Tuple(vec![Value::Set(vec![].into()), list([1])].into());
    assert_eq!(read(b"]\x94cbuiltins\nset\nh\0\x85Rh\0\x86h\0K\x01a0."), pair);
}

#[test]
fn constructors() {
    let abc = Value::Bytes(b"ab\xe9"[..].into());
    assert_eq!(read(b"c__builtin__\nbytearray\n(Vab\xe9\nVlatin-1\ntR."), abc);
    assert_eq!(read(b"c_codecs\nencode\n(Vab\xe9\nVlatin1\ntR."), abc);
    assert_eq!(read(b"cbuiltins\nbytearray\nC\x03ab\xe9\x85R."), abc);
    // As Python 2 wrote it, and Python 3 rewrites it.
    let date = Date::new(2024, 2, 29).unwrap();
    assert_eq!(read(b"cdatetime\ndate\n(V\x07\xe8\x02\x1d\ntR."), Value::Date(date));
    let noon = Value::from(DateTime::new(date, Time::new(12, 0, 0, 0).unwrap()));
    assert_eq!(read(b"cdatetime\ndatetime\n(V\x07\xe8\x02\x1d\x0c\\u0000\\u0000\\u0000\\u0000\\u0000\ntR."), noon);
    // Objects made with a class on the stack or in two lines.
    assert_eq!(read(b"(cdecimal\nDecimal\nV1\no."), Value::Decimal("1".into()));
    assert_eq!(read(b"(V1\nidecimal\nDecimal\n."), Value::Decimal("1".into()));
    assert_eq!(read(b"cdecimal\nDecimal\n(V1\nt}\x92."), Value::Decimal("1".into()));
    let complex = read(b"cbuiltins\ncomplex\nG\0\0\0\0\0\0\0\0F2\n\x86R.");
    assert_eq!(complex, Value::Complex(0.0, 2.0));
}

/// Nothing is made of what would be too large: refusing it costs what it has bytes.
#[test]
fn what_multiplies_itself_is_refused_before_it_is_made() {
    let level = |below: u8| [&b"("[..], &[b'h', below].repeat(8), b"t\x94"].concat();
    let bomb = |levels: u8| [b"]\x94".to_vec(), (0..levels).flat_map(level).collect(), b".".to_vec()].concat();
    for (levels, fits) in [(3, true), (8, false), (200, false)] {
        let bytes = bomb(levels);
        let loaded = Loaded::new(&bytes, ValueLimits::default(), Unknown::Refuse).unwrap();
        let (room, values) = (loaded.room.get(), loaded.values_left.get());
        let read = Value::deserialize(loaded.at(loaded.root));
        assert_eq!(read.is_ok(), fits, "{levels}");
        if !fits {
            assert!(matches!(read, Err(ReadError::Memory { .. })), "{read:?}");
            assert_eq!(values, loaded.values_left.get());
            assert!(room - loaded.room.get() <= 4 * bytes.len());
        }
    }
    // What is shared within limits is as before, and what holds itself is found at once.
    assert_eq!(read(b"](K\x01K\x02e\x94h\x00\x86."), Value::Tuple(vec![list([1, 2]), list([1, 2])].into()));
    assert!(matches!(from_slice::<Value>(b"]\x94(h\x00h\x00e."), Err(ReadError::Cycle)));
}

/// `datetime.time(12, tzinfo=ZoneInfo(name))` of CPython 3.13, in its protocols 5 and 2.
fn noon_in(name: &str) -> [Vec<u8>; 2] {
    let length = u8::try_from(name.len()).unwrap();
    let new = [
        b"\x80\x05\x8c\x08datetime\x94\x8c\x04time\x94\x93\x94C\x06\x0c\0\0\0\0\0\x94\x8c\x08builtins\x94\x8c\x07getattr\x94\x93\x94\
          \x8c\x08zoneinfo\x94\x8c\x08ZoneInfo\x94\x93\x94\x8c\t_unpickle\x94\x86\x94R\x94\x8c",
        &[length][..],
        name.as_bytes(),
        b"\x94K\x01\x86\x94R\x94\x86\x94R\x94.",
    ];
    let old = [
        b"\x80\x02cdatetime\ntime\nc_codecs\nencode\nX\x06\0\0\0\x0c\0\0\0\0\0X\x06\0\0\0latin1\x86Rc__builtin__\ngetattr\n\
          czoneinfo\nZoneInfo\nX\t\0\0\0_unpickle\x86RX",
        &[length, 0, 0, 0][..],
        name.as_bytes(),
        b"K\x01\x86R\x86R.",
    ];
    [new.concat(), old.concat()]
}

#[test]
fn a_time_of_day_loses_no_zone_without_a_word() {
    for (zone, text) in [("UTC", "12:00:00+00:00"), ("Etc/GMT-2", "12:00:00+02:00")] {
        for pickle in noon_in(zone) {
            assert_eq!(read(&pickle), Value::from(text.parse::<Time>().unwrap()), "{zone}");
        }
    }
    for zone in ["Europe/Berlin", "Mars/Base"] {
        for pickle in noon_in(zone) {
            let refused = from_slice::<Value>(&pickle).unwrap_err();
            assert_eq!(refused, ReadError::TimeInZone(zone.into()));
            assert!(refused.to_string().contains("send a datetime in its place"), "{refused}");
            // Where things of Python are passed over, it is, too.
            assert!(Loaded::new(&pickle, ValueLimits::default(), Unknown::Skip).is_ok());
        }
    }
}

/// What costs more than it has bytes when it is read again and again: a name for it, opcodes that
/// remember its parts by number, and those that refer to them.
fn costly() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    const LONG: usize = 100_000;
    let name = |module_and_name: &str| [b"c", module_and_name.as_bytes(), b"\n\x94"].concat();
    let text = |before: &[u8], after: &[u8]| [before, &b"1".repeat(LONG), after].concat();
    let (line, ascii) = (text(b"V\\u00e9", b"\n\x94"), text(b"T\xa0\x86\x01\x00", b"\x94"));
    let digits = |before: &str, count| [before.as_bytes(), &b"0".repeat(count), b"7\n\x94"].concat();
    let (float, integer) = (digits("F0.", 390), digits("I", 4299));
    let delta = b"cdatetime\ntimedelta\n(K\x01K\x00K\x00tR\x94".to_vec();
    let far = [b"(K\x01", &b"\x94".repeat(LONG)[..], b"K\x02t\x94"].concat();
    // The tuple is the last that `far` remembers, and behind it is what is called.
    let refer = |far: usize| [&b"j"[..], &u32::try_from(far).unwrap().to_le_bytes()].concat();
    let call_far = |opcodes: &[u8]| [&refer(LONG + 1)[..], &refer(LONG), opcodes].concat();
    let zone = b"Vleapseconds\n\x85\x94".to_vec();
    vec![
        ("text", line.clone(), b"h\x00".to_vec()),
        ("floats", float.clone(), b"h\x00".to_vec()),
        ("integers", integer.clone(), b"h\x00".to_vec()),
        ("tuples of elements far apart", far.clone(), refer(LONG)),
        (
            "names of zones",
            [line.clone(), delta, name("datetime\ntimezone")].concat(),
            b"h\x02h\x01h\x00\x86R0".to_vec(),
        ),
        ("no zones", [name("zoneinfo\nZoneInfo"), zone].concat(), b"h\x00h\x01R0".to_vec()),
        ("complex numbers", [float, name("builtins\ncomplex")].concat(), b"h\x01h\x00h\x00\x86R0".to_vec()),
        ("bytes of text", [line.clone(), name("builtins\nbytes")].concat(), b"h\x01h\x00\x85R0".to_vec()),
        ("dates", [ascii.clone(), name("datetime\ndate")].concat(), b"h\x01h\x00\x85R0".to_vec()),
        ("times", [integer, name("datetime\ntimedelta")].concat(), b"h\x01h\x00h\x00h\x00\x87R0".to_vec()),
        ("names", [line.clone(), ascii].concat(), b"h\x00h\x01\x930".to_vec()),
        ("sets of elements far apart", [far.clone(), name("builtins\nset")].concat(), call_far(b"\x85R0")),
        ("arguments far apart", [far, name("datetime\ndate")].concat(), call_far(b"R0")),
        ("calls of what is no tuple", [line, name("datetime\ndate")].concat(), b"h\x01h\x00R0".to_vec()),
    ]
}

/// What is referred to again and again is looked at again and again: a few times as much as the
/// pickle is long, and then no more, whatever becomes of it.
#[test]
fn what_is_read_again_and_again_is_bounded_by_the_length_of_its_pickle() {
    for (name, shared, each) in costly() {
        let pickle = [&shared[..], b"0(", &each.repeat(20_000), b"l."].concat();
        for unknown in [Unknown::Refuse, Unknown::Skip] {
            let (steps, _) = noted::during(|| {
                let loaded = Loaded::new(&pickle, ValueLimits::default(), unknown)?;
                Value::deserialize(loaded.at(loaded.root))
            });
            // What counts once is passed through up to three times: to find its end, to see that it
            // is text, and to make a number of it.
            let most = 3 * (32 * pickle.len() + (64 << 10));
            assert!(steps <= most, "{name}: {steps} of {most} steps");
        }
    }
}

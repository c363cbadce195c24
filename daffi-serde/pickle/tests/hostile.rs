//! Pickles written to harm their reader. All are read and dropped on the stack of a worker thread.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::thread;

use bytes::Bytes;
use daffi_serde::{Body, Codec, DynArgs, Value, ValueLimits};
use daffi_serde_pickle::{MAX_INT_BYTES, MAX_INT_DIGITS, Pickle, ReadError};

const MEGABYTE: usize = 1 << 20;

/// Reads on a stack that a recursion as deep as the input would overflow: that of tokio's threads.
fn read_with(limits: ValueLimits, pickle: impl Into<Bytes>) -> Result<Value, ReadError> {
    let pickle = pickle.into();
    let read = move || {
        let read = Pickle::new(limits).read(&pickle);
        drop(read.clone());
        read
    };
    thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap().join().unwrap()
}

fn read(pickle: impl Into<Bytes>) -> Result<Value, ReadError> {
    read_with(ValueLimits::default(), pickle)
}

fn max_values(max_values: usize) -> ValueLimits {
    ValueLimits::default().max_values(max_values)
}

fn too_deep() -> Result<Value, ReadError> {
    Err(ReadError::Depth { limit: 256 })
}

fn too_much(len: usize) -> Result<Value, ReadError> {
    Err(ReadError::Memory { limit: ValueLimits::default().decode_bound(len) })
}

fn too_many(limit: usize) -> Result<Value, ReadError> {
    Err(ReadError::Values { limit })
}

#[test]
fn nested_lists() {
    for count in [257, MEGABYTE] {
        assert_eq!(read([b"]".repeat(count), b"a".repeat(count - 1), b".".to_vec()].concat()), too_deep());
    }
    // Written by protocol 0, and never closed.
    assert_eq!(read([b"(".repeat(MEGABYTE), b"l".repeat(MEGABYTE), b".".to_vec()].concat()), too_deep());
    assert_eq!(read(b"]".repeat(MEGABYTE)), Err(ReadError::CutOff { at: MEGABYTE }));
    assert_eq!(read(b"(".repeat(MEGABYTE)), Err(ReadError::CutOff { at: MEGABYTE }));
}

#[test]
fn nested_tuples() {
    assert_eq!(read([b")".to_vec(), b"\x85".repeat(MEGABYTE), b".".to_vec()].concat()), too_deep());
    assert_eq!(read([b"(".repeat(MEGABYTE), b"t".repeat(MEGABYTE), b".".to_vec()].concat()), too_deep());
}

#[test]
fn nested_dicts_and_sets() {
    assert_eq!(
        read([b"}N".repeat(MEGABYTE), b"Ns".to_vec(), b"s".repeat(MEGABYTE - 1), b".".to_vec()].concat()),
        too_deep()
    );
    assert_eq!(read([b"(".repeat(MEGABYTE), b"\x91".repeat(MEGABYTE), b".".to_vec()].concat()), too_deep());
    let deep = [b"\x8f(".repeat(300_000), b"\x90".repeat(300_000), b".".to_vec()].concat();
    assert_eq!(read(deep), too_deep());
}

#[test]
fn the_deepest_that_is_allowed() {
    let nested = [b"]".repeat(256), b"a".repeat(255), b".".to_vec()].concat();
    let mut value = &read(nested).unwrap();
    for _ in 1..256 {
        let Value::List(items) = value else { panic!("{value:?}") };
        value = &items[0];
    }
    assert_eq!(*value, Value::List(vec![].into()));
}

#[test]
fn self_multiplying_containers() {
    // Each list holds the one before it ten times: 10^40 values in 800 bytes.
    let lists = [
        b"]\x94N\x61".to_vec(),
        b"](h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00eq\x00".repeat(40),
        b".".to_vec(),
    ];
    let lists = lists.concat();
    assert_eq!(read(lists.clone()), too_much(lists.len()));
    // A pickle of 153 bytes that would be seventeen million values.
    let level = |below: u8| [&b"("[..], &[b'h', below].repeat(8), b"t\x94"].concat();
    let eights = [b"]\x94".to_vec(), (0..8).flat_map(level).collect(), b".".to_vec()].concat();
    assert_eq!(read(eights.clone()), too_much(eights.len()));
    let tuples = [b")\x94".to_vec(), b"h\x00h\x00\x86q\x00".repeat(200), b".".to_vec()];
    assert_eq!(read_with(max_values(1000), tuples.concat()), too_many(1000));
    let dicts = [b"}\x94".to_vec(), b"}(K\x00h\x00K\x01h\x00uq\x00".repeat(200), b".".to_vec()];
    assert_eq!(read_with(max_values(1000), dicts.concat()), too_many(1000));
    let doubled = [b"]".to_vec(), b"22\x87".repeat(100), b".".to_vec()];
    assert_eq!(read_with(max_values(1000), doubled.concat()), too_many(1000));
}

#[test]
fn copied_sets() {
    // Each call would copy the same list of a thousand.
    let list = [b"](".to_vec(), b"N".repeat(1000), b"e\x94".to_vec()].concat();
    for call in [&b"c__builtin__\nset\nh\x00\x85R0"[..], b"c__builtin__\nfrozenset\nh\x00\x85R0"] {
        let pickle = [&list[..], &call.repeat(1000), b"."].concat();
        assert_eq!(read(pickle.clone()), too_much(pickle.len()));
    }
}

/// Refused when it is referred to `times` times by `each`, and read when it is but a few times.
fn copied(shared: &[u8], each: &[u8], times: usize) {
    let pickle = |times| [shared, b"\x940](", &each.repeat(times), b"e."].concat();
    let many = pickle(times);
    assert_eq!(read(many.clone()), too_much(many.len()), "{}", each.escape_ascii());
    assert!(read(pickle(10)).is_ok(), "{}", each.escape_ascii());
}

#[test]
fn shared_text_and_bytes() {
    let item = vec![b'1'; 100_000];
    for each in
        [&b"h\x00"[..], b"cdecimal\nDecimal\nh\x00\x85R", b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"]
    {
        copied(&[b"X\xa0\x86\x01\x00", &item[..]].concat(), each, 1000);
    }
    // Every opcode that makes text or bytes, as long as it may be.
    for (before, len, after) in [
        (&b"X\xa0\x86\x01\x00"[..], 100_000, ""),
        (b"\x8d\xa0\x86\x01\0\0\0\0\0", 100_000, ""),
        (b"T\xa0\x86\x01\x00", 100_000, ""),
        (b"S'", 100_000, "'\n"),
        (b"S'\\x41", 100_000, "'\n"),
        (b"V", 100_000, "\n"),
        (b"V\xe9", 100_000, "\n"),
        (b"B\xa0\x86\x01\x00", 100_000, ""),
        (b"\x8e\xa0\x86\x01\0\0\0\0\0", 100_000, ""),
        (b"\x96\xa0\x86\x01\0\0\0\0\0", 100_000, ""),
        (b"\x8c\xff", 255, ""),
        (b"U\xff", 255, ""),
        (b"C\xff", 255, ""),
        (b"\x8a\xff", 255, ""),
        (b"\x8b\x00\x10\x00\x00", MAX_INT_BYTES, ""),
        (b"I", 20, "\n"),
        (b"L", 20, "L\n"),
    ] {
        copied(&[before, &item[..len], after.as_bytes()].concat(), b"h\x00", 40_000);
    }
    // Long integers in digits take more time than memory.
    for (opcode, end) in ["I\n", "LL\n"].map(|around| around.split_at(1)) {
        let pickle =
            [opcode.as_bytes(), &item[..MAX_INT_DIGITS], end.as_bytes(), b"\x940](", &b"h\x00".repeat(1000), b"e."];
        let pickle = pickle.concat();
        assert_eq!(read(pickle.clone()), Err(ReadError::Work { limit: (64 << 10) + 32 * pickle.len() }));
    }
    // What constructors made of them.
    let text = [b"X\xa0\x86\x01\x00", &item[..]].concat();
    copied(&[b"cdecimal\nDecimal\n", &text[..], b"\x85R"].concat(), b"h\x00", 1000);
    copied(&[b"c_codecs\nencode\n", &text[..], b"X\x06\0\0\0latin1\x86R"].concat(), b"h\x00", 1000);
    // Keys of a dict are as good as its values.
    let keys = [&text[..], b"\x940}(", &b"h\x00N".repeat(1000), b"u."].concat();
    assert_eq!(read(keys.clone()), too_much(keys.len()));
}

#[test]
fn shared_names_of_arguments() {
    for text in [[b"X\xa0\x86\x01\x00", &[b'1'; 100_000][..]].concat(), [b"V", &[b'1'; 100_000][..], b"\n"].concat()] {
        let call = |times| {
            let pickle = [&text[..], b"\x940)}(", &b"h\x00N".repeat(times), b"u\x86."].concat();
            let mut call = DynArgs::default();
            Pickle::default().decode_args(&Body::new(pickle), &mut call).map(|()| call)
        };
        assert!(call(1000).is_err());
        assert!(call(10).is_ok());
    }
}

#[test]
fn floods_that_leave_nothing_behind() {
    for step in [&b")0"[..], b"(1", b"N0", b"]0", b")\x850", b"(0"] {
        let pickle = [&step.repeat(100_000)[..], b"N."].concat();
        assert_eq!(read(pickle), Ok(Value::Null), "{}", step.escape_ascii());
    }
}

#[test]
fn memo() {
    // A number far away takes no room.
    assert_eq!(read(&b"K\x05r\xff\xff\xff\xff0j\xff\xff\xff\xff."[..]), Ok(Value::Int(5)));
    assert_eq!(read(&b"K\x05p18446744073709551615\n0g18446744073709551615\n."[..]), Ok(Value::Int(5)));
    assert!(matches!(read(&b"K\x05p18446744073709551616\n."[..]), Err(ReadError::Malformed { at: 2, .. })));
    assert!(matches!(read(&b"h\x00."[..]), Err(ReadError::Malformed { at: 0, .. })));
    // Neither do many numbers, near or far.
    assert_eq!(read([&b"N"[..], &b"\x94".repeat(MEGABYTE), b"."].concat()), Ok(Value::Null));
    let far: Vec<u8> = (0..100_000_u32).flat_map(|i| [&b"r"[..], &(i * 40_000).to_le_bytes()].concat()).collect();
    assert_eq!(read([&b"N"[..], &far, b"."].concat()), Ok(Value::Null));
}

#[test]
fn announced_lengths() {
    for header in [
        &b"B\xff\xff\xff\xff"[..],
        b"C\xff",
        b"X\xff\xff\xff\xff",
        b"T\xff\xff\xff\xff",
        b"U\xff",
        b"\x8c\xff",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x8a\xff",
        b"\x8b\xff\x0f\x00\x00",
    ] {
        let pickle = [header, &b" ".repeat(8), b"."].concat();
        assert_eq!(read(pickle), Err(ReadError::CutOff { at: 0 }), "{}", header.escape_ascii());
    }
}

#[test]
fn long_integers() {
    let digits = b"7".repeat(4 * MEGABYTE);
    for opcode in ["I", "L"] {
        let pickle = [opcode.as_bytes(), &digits, b"\n."].concat();
        assert_eq!(read(pickle), Err(ReadError::IntDigits { digits: 4 * MEGABYTE }));
        assert!(read([opcode.as_bytes(), &digits[..MAX_INT_DIGITS], b"\n."].concat()).is_ok());
    }
    assert_eq!(read(&b"\x8b\xff\xff\xff\xff."[..]), Err(ReadError::IntBytes { bytes: u32::MAX.into() }));
    let too_long = [&b"\x8b\x01\x10\x00\x00"[..], &[1; MAX_INT_BYTES + 1], b"."].concat();
    assert_eq!(read(too_long), Err(ReadError::IntBytes { bytes: 4097 }));
    assert!(read([&b"\x8b\x00\x10\x00\x00"[..], &[1; MAX_INT_BYTES], b"."].concat()).is_ok());
}

#[test]
fn cycles() {
    for (name, pickle) in [
        ("list in itself", &b"]\x94h\x00a."[..]),
        ("dict in itself", b"}\x94K\x01h\x00s."),
        ("dict as its own key", b"}\x94h\x00Ns."),
        ("set in itself", b"\x8f\x94(h\x00\x90."),
        ("tuple through a list", b"]\x94h\x00\x85\x94ah\x01."),
        ("frozen set through a list", b"]\x94(h\x00\x91a."),
        ("two lists in each other", b"]\x94]\x94h\x00aa."),
        ("wide cycle", b"]\x94(h\x00h\x00h\x00h\x00h\x00h\x00e."),
    ] {
        assert_eq!(read(pickle), Err(ReadError::Cycle), "{name}");
        let few = ValueLimits::default().max_values(100);
        assert_eq!(read_with(few, pickle), Err(ReadError::Cycle), "{name}");
    }
}

#[test]
fn names_and_calls() {
    let refused = |pickle: &'static [u8]| read(pickle).unwrap_err();
    for pickle in [
        &b"cos\nsystem\n(S'echo boo'\ntR."[..],
        b"cos\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08echo boo\x85R.",
        b"(S'echo boo'\nios\nsystem\n.",
        b"(cos\nsystem\nS'echo boo'\no.",
    ] {
        assert_eq!(refused(pickle), ReadError::Name("os.system".into()), "{}", pickle.escape_ascii());
    }
    assert_eq!(
        refused(b"cos\nsystem\n.").to_string(),
        "PICKLE names os.system, which is not plain data, and nothing is imported or called: send plain data in its place"
    );
    // Constructors are no data themselves, and only make what Python makes with them.
    for (pickle, name) in [
        (&b"cdatetime\ndate\n."[..], "datetime.date"),
        (b"]c__builtin__\nset\na.", "builtins.set"),
        (b"cbuiltins\nobject\n)\x81.", "builtins.object"),
        (b"cbuiltins\nobject\n)R.", "builtins.object"),
        (b"cdatetime\ntimezone\n(cdatetime\ntimedelta\n(I0\nI0\nI0\ntRtR.", "datetime.timezone"),
    ] {
        assert_eq!(refused(pickle), ReadError::Name(name.into()));
    }
    for (pickle, name) in [
        (&b"c_codecs\nencode\n(Vaaaa\nVbz2\ntR."[..], "_codecs.encode"),
        (b"cdecimal\nDecimal\n(V1_0\ntR.", "decimal.Decimal"),
        (b"cdatetime\ndate\n(C\x04\x00\x00\x00\x00tR.", "datetime.date"),
        (b"cdatetime\ndatetime\n(C\x0a\x07\xe8\x02\x1d\x00\x00\x00\x00\x00\x00NtR.", "datetime.datetime"),
        (b"cdatetime\ntimedelta\n(I0\nI86400\nI0\ntR.", "datetime.timedelta"),
        (b"cuuid\nUUID\n)\x81.", "uuid.UUID"),
        (b"cuuid\nUUID\n)\x81}Vint\nI-1\nsb.", "uuid.UUID"),
        (b"cuuid\nUUID\n(V00112233\ntR.", "uuid.UUID"),
        (b"ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.", "copyreg._reconstructor"),
        (b"cbuiltins\nbytearray\n(I1000000000\ntR.", "builtins.bytearray"),
        (b"cbuiltins\nbytes\n(NNNNtR.", "builtins.bytes"),
        (b"cdecimal\nDecimal\n(V1\nt}\x8c\x01aNs\x92.", "decimal.Decimal"),
    ] {
        assert_eq!(refused(pickle), ReadError::Call(name), "{}", pickle.escape_ascii());
    }
    for (pickle, what) in [
        (&b"Pfile\n."[..], "a persistent id"),
        (b"NQ.", "a persistent id"),
        (b"\x82\x01.", "an extension code"),
        (b"\x83\x01\x00.", "an extension code"),
        (b"\x84\x01\x00\x00\x00.", "an extension code"),
        (b"\x97.", "an out-of-band buffer"),
        (b"N\x98.", "an out-of-band buffer"),
    ] {
        assert_eq!(refused(pickle), ReadError::Outside(what));
    }
}

#[test]
fn long_names_are_shortened() {
    let pickle = [b"c", &b"a".repeat(MEGABYTE)[..], b"\n\x1b[31m\n."].concat();
    let Err(ReadError::Name(name)) = read(pickle) else { panic!("refused by name") };
    assert_eq!(name, format!("{}...", "a".repeat(100)));
    assert_eq!(read(&b"cos\n\x1b[31m\n."[..]), Err(ReadError::Name("os.\\u{1b}[31m".into())));
}

#[test]
fn what_is_skipped_in_errors_is_bounded_too() {
    let limits = max_values(1000);
    let decode = |skipped: &[u8]| {
        let pickle = [b"((VE\nVm\nVbad\n", skipped, b"t\x85}\x86."].concat();
        Pickle::new(limits).decode_error(&Body::new(pickle))
    };
    assert_eq!(decode(b"cos\nsystem\n(S'echo boo'\ntR").unwrap().message, "bad");
    assert_eq!(decode(b"cos\nsystem\n)\x81}Va\nNsb").unwrap().message, "bad");
    assert_eq!(decode(b"cos\nsystem\n)}\x92(K\x01K\x02uK\x01a").unwrap().message, "bad");
    assert_eq!(decode(b"(K\x01ios\nsystem\n(cos\nsystem\nK\x01o0").unwrap().message, "bad");
    assert_eq!(decode(b"cdecimal\nDecimal\n(Vbad\ntR").unwrap().message, "bad");
    assert!(decode(&b"cos\nsystem\n)R0".repeat(100_000)).is_err());
    assert!(decode(b"N(cos\nsystem\n)Ra").is_err());
    // Only the traceback may be something else than data.
    let class = b"((cos\nsystem\nVm\nVbad\nNt\x85}\x86.".as_slice();
    assert!(Pickle::default().decode_error(&Body::new(class)).is_err());
}

#[test]
fn broken_stacks() {
    for pickle in [
        &b"."[..],
        b"0.",
        b"1.",
        b"2.",
        b"a.",
        b"Na.",
        b"NNa.",
        b"]a.",
        b"e.",
        b"(e.",
        b"N(Ne.",
        b"s.",
        b"}NN(s.",
        b"}(Nu.",
        b"](NNu.",
        b"}(Ne.",
        b"}N\x90.",
        b"\x8f(Ne.",
        b"(Nd.",
        b"d.",
        b"l.",
        b"t.",
        b"\x85.",
        b"N\x86.",
        b"NN\x87.",
        b"N(\x85.",
        b"R.",
        b"NR.",
        b"NNR.",
        b"N)R.",
        b"b.",
        b"NNb.",
        b"]}b.",
        b"\x93.",
        b"NN\x93.",
        b"(o.",
        b"o.",
        b"N(No.",
        b"\x94.",
        b"p0\n.",
        b"Npx\n.",
        b"gx\n.",
        b"N(.",
        b"Ix\n.",
        b"Fx\n.",
        b"F\n.",
        b"Sx\n.",
        b"U\x01\xff.",
        b"cbuiltins\nset\nNR.",
    ] {
        let error = read(pickle).unwrap_err();
        assert!(matches!(error, ReadError::Malformed { .. }), "{}: {error}", pickle.escape_ascii());
    }
    assert_eq!(read(&b""[..]), Err(ReadError::CutOff { at: 0 }));
    assert_eq!(read(&b"N"[..]), Err(ReadError::CutOff { at: 1 }));
    assert_eq!(read(&b"N.N."[..]), Err(ReadError::Trailing { bytes: 2 }));
    assert_eq!(read(&b"\x80\x06N."[..]), Err(ReadError::Protocol(6)));
    assert_eq!(read(&b"N\xff."[..]), Err(ReadError::Opcode { opcode: 0xff, at: 1 }));
    assert_eq!(read(&b"X\x03\x00\x00\x00\xed\xa0\x80."[..]), Err(ReadError::Text { at: 0 }));
    assert_eq!(read(&b"V\\ud800\n."[..]), Err(ReadError::Text { at: 0 }));
}

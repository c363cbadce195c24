use std::process::Command;

use super::*;
use crate::{failure::Failure, input::Input};

fn refusal_of(text: &str) -> String {
    match Input::default().argument(text) {
        Err(Failure::Usage(sentence)) => sentence,
        other => panic!("{text}: {other:?}"),
    }
}

/// What a shell makes of the words that are advised behind `before`, read as an argument.
fn paste(sentence: &str, before: &str, behind: &str) -> Value {
    let advice = sentence.split_once(before).and_then(|(_, rest)| rest.split_once(behind));
    let (advice, _) = advice.unwrap_or_else(|| panic!("no {before} in {sentence}"));
    let shell = Command::new("sh").args(["-c", &format!("printf '%s\\n' {advice}")]).output().unwrap();
    assert!(shell.status.success(), "{advice}: {shell:?}");
    let word = String::from_utf8(shell.stdout).unwrap();
    Input::default().argument(word.strip_suffix('\n').unwrap()).unwrap_or_else(|error| panic!("{advice}: {error:?}"))
}

#[track_caller]
fn is_advised(text: &str, value: &Value) {
    let sentence = refusal_of(text);
    let advised = paste(&sentence, "write ", " for the ");
    // NaN equals nothing.
    assert_eq!(format!("{advised:?}"), format!("{value:?}"), "{sentence}");
    assert_eq!(paste(&sentence, "and ", " or --text"), text.into(), "{sentence}");
}

#[test]
fn what_python_writes_is_refused_with_words_that_a_shell_takes() {
    let (nan, inf) = (Value::Float(f64::NAN), Value::Float(f64::INFINITY));
    for (text, value) in [
        ("True", true.into()),
        ("False ", false.into()),
        (" None", Value::Null),
        ("NaN", nan.clone()),
        ("-nan", nan.clone()),
        ("+nan", nan),
        ("Infinity", inf.clone()),
        ("+Infinity", inf.clone()),
        ("inf", inf),
        ("-inf", Value::Float(f64::NEG_INFINITY)),
        ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ("(1, 2)", vec![1, 2].into()),
        ("(1,)", vec![1].into()),
        ("()", Value::List(vec![].into())),
        ("(\"it's\",\n 1)", Value::List(vec!["it's".into(), 1.into()].into())),
        ("'ab'", "ab".into()),
        ("u'it\\'s'", "it's".into()),
        ("'a\\n\\xe4\\u20ac\\\\'", "a\n\u{e4}\u{20ac}\\".into()),
        (r#"r"a\n""#, r"a\n".into()),
        ("''", "".into()),
        ("b'ab'", Value::Bytes(b"ab".as_slice().into())),
        (r#"b"it's \x00\xff""#, Value::Bytes(b"it's \0\xff".as_slice().into())),
        ("'''it's'''", "it's".into()),
        ("'a' \"b\"", "ab".into()),
        ("'a', 1", Value::List(vec!["a".into(), 1.into()].into())),
        ("1,2", vec![1, 2].into()),
        ("1, 2", vec![1, 2].into()),
        ("None, 1", Value::List(vec![Value::Null, 1.into()].into())),
        ("((1,2),3)", Value::List(vec![Value::from(vec![1, 2]), 3.into()].into())),
        ("(None, +1_000)", Value::List(vec![Value::Null, 1000.into()].into())),
        ("(True)", true.into()),
        ("[True, 'a']", Value::List(vec![true.into(), "a".into()].into())),
        ("{'a': (1,)}", Value::Map(vec![("a".into(), vec![1].into())].into())),
        ("'\\0\\012\\a\\b\\f\\v\\1234'", "\0\n\u{7}\u{8}\u{c}\u{b}S4".into()),
        ("b'\\0\\x01\\u0041\\N{x}'", Value::Bytes(b"\0\x01\\u0041\\N{x}".as_slice().into())),
        ("{'a': 1, 'b': 2, 'a': 3}", Value::Map(vec![("a".into(), 3.into()), ("b".into(), 2.into())].into())),
        ("{1: 1, True: 2, 1.0: 3}", Value::Map(vec![(1.into(), 3.into())].into())),
        ("{'$bytes': 1}", Value::Map(vec![("$bytes".into(), 1.into())].into())),
        ("[{'$map': {'$float': 'nan'}}]", {
            let within = Value::Map(vec![("$float".into(), "nan".into())].into());
            Value::List(vec![Value::Map(vec![("$map".into(), within)].into())].into())
        }),
        ("{1: None}", Value::Map(vec![(1.into(), Value::Null)].into())),
        ("[1,]", vec![1].into()),
        ("[-Infinity]", Value::List(vec![f64::NEG_INFINITY.into()].into())),
        ("float('inf')", f64::INFINITY.into()),
        ("float(\"-inf\")", f64::NEG_INFINITY.into()),
        // A comma that separated arguments of a call in Python.
        ("None,", Value::Null),
        ("True,", true.into()),
        ("true,", true.into()),
        ("null,", Value::Null),
        ("1,", 1.into()),
        (".5,", 0.5.into()),
        ("0x10,", 16.into()),
        ("\"a\",", "a".into()),
        ("'a',", "a".into()),
        ("[1],", vec![1].into()),
        ("{\"a\":1},", Value::Map(vec![("a".into(), 1.into())].into())),
        // Blanks that JSON does not skip.
        ("5\u{a0}", 5.into()),
        ("\u{feff}true", true.into()),
        ("1.5\u{200b}", 1.5.into()),
    ] {
        is_advised(text, &value);
    }
}

#[test]
fn numbers_that_json_has_not_are_refused_with_how_it_has_them() {
    for (text, value) in [
        (".5", Value::from(0.5)),
        ("5.", Value::from(5.0)),
        ("-.25", Value::from(-0.25)),
        ("+1.5", Value::from(1.5)),
        ("+2e3", Value::from(2e3)),
        ("1_000", Value::from(1000)),
        ("-1_000_000.5", Value::from(-1_000_000.5)),
        ("0x10", Value::from(16)),
        ("-0b11", Value::from(-3)),
        ("0o17", Value::from(15)),
        ("0xffff_ffff_ffff_ffff_f", Value::from((1_i128 << 68) - 1)),
        ("1,000", Value::from(1000)),
        ("-1,234,567.5", Value::from(-1_234_567.5)),
        ("\u{2212}5", Value::from(-5)),
        ("+1e999", Value::from(f64::INFINITY)),
        (".5e999", Value::from(f64::INFINITY)),
        ("\u{2212}1e999", Value::from(f64::NEG_INFINITY)),
    ] {
        is_advised(text, &value);
    }
}

#[test]
fn each_thing_that_digits_with_commas_may_mean_is_named() {
    for (text, readings) in [
        ("255,255,255", &["255255255", "'[255,255,255]'"][..]),
        ("192,168", &["192168", "'[192,168]'", "192.168"]),
        ("1,000", &["1000", "1.000"]),
        ("3,14", &["'[3,14]'", "3.14"]),
        ("-3,14", &["'[-3,14]'", "-3.14"]),
        ("1.234,56", &["'[1.234,56]'", "1234.56"]),
    ] {
        let sentence = refusal_of(text);
        let written = sentence.split_once("write ").unwrap().1;
        for reading in readings {
            assert!(written.contains(&format!("{reading} for the ")), "{reading}: {sentence}");
        }
        assert_eq!(written.matches(" for the ").count(), readings.len() + 1, "{sentence}");
        assert_eq!(written.contains("a point in JSON"), text.matches(',').count() == 1, "{sentence}");
    }
}

#[test]
fn javascript_has_its_own_words() {
    for (text, whose) in [("-Infinity", "JavaScript"), ("[NaN]", "JavaScript"), ("inf", "Python"), ("None", "Python")] {
        let sentence = refusal_of(text);
        assert!(sentence.contains(&format!("is how {whose} writes it")), "{sentence}");
    }
}

/// What Python writes of a value, and that value, as the numbers choose.
fn written(next: &mut impl FnMut(u32) -> u32, depth: u32) -> (String, Value) {
    const TEXTS: [(&str, &str); 8] = [
        ("'a'", "a"),
        ("'$bytes'", "$bytes"),
        ("\"it's\"", "it's"),
        ("'$map'", "$map"),
        ("'\\x00\\n\\''", "\0\n'"),
        ("'\\7\\u20ac\\\\'", "\u{7}\u{20ac}\\"),
        ("r'\\n'", "\\n"),
        ("''", ""),
    ];
    match next(if depth == 0 { 6 } else { 9 }) {
        0 => ("None".to_owned(), Value::Null),
        1 => ("True".to_owned(), true.into()),
        2 => ("-inf".to_owned(), f64::NEG_INFINITY.into()),
        3 => {
            let number = next(1000);
            (format!("-{number}"), (-i64::from(number)).into())
        }
        4 => {
            let (text, value) = TEXTS[next(8) as usize];
            (text.to_owned(), value.into())
        }
        5 => (r"b'\0\xff\u0'".to_owned(), Value::Bytes(b"\0\xff\\u0".as_slice().into())),
        kind @ (6 | 7) => {
            let items: Vec<_> = (0..next(4)).map(|_| written(next, depth - 1)).collect();
            let texts: String = items.iter().map(|(text, _)| format!("{text}, ")).collect();
            let value = Value::List(items.into_iter().map(|(_, value)| value).collect());
            (if kind == 6 { format!("({texts})") } else { format!("[{texts}]") }, value)
        }
        _ => {
            let (mut text, mut entries) = (String::new(), Vec::<(Value, Value)>::new());
            for _ in 0..next(4) {
                let (key, known) = TEXTS[next(4) as usize];
                let (held, value) = written(next, depth - 1);
                text += &format!("{key}: {held}, ");
                match entries.iter_mut().find(|(key, _)| *key == known.into()) {
                    Some(entry) => entry.1 = value,
                    None => entries.push((known.into(), value)),
                }
            }
            (format!("{{{text}}}"), Value::Map(entries.into()))
        }
    }
}

#[test]
fn whatever_is_advised_is_taken_and_means_the_same() {
    // Marsaglia's generator: the same values each time.
    let mut state = 2_463_534_242_u32;
    let mut next = |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    for _ in 0..300 {
        let (text, value) = written(&mut next, 3);
        is_advised(&format!("({text}, None)"), &Value::List(vec![value, Value::Null].into()));
    }
}

#[test]
fn numbers_beyond_all_are_no_text() {
    for (text, value) in [("1e999", f64::INFINITY), ("-1e999", f64::NEG_INFINITY), (" 1.5e400", f64::INFINITY)] {
        let sentence = refusal_of(text);
        assert_eq!(paste(&sentence, "write ", " for the infinite one"), value.into(), "{sentence}");
        assert_eq!(paste(&sentence, "and ", " or --text"), text.into(), "{sentence}");
    }
    let within = refusal_of("[1, -1e999]");
    assert!(
        within.contains(r#"-1e999 is beyond those of 64 bits; the infinite one is {"$float": "-inf"}"#),
        "{within}"
    );
}

#[test]
fn what_no_json_is_says_so() {
    for text in [
        "...",
        "{1,2}",
        "{'a'}",
        "(1, {2})",
        "[set()]",
        "[1j]",
        "(1, 5j)",
        "range(0, 5)",
        "datetime.datetime(2024, 2, 29, 0, 0, tzinfo=datetime.timezone.utc)",
        "defaultdict(<class 'list'>, {'a': [1]})",
        "[Decimal('1'), Path('a')]",
        "dict(a=1)",
        "PosixPath('/tmp')",
        "(1+2j)",
        "-0.5e3-1j",
        "set()",
        "Decimal('1.5')",
        "datetime.date(2024, 2, 29)",
        "uuid.UUID('00')",
    ] {
        let sentence = refusal_of(text);
        assert!(sentence.contains("which no JSON is: send what the callback can make it of"), "{sentence}");
        assert_eq!(paste(&sentence, "or write ", " or --text"), text.into(), "{sentence}");
    }
}

#[test]
fn what_begins_like_json_and_is_none_is_quoted_for_a_shell() {
    for text in ["[1,", "{'a': 1", "\"it's", "  {a: 1}", "[1], \"k\": {}", "[\"\u{1b}\u{9b}\n'\"", "{\"a\":1"] {
        let sentence = refusal_of(text);
        assert!(sentence.contains("begins like JSON and is none"), "{sentence}");
        assert_eq!(paste(&sentence, "or write ", " or --text"), text.into(), "{sentence}");
        let last = sentence.rsplit_once("or write").unwrap().1;
        assert!(Shown::new(last).is_plain(), "it comes to a terminal as it is: {last:?}");
    }
    assert!(refusal_of("[True").contains("(True is true in JSON)"));
    assert!(refusal_of("[-Infinity").contains(r#"and -Infinity {"$float": "-inf"})"#));
    assert!(refusal_of("['a'").contains("(JSON has double quotes only)"));
    let long = refusal_of(&format!("[{}", "x".repeat(1000)));
    assert!(long.contains("write it in double quotes, as JSON has it, or --text") && long.len() < 600, "{long}");
}

#[test]
fn a_tag_that_means_nothing_says_how_to_send_it_all_the_same() {
    for (text, value) in [
        (r#"{"$bytes": "?"}"#, Value::Map(vec![("$bytes".into(), "?".into())].into())),
        (r#"{"$float": [1]}"#, Value::Map(vec![("$float".into(), vec![1].into())].into())),
        (r#"{"$map": {}}"#, Value::Map(vec![("$map".into(), Value::Map(vec![].into()))].into())),
    ] {
        let sentence = refusal_of(text);
        assert!(!sentence.contains("begins like JSON"), "{sentence}");
        assert_eq!(paste(&sentence, "or write ", " for a map with that key"), value, "{sentence}");
        assert_eq!(paste(&sentence, "and ", " or --text"), text.into(), "{sentence}");
    }
}

#[test]
fn texts_that_only_remind_of_values_are_texts() {
    for text in [
        "+3",
        "007",
        "-007",
        "+491234567",
        "2024_01",
        "1_00",
        "_1",
        "1_",
        ".",
        "-.",
        "..",
        "1.2.3",
        ".x",
        "v5.",
        "0x",
        "0xyz",
        "e5",
        ".e5",
        "1e",
        "01.02",
        "none",
        "TRUE",
        "yes",
        "nano",
        "info",
        "-x",
        "+",
        "b",
        "it's",
        "'tis",
        "(see below)",
        "date(x)",
        "time(utc)",
        "time(5)",
        "Path(x)",
        "set(x)",
        "set(1)",
        "range(5)",
        "5j",
        "12j",
        "5j, 12j",
        "float(inf)",
        "f'{name}'",
        "b'\u{e4}'",
        "'\\N{BULLET}'",
        "(see, below)",
        "(1)",
        "j",
        "4J",
        "print(1)",
        "set",
        "f(x)",
        "-None",
        "hello, world",
        "x,",
        "1, x",
        ",",
        "1,2 of 3",
        "12:30",
        "1;2",
        "1/2",
        "1+2",
        "10.0.0.1",
        "rock'n'roll",
        "'n' more",
        "it's, isn't",
        "....",
        "...and more",
        "Ellipsis",
        "undefined",
        "NULL",
        "nil",
        "1L",
        "00",
        "(a)",
        "int",
        "a=1",
    ] {
        assert_eq!(Input::default().argument(text).unwrap(), text.into(), "{text}");
    }
}

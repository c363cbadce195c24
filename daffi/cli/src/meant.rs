//! What somebody may have meant by a text that is no JSON, and how to write that in a shell.

use daffi::{Shown, Value};
use num_bigint::BigInt;

use crate::{
    escaped::write_json,
    json::{self, ParseError},
    python::{self, Meaning},
    value::Json,
};

/// Bytes of a text that are repeated in what is said about it: more than that nobody pastes.
const REPEATED: usize = 256;

/// Words of Python and of JavaScript that JSON has not, and how JSON has them.
const WORDS: [(&str, &str); 9] = [
    ("True", "true"),
    ("False", "false"),
    ("None", "null"),
    ("NaN", NAN),
    ("nan", NAN),
    ("Infinity", INFINITE),
    ("infinity", INFINITE),
    ("Inf", INFINITE),
    ("inf", INFINITE),
];
const NAN: &str = r#"{"$float": "nan"}"#;
const INFINITE: &str = r#"{"$float": "inf"}"#;
const BELOW_ALL: &str = r#"{"$float": "-inf"}"#;

/// Why a text that is no JSON is not taken as text, with how to write each thing that may be meant.
/// `None`: it is nothing but text.
pub(crate) fn refusal(text: &str, error: &ParseError) -> Option<String> {
    let (shown, quoted) = (Shown::new(text).at_most(REPEATED), as_text(text));
    let for_value = |json: &str| format!("write {} for the value, and {quoted} for the text", for_shell(json));
    if let ParseError::Json(_) = error {
        let bare = text.trim_matches(is_blank);
        if bare.len() < text.trim_matches(JSON_BLANKS).len() && json::parse(bare).is_ok() {
            return Some(format!("{shown} has a blank at an end that JSON does not know: {}", for_value(bare)));
        }
        if let Some(value) = bare.strip_suffix(',').and_then(|bare| value_of(bare.trim())) {
            return Some(format!(
                "{shown} ends with a comma, though only blanks separate arguments: {}",
                for_value(&value)
            ));
        }
        if let Some(json) = number(bare) {
            return Some(format!("{shown} is no number in JSON: {}", for_value(&json)));
        }
        match python::read(bare) {
            Some(Meaning::Value(value)) => {
                return Some(format!("{shown} is how Python writes it: {}", for_value(&in_json(&value))));
            }
            Some(Meaning::NoJson(what)) => {
                return Some(format!(
                    "{shown} is how Python writes {what}, which no JSON is: send what the callback can make it of, as a \
                     list or text, or write {quoted} for the text"
                ));
            }
            None => {}
        }
    }
    match error {
        ParseError::Json(error) => text.trim_start().starts_with(['[', '{', '"']).then(|| {
            let hint = hint(text);
            format!(
                "argument {shown}: it begins like JSON and is none: {error}{hint}; mend it, or write {quoted} for the text"
            )
        }),
        ParseError::Beyond { number, infinite } if text.trim() == number => Some(format!(
            "{shown} is a number beyond those of 64 bits: write {} for the infinite one, and {quoted} for the text",
            for_shell(infinite)
        )),
        ParseError::Beyond { .. } => {
            Some(format!("argument {shown}: {error}; mend it, or write {quoted} for the text"))
        }
        ParseError::Value(what) => {
            Some(format!("argument {shown}: {what}; mend it, or write {quoted} for the text"))
        }
        ParseError::Tag { what, instead } => Some(format!(
            "argument {shown}: {what}; mend it, or write {} for a map with that key, and {quoted} for the text",
            for_shell(instead)
        )),
    }
}

/// What of Python is in a text that should be JSON, and how JSON has it.
pub(crate) fn hint(text: &str) -> String {
    let has_word = |word: &str| text.split(|c: char| !c.is_alphanumeric()).any(|found| found == word);
    match WORDS.iter().find(|(python, _)| has_word(python)) {
        Some(&("Infinity", json)) if text.contains("-Infinity") => {
            format!(" (Infinity is {json} in JSON, and -Infinity {BELOW_ALL})")
        }
        Some((python, json)) => format!(" ({python} is {json} in JSON)"),
        None if text.contains('\'') => " (JSON has double quotes only)".to_owned(),
        None => String::new(),
    }
}

/// How a text is written so that it is taken as text.
fn as_text(text: &str) -> String {
    if text.len() > REPEATED {
        return "it in double quotes, as JSON has it, or --text".to_owned();
    }
    format!("{} or --text", for_shell(&one_line(&text.into())))
}

/// A word for a shell that reads it as this text.
fn for_shell(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    // Nothing ends single quotes but a single quote, which stands outside them.
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// JSON in which nothing needs to be escaped when it is shown.
fn one_line(value: &Value) -> String {
    let mut json = Vec::new();
    let _infallible = write_json(&Json(value), false, &mut json);
    String::from_utf8_lossy(&json).into_owned()
}

/// What JSON skips around a value.
const JSON_BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Whether it looks like nothing.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// The JSON of a text that JSON or Python reads as one value.
fn value_of(text: &str) -> Option<String> {
    if json::parse(text).is_ok() {
        return Some(text.to_owned());
    }
    match python::read(text) {
        Some(Meaning::Value(value)) => Some(in_json(&value)),
        Some(Meaning::NoJson(_)) => None,
        None => number(text),
    }
}

/// JSON of a value that Python wrote, whose keys need not be text.
fn in_json(value: &Value) -> String {
    let pair = |open: &str, (key, held): &(Value, Value), between: &str, close: &str| {
        format!("{open}{}{between}{}{close}", in_json(key), in_json(held))
    };
    match value {
        Value::List(items) => format!("[{}]", items.iter().map(in_json).collect::<Vec<_>>().join(",")),
        Value::Map(entries) if entries.iter().all(|(key, _)| matches!(key, Value::Str(_))) => {
            let entries: Vec<_> = entries.iter().map(|entry| pair("", entry, ":", "")).collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|entry| pair("[", entry, ",", "]")).collect();
            format!("{{\"$map\":[{}]}}", entries.join(","))
        }
        Value::Float(number) if number.is_nan() => NAN.to_owned(),
        Value::Float(number) if number.is_infinite() => if *number > 0.0 { INFINITE } else { BELOW_ALL }.to_owned(),
        plain => one_line(plain),
    }
}

/// How JSON writes a number as others do: in digits of another base, in groups of three digits,
/// with a part left out, beyond those of 64 bits, or with the minus sign of a book. Nobody means a
/// number by `+3` and `007` for certain: numbers of telephones and codes are written so.
pub(crate) fn number(text: &str) -> Option<String> {
    let (sign, bare) = match text.strip_prefix(['-', '+', BOOK_MINUS]) {
        Some(bare) => (if text.starts_with('+') { "" } else { "-" }, bare),
        None => ("", text),
    };
    if let Some(number) = of_another_base(bare) {
        return Some(format!("{sign}{number}"));
    }
    let ungrouped = without_groups(bare);
    let digits = ungrouped.as_deref().unwrap_or(bare);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, format!("e{exponent}")),
        None => (digits, String::new()),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let has_point = mantissa.contains('.');
    let is_whole = !has_point && exponent.is_empty() && !text.starts_with(BOOK_MINUS);
    if is_whole && ungrouped.is_none() || whole.is_empty() && (fraction.is_empty() || !has_point) {
        return None;
    }
    let or_zero = |part: &str| if part.is_empty() { "0".to_owned() } else { part.to_owned() };
    let point = if has_point { format!(".{}", or_zero(fraction)) } else { String::new() };
    let json = format!("{sign}{}{point}{exponent}", or_zero(whole));
    match json::parse(&json) {
        Ok(Value::Int(_) | Value::BigInt(_) | Value::Float(_)) => Some(json),
        Err(ParseError::Beyond { infinite, .. }) => Some(infinite.to_owned()),
        _ => None,
    }
}

/// U+2212, which stands where a text was set by a program that means well.
const BOOK_MINUS: char = '\u{2212}';

fn of_another_base(digits: &str) -> Option<BigInt> {
    let (base, digits) = match digits.get(..2)? {
        "0x" | "0X" => (16, &digits[2..]),
        "0o" | "0O" => (8, &digits[2..]),
        "0b" | "0B" => (2, &digits[2..]),
        _ => return None,
    };
    let all = digits.chars().all(|c| c == '_' || c.is_digit(base)) && digits.len() <= REPEATED;
    all.then(|| BigInt::parse_bytes(digits.replace('_', "").as_bytes(), base)).flatten()
}

/// The number without the `_` or commas between groups of three digits before its point, if it has
/// those.
fn without_groups(number: &str) -> Option<String> {
    let whole = number.split(['.', 'e', 'E']).next().unwrap_or_default();
    let mark = if whole.contains('_') { '_' } else { ',' };
    let mut groups = whole.split(mark);
    let first = groups.next()?;
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_first = matches!(first.len(), 1..=3) && are_digits(first);
    let grouped = is_first && whole.contains(mark) && groups.all(|group| group.len() == 3 && are_digits(group));
    grouped.then(|| whole.replace(mark, "") + &number[whole.len()..])
}

#[cfg(test)]
mod tests {
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
        Input::default()
            .argument(word.strip_suffix('\n').unwrap())
            .unwrap_or_else(|error| panic!("{advice}: {error:?}"))
    }

    #[track_caller]
    fn is_advised(text: &str, value: &Value) {
        let sentence = refusal_of(text);
        let advised = paste(&sentence, "write ", " for the value");
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
            "dict(a=1)",
            "PosixPath('/tmp')",
            "1j",
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
}

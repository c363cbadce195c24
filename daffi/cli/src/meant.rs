//! What somebody may have meant by a text that is no JSON, and how to write that in a shell.

use daffi::Shown;
use num_bigint::BigInt;

use crate::{
    escaped::write_json,
    json::{self, ParseError},
    python::{self, Literal},
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
    if let Some(json) = of_python(text.trim()) {
        return Some(format!(
            "{shown} is how Python writes it: write {} for the value, and {quoted} for the text",
            for_shell(&json)
        ));
    }
    if let Some(what) = python::without_json(text.trim()) {
        return Some(format!(
            "{shown} is how Python writes {what}, which no JSON is: send what the callback can make it of, as a list or \
             text, or write {quoted} for the text"
        ));
    }
    if let Some(json) = number(text.trim()) {
        return Some(format!("{shown} is no number in JSON: write {json} for the value, and {quoted} for the text"));
    }
    match error {
        ParseError::Json(error) => text.trim_start().starts_with(['[', '{', '"']).then(|| {
            let hint = hint(text);
            format!(
                "argument {shown}: it begins like JSON and is none: {error}{hint}; mend it, or write {quoted} for the text"
            )
        }),
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
fn one_line(value: &daffi::Value) -> String {
    let mut json = Vec::new();
    let _infallible = write_json(&Json(value), false, &mut json);
    String::from_utf8_lossy(&json).into_owned()
}

/// The JSON of what Python writes so.
fn of_python(text: &str) -> Option<String> {
    word(text).map(str::to_owned).or_else(|| tuple(text)).or_else(|| match python::literal(text)? {
        Literal::Text(text) => Some(one_line(&text.into())),
        Literal::Bytes(bytes) => Some(one_line(&daffi::Value::Bytes(bytes.into()))),
    })
}

fn word(text: &str) -> Option<&'static str> {
    let (is_negative, bare) = match text.strip_prefix(['-', '+']) {
        Some(bare) => (text.starts_with('-'), bare),
        None => (false, text),
    };
    let (_, json) = *WORDS.iter().find(|(python, _)| *python == bare)?;
    match json {
        INFINITE if is_negative => Some(BELOW_ALL),
        NAN | INFINITE => Some(json),
        json => (bare.len() == text.len()).then_some(json),
    }
}

/// A tuple of what JSON has.
fn tuple(text: &str) -> Option<String> {
    let items = text.strip_prefix('(')?.strip_suffix(')')?.trim();
    if !items.is_empty() && !items.contains(',') {
        return None;
    }
    let list = json::parse(&format!("[{}]", items.trim_end_matches(','))).ok()?;
    Some(one_line(&list))
}

/// How JSON writes a number as other languages do: in digits of another base, in groups of three
/// digits, or with a part left out. Nobody means a number by `+3` and `007` for certain: numbers of
/// telephones and codes are written so.
pub(crate) fn number(text: &str) -> Option<String> {
    let (sign, bare) = match text.strip_prefix(['-', '+']) {
        Some(bare) => (if text.starts_with('-') { "-" } else { "" }, bare),
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
    let is_whole = !has_point && exponent.is_empty();
    if is_whole && ungrouped.is_none() || whole.is_empty() && (fraction.is_empty() || !has_point) {
        return None;
    }
    let or_zero = |part: &str| if part.is_empty() { "0".to_owned() } else { part.to_owned() };
    let point = if has_point { format!(".{}", or_zero(fraction)) } else { String::new() };
    let json = format!("{sign}{}{point}{exponent}", or_zero(whole));
    json::parse(&json).is_ok_and(|value| !matches!(value, daffi::Value::Null | daffi::Value::Bool(_))).then_some(json)
}

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

/// The number without the `_` between groups of three digits before its point, if it has those.
fn without_groups(number: &str) -> Option<String> {
    let whole = number.split(['.', 'e', 'E']).next().unwrap_or_default();
    let mut groups = whole.split('_');
    let first = groups.next()?;
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_first = matches!(first.len(), 1..=3) && are_digits(first);
    let grouped = is_first && whole.contains('_') && groups.all(|group| group.len() == 3 && are_digits(group));
    grouped.then(|| whole.replace('_', "") + &number[whole.len()..])
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use daffi::Value;

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
        ] {
            is_advised(text, &value);
        }
    }

    #[test]
    fn what_no_json_is_says_so() {
        for text in
            ["1j", "(1+2j)", "-0.5e3-1j", "set()", "Decimal('1.5')", "datetime.date(2024, 2, 29)", "uuid.UUID('00')"]
        {
            let sentence = refusal_of(text);
            assert!(sentence.contains("which no JSON is: send what the callback can make it of"), "{sentence}");
            assert_eq!(paste(&sentence, "or write ", " or --text"), text.into(), "{sentence}");
        }
    }

    #[test]
    fn what_begins_like_json_and_is_none_is_quoted_for_a_shell() {
        for text in ["[1,", "{'a': 1}", "\"it's", "  {a: 1}", "[1], \"k\": {}", "[\"\u{1b}\u{9b}\n'\"", "{\"a\":1"] {
            let sentence = refusal_of(text);
            assert!(sentence.contains("begins like JSON and is none"), "{sentence}");
            assert_eq!(paste(&sentence, "or write ", " or --text"), text.into(), "{sentence}");
            let last = sentence.rsplit_once("or write").unwrap().1;
            assert!(Shown::new(last).is_plain(), "it comes to a terminal as it is: {last:?}");
        }
        assert!(refusal_of("[True]").contains("(True is true in JSON)"));
        assert!(refusal_of("[-Infinity]").contains(r#"and -Infinity {"$float": "-inf"})"#));
        assert!(refusal_of("['a']").contains("(JSON has double quotes only)"));
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
        ] {
            assert_eq!(Input::default().argument(text).unwrap(), text.into(), "{text}");
        }
    }
}

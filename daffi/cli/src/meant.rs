//! What somebody may have meant by a text that is no JSON, and how to write that in a shell.

use daffi::{Shown, Value};
use num_bigint::BigInt;

use crate::{
    escaped::write_json,
    json::{self, ParseError},
    python::{self, Meaning},
    value::{BYTES_KEY, FLOAT_KEY, Json, MAP_KEY},
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
        if let Some(readings) = with_commas(bare) {
            let written = readings.iter().map(|(json, what)| format!("{} for the {what}", for_shell(json)));
            let written = written.collect::<Vec<_>>().join(", ");
            return Some(format!("{shown} can mean several things: write {written}, and {quoted} for the text"));
        }
        if let Some(json) = number(bare) {
            return Some(format!("{shown} is no number in JSON: {}", for_value(&json)));
        }
        match python::read(bare) {
            Some(Meaning::Value(value)) => {
                return Some(format!("{shown} is how {} writes it: {}", writer(bare), for_value(&in_json(&value))));
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

/// What digits with commas can mean, each with its JSON: a number in groups, several numbers, or
/// one with a decimal comma. `None`: not more than one of these.
fn with_commas(text: &str) -> Option<Vec<(String, &'static str)>> {
    let is_part = |c: char| c.is_ascii_digit() || ".,+-".contains(c);
    if !text.contains(',') || !text.chars().all(is_part) {
        return None;
    }
    let (grouped, decimal) = (number(text), of_decimal_comma(text));
    let list = match python::read(text) {
        Some(Meaning::Value(value @ Value::List(_))) => Some(in_json(&value)),
        _ => None,
    };
    let grouped = grouped.map(|json| (json, "number in groups"));
    let list = list.map(|json| (json, "list"));
    let decimal = decimal.map(|json| (json, "number, whose comma is a point in JSON"));
    let readings: Vec<_> = [grouped, list, decimal].into_iter().flatten().collect();
    (readings.len() > 1).then_some(readings)
}

/// The number with a comma in the place of its point, and points between groups of three digits, if
/// it has those.
fn of_decimal_comma(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once(',')?;
    let whole = match without_groups(&whole.trim_start_matches(['+', '-']).replace('.', ",")) {
        Some(bare) if whole.starts_with('-') => format!("-{bare}"),
        Some(bare) => bare,
        None => whole.strip_prefix('+').unwrap_or(whole).to_owned(),
    };
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let json = format!("{whole}.{fraction}");
    let is_decimal = are_digits(whole.trim_start_matches('-')) && are_digits(fraction);
    (is_decimal && json::parse(&json).is_ok()).then_some(json)
}

/// Whose words a text is in: Python writes `inf` and `nan`, JavaScript begins them with a capital.
fn writer(text: &str) -> &'static str {
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let is_of_javascript = has(&["Infinity", "NaN"]) && !has(&["True", "False", "None", "(", "'"]);
    if is_of_javascript { "JavaScript" } else { "Python" }
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
pub(crate) fn one_line(value: &Value) -> String {
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
        Value::Map(entries) if entries.iter().all(|(key, _)| matches!(key, Value::Str(_))) && !is_tag(entries) => {
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

/// Whether JSON of these entries would be read as what stands for something else.
fn is_tag(entries: &[(Value, Value)]) -> bool {
    matches!(entries, [(Value::Str(key), _)] if [BYTES_KEY, FLOAT_KEY, MAP_KEY].contains(&&**key))
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
mod tests;

//! A [`Value`] in Python's notation.

use std::fmt::{self, Display, Write};

use super::{Value, serialize::hyphenate};

/// Bytes of a value that a message shows.
const SHOWN: usize = 100;

/// Shows the value as Python would: `{'a': [1, 2.0, None]}`. Dates, decimals and UUIDs are their
/// plain text.
impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => value.fmt(f),
            Self::BigInt(value) => value.fmt(f),
            Self::Float(value) => PythonFloat(*value).fmt(f),
            Self::Str(text) => write_text(text, f),
            Self::Bytes(bytes) => write!(f, "b'{}'", bytes.escape_ascii()),
            Self::List(items) => write_items("[", items, "]", f),
            Self::Tuple(items) => write_items("(", items, if items.len() == 1 { ",)" } else { ")" }, f),
            Self::Set(items) if items.is_empty() => f.write_str("set()"),
            Self::Set(items) => write_items("{", items, "}", f),
            Self::FrozenSet(items) => write_items("frozenset({", items, "})", f),
            Self::Map(entries) => {
                f.write_char('{')?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", separator(at))?;
                }
                f.write_char('}')
            }
            Self::Complex(real, imaginary) => write!(f, "({real}{imaginary:+}j)"),
            Self::Date(date) => date.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::DateTime(moment) => write!(f, "{} {}", moment.date, moment.time),
            Self::TimeDelta(delta) => delta.fmt(f),
            Self::Decimal(text) => f.write_str(text),
            Self::Uuid(uuid) => f.write_str(&hyphenate(**uuid)),
        }
    }
}

/// What a value is, for a message: as [`Value`] prints it, cut after a hundred characters.
#[must_use]
pub fn show<T: serde::Serialize + ?Sized>(value: &T) -> String {
    struct Cut(String);
    impl Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = SHOWN.saturating_sub(self.0.len());
            let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            self.0.push_str(&text[..end]);
            // Printing stops here, however large the value is.
            if end < text.len() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let Ok(value) = super::to_value(value) else { return "not shown".to_owned() };
    let mut cut = Cut(String::new());
    if write!(cut, "{value}").is_err() {
        cut.0.push_str("...");
    }
    cut.0
}

fn write_items(open: &str, items: &[Value], close: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(open)?;
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", separator(at))?;
    }
    f.write_str(close)
}

const fn separator(at: usize) -> &'static str {
    if at == 0 { "" } else { ", " }
}

fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Python prefers single quotes, unless they would have to be escaped.
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c == quote => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}

/// A float as Python writes it: the fewest digits that read back the same, an exponent from 1e16 on
/// and below 1e-4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PythonFloat<F>(pub(crate) F);

impl<F: Display + fmt::LowerExp + Into<f64> + Copy> Display for PythonFloat<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value: f64 = self.0.into();
        if value.is_nan() {
            return f.write_str("nan");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "inf" } else { "-inf" });
        }
        let scientific = format!("{:e}", self.0);
        let (digits, exponent) = scientific.split_once('e').ok_or(fmt::Error)?;
        let exponent: i32 = exponent.parse().map_err(|_| fmt::Error)?;
        if !(-4..16).contains(&exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            return write!(f, "{digits}e{sign}{:02}", exponent.unsigned_abs());
        }
        let plain = format!("{}", self.0);
        let point = if plain.contains('.') { "" } else { ".0" };
        write!(f, "{plain}{point}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_what_python_prints() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789.123, "123456789.123"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (5e-324, "5e-324"),
        ];
        for (value, text) in cases {
            assert_eq!(PythonFloat(value).to_string(), text);
        }
        assert_eq!(PythonFloat(0.1_f32).to_string(), "0.1");
    }

    #[test]
    fn values_are_what_python_shows() {
        let value = Value::Map(
            vec![
                ("it's".into(), Value::Tuple(vec![1.into()].into())),
                (Value::Null, Value::from(vec![true, false])),
                (2.5.into(), Value::Bytes(b"a\0'".as_slice().into())),
            ]
            .into(),
        );
        assert_eq!(value.to_string(), r#"{"it's": (1,), None: [True, False], 2.5: b'a\x00\''}"#);
        assert_eq!(Value::Set(vec![].into()).to_string(), "set()");
        assert_eq!(Value::Complex(1.0, -2.0).to_string(), "(1-2j)");
        assert_eq!(Value::from("a\n\u{7f}").to_string(), r"'a\n\x7f'");
        assert_eq!(Value::Uuid(Box::new(1)).to_string(), "00000000-0000-0000-0000-000000000001");
    }
}

//! Text as protocol 0 writes it.

use std::borrow::Cow;

use super::work::note_steps;

/// Python's `raw-unicode-escape`: Latin-1, with other characters as `\uXXXX` or `\UXXXXXXXX`.
///
/// `None` for what is no character: a surrogate, or beyond Unicode.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Option<Cow<'_, str>> {
    note_steps(line.len());
    if line.is_ascii() && !line.contains(&b'\\') {
        return std::str::from_utf8(line).ok().map(Cow::Borrowed);
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let digits = match (byte, tail) {
            (b'\\', [b'u', ..]) => 4,
            (b'\\', [b'U', ..]) => 8,
            // A backslash before anything else stands for both of them.
            (b'\\', [other, tail @ ..]) => {
                text.push('\\');
                text.push(char::from(*other));
                rest = tail;
                continue;
            }
            _ => {
                text.push(char::from(*byte));
                continue;
            }
        };
        let (hex, after) = tail[1..].split_at_checked(digits)?;
        text.push(char::from_u32(parse_hex(hex)?)?);
        rest = after;
    }
    Some(Cow::Owned(text))
}

/// The quoted and escaped text of a Python 2 `str`. Only ASCII is read, as in Python 3.
pub(super) fn quoted_ascii(line: &[u8]) -> Option<Cow<'_, str>> {
    note_steps(line.len());
    let line = line.trim_ascii_end();
    let [quote @ (b'\'' | b'"'), inner @ .., last] = line else { return None };
    if quote != last {
        return None;
    }
    if !inner.contains(&b'\\') {
        return ascii(inner).map(Cow::Borrowed);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let mut decoded = *byte;
        if *byte == b'\\' {
            (decoded, rest) = escape(tail)?;
        }
        if !decoded.is_ascii() {
            return None;
        }
        text.push(char::from(decoded));
    }
    Some(Cow::Owned(text))
}

/// The byte that an escape stands for, and what follows it.
fn escape(tail: &[u8]) -> Option<(u8, &[u8])> {
    let (byte, rest) = tail.split_first()?;
    let decoded = match byte {
        b'\\' | b'\'' | b'"' => *byte,
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'x' => {
            let (hex, rest) = rest.split_at_checked(2)?;
            return Some((u8::try_from(parse_hex(hex)?).ok()?, rest));
        }
        _ => return None,
    };
    Some((decoded, rest))
}

/// `bytes` as text when they are ASCII.
pub(super) fn ascii(bytes: &[u8]) -> Option<&str> {
    note_steps(bytes.len());
    bytes.is_ascii().then(|| std::str::from_utf8(bytes).ok())?
}

/// The bytes of `text` in Latin-1.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    note_steps(text.len());
    text.chars().map(|c| u8::try_from(c).ok()).collect()
}

/// Reads at most eight hexadecimal digits.
fn parse_hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_unicode_escapes() {
        for (line, text) in [
            (&b"plain"[..], Some("plain")),
            (b"\xe9", Some("é")),
            (b"\\u20ac\\U0001f600", Some("€😀")),
            (b"\\u005cu0041", Some("\\u0041")),
            (b"\\\\u0041", Some("\\\\u0041")),
            (b"\\n\\", Some("\\n\\")),
            (b"\\ud800", None),
            (b"\\U00110000", None),
            (b"\\u12", None),
            (b"\\u+123", None),
        ] {
            assert_eq!(raw_unicode_escape(line).as_deref(), text, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn quoted_text() {
        for (line, text) in [
            (&b"'plain'"[..], Some("plain")),
            (b"\"it's\"", Some("it's")),
            (b"'\\x41\\n\\\\\\''", Some("A\n\\'")),
            (b"''", Some("")),
            (b"'", None),
            (b"plain", None),
            (b"'a\"", None),
            (b"'\\xff'", None),
            (b"'\xff'", None),
            (b"'\\q'", None),
            (b"'\\'", None),
        ] {
            assert_eq!(quoted_ascii(line).as_deref(), text, "{}", line.escape_ascii());
        }
    }
}

//! JSON in which nothing steers a terminal.

use std::io::{self, Write};

use daffi::Shown;
use serde::Serialize;
use serde_json::{
    Serializer,
    ser::{CompactFormatter, Formatter, PrettyFormatter},
};

/// Writes a value as JSON, on one line or on several. What JSON allows in text and a terminal would
/// obey is escaped.
pub(crate) fn write_json(value: &impl Serialize, on_lines: bool, out: &mut impl Write) -> serde_json::Result<()> {
    if on_lines {
        value.serialize(&mut Serializer::with_formatter(out, Escaping(PrettyFormatter::new())))
    } else {
        value.serialize(&mut Serializer::with_formatter(out, Escaping(CompactFormatter)))
    }
}

/// A formatter that escapes the characters of texts, and leaves all else to another.
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let shown = Shown::new(fragment).at_most(usize::MAX);
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| shown.escapes(*c)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }

    // The formatter with lines has methods of its own for these.

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// How many bytes a value takes as JSON on one line, of which no more than `most` are counted.
pub(crate) fn length(value: &impl Serialize, most: usize) -> usize {
    struct Counter {
        left: usize,
    }
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Counter { left: most };
    match write_json(value, false, &mut count) {
        Ok(()) => most - count.left,
        Err(_) => most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_the_terminal() {
        let mut json = Vec::new();
        write_json(&["\u{9b}\u{7f}\u{e4}\u{202e}\u{e0041}x\n"], false, &mut json).unwrap();
        let text = String::from_utf8(json).unwrap();
        assert_eq!(text, r#"["\u009b\u007fä\u202e\udb40\udc41x\n"]"#);
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), ["\u{9b}\u{7f}\u{e4}\u{202e}\u{e0041}x\n"]);
    }

    #[test]
    fn a_length_is_counted_up_to_a_bound() {
        assert_eq!((length(&[1, 2], 80), length(&[1, 2], 4), length(&[1, 2], 5)), (5, 4, 5));
    }
}

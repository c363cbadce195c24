//! Numbers as they are written, where `serde_json` rounds them.

use std::{
    cell::Cell,
    io::{self, Read},
};

use daffi_serde::guard::Source;

/// Digits of the shortest integer that does not fit in 64 bits, -9223372036854775809.
const LONG: usize = 19;

/// Whether so many digits stand in a row that they may be an integer beyond 64 bits. It looks at
/// one byte in nineteen where there are none.
pub(crate) fn has_long_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = LONG - 1;
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            let digits = |byte: &&u8| byte.is_ascii_digit();
            let before = bytes[..at].iter().rev().take_while(digits).count();
            let behind = bytes[at..].iter().take_while(digits).count();
            if before + behind >= LONG {
                return true;
            }
            at += behind;
        }
        at += LONG;
    }
    false
}

/// A text that remembers how far it was read.
#[derive(Debug)]
pub(crate) struct Tracked<'a> {
    text: &'a str,
    at: Cell<usize>,
}

impl<'a> Tracked<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: Cell::new(0) }
    }
}

/// `serde_json` reads byte by byte, and no further than the byte behind a number before it gives
/// the number away.
impl Read for &Tracked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.text.as_bytes().get(self.at.get()..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at.set(self.at.get() + read);
        Ok(read)
    }
}

impl Source for Tracked<'_> {
    fn rounded_integer(&self) -> Option<&str> {
        let read = self.text.get(..self.at.get())?;
        // At the end of the text no byte behind the number was read.
        let read =
            if read.ends_with(|c: char| c.is_ascii_digit()) { read } else { read.get(..read.len().checked_sub(1)?)? };
        let unsigned = read.trim_end_matches(|c: char| c.is_ascii_digit());
        let before = unsigned.strip_suffix('-').unwrap_or(unsigned);
        // The digits of a fraction or an exponent are no integer.
        let float = before.ends_with(['.', 'e', 'E', '+', '-']);
        (!float && unsigned.len() < read.len()).then(|| &read[before.len()..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_found_wherever_they_stand() {
        for before in 0..45 {
            for digits in 0..60 {
                let text = format!("{}{}{}", ".".repeat(before), "7".repeat(digits), ".".repeat(before % 3));
                assert_eq!(has_long_number(&text), digits >= LONG, "{text}");
                let text = format!("{}1,{}", "2,3".repeat(before), "7".repeat(digits));
                assert_eq!(has_long_number(&text), digits >= LONG, "{text}");
            }
        }
    }

    #[test]
    fn the_last_number_is_told_from_a_float() {
        for (text, integer) in [
            ("[123,", Some("123")),
            ("[-123]", Some("-123")),
            ("123", Some("123")),
            ("[1.5,", None),
            ("[1e22,", None),
            ("[1E+22,", None),
            ("[1e-22 ", None),
            ("[true,", None),
            ("", None),
        ] {
            let tracked = Tracked::new(text);
            tracked.at.set(text.len());
            assert_eq!(tracked.rounded_integer(), integer, "{text}");
        }
    }
}

//! Names that peers chose, where no quotes are around them: in tables, lists and sentences.

use daffi::Shown;

/// Marks of no width or of no ink that Unicode counts among the letters and signs.
const EMPTY: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];

/// A name as [`Shown`] has it, in which no blank is lost and none looks like the end of a column:
/// those at its ends and those behind another are escaped, and all that only look like blanks.
pub(crate) fn shown_name(name: &str) -> String {
    shown_start(name, Shown::MOST)
}

/// Such a name among others, between which commas stand.
pub(crate) fn listed_name(name: &str) -> String {
    shown_name(name).replace(',', "\\u{2c}")
}

/// [`shown_name`], of which so many bytes are shown.
pub(crate) fn shown_start(name: &str, most: usize) -> String {
    let shown = Shown::new(name).at_most(most).to_string();
    let (mut before, mut escaped) = (None, String::new());
    let mut letters = shown.chars().peekable();
    while let Some(c) = letters.next() {
        let is_inner = c == ' ' && before.is_some_and(|c| c != ' ') && letters.peek().is_some();
        if !is_inner && c.is_whitespace() || EMPTY.contains(&c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
        before = Some(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_blank_is_lost() {
        for (name, shown) in [
            ("plain", "plain"),
            ("one blank each", "one blank each"),
            ("end ", r"end\u{20}"),
            (" x", r"\u{20}x"),
            ("a  b", r"a \u{20}b"),
            ("a   b", r"a \u{20}\u{20}b"),
            (" ", r"\u{20}"),
            ("  ", r"\u{20}\u{20}"),
            ("", ""),
            ("a\u{a0}b\u{3000}c\u{3164}", r"a\u{a0}b\u{3000}c\u{3164}"),
            ("a\n\u{1b}", r"a\n\u{1b}"),
        ] {
            assert_eq!(shown_name(name), shown);
        }
        assert_eq!(listed_name("x, y"), r"x\u{2c} y");
        assert_eq!(shown_start("a bcd", 2), "a ... (5 bytes)");
    }
}

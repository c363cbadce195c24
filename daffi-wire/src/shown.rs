use std::fmt::{self, Write};

/// A text that a peer chose, as it may stand in a log line, in an error or on a terminal.
///
/// What could forge a line, steer a terminal or turn the order of letters is escaped as Rust
/// escapes it: control characters (line feeds, tabs, ESC, those of C1), separators of lines, marks
/// of writing direction, and characters that show nothing. Of a long text the beginning is shown,
/// and its length.
///
/// ```
/// use daffi_wire::Shown;
/// assert_eq!(Shown::new("w1\n\u{1b}[2J").to_string(), r"w1\n\u{1b}[2J");
/// assert_eq!(Shown::new("abcdef").at_most(3).to_string(), "abc... (6 bytes)");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    text: &'a str,
    most: usize,
    lines: bool,
    is_name: bool,
}

impl<'a> Shown<'a> {
    /// Bytes that are shown unless [`at_most`](Self::at_most) says otherwise: 1 KiB.
    pub const MOST: usize = 1024;

    /// Shows the text on one line.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, most: Self::MOST, lines: false, is_name: false }
    }

    /// Shows a name where no quotes are around it: no blank in it is lost, and none looks like the
    /// end of a word or of a column. Those at its ends and those behind another are escaped, and
    /// all that only look like blanks.
    ///
    /// ```
    /// use daffi_wire::Shown;
    /// assert_eq!(Shown::name("two words ").to_string(), r"two words\u{20}");
    /// assert_eq!(Shown::name("a\u{a0}b").to_string(), r"a\u{a0}b");
    /// ```
    #[must_use]
    pub const fn name(text: &'a str) -> Self {
        Self { is_name: true, ..Self::new(text) }
    }

    /// What something says of itself, as it may stand in an error: for texts with a peer's input in
    /// them. Of a long one the first KiB is made, and no more.
    ///
    /// ```
    /// use daffi_wire::Shown;
    /// assert_eq!(Shown::of(&"no variant `a\n`"), r"no variant `a\n`");
    /// assert_eq!(Shown::of(&"x".repeat(1 << 20)), format!("{}...", "x".repeat(1024)));
    /// ```
    #[must_use]
    pub fn of(what: &dyn fmt::Display) -> String {
        let mut first = First(String::new());
        // It fails where there is more.
        let is_cut = write!(first, "{what}").is_err();
        let shown = Shown::new(&first.0);
        if is_cut { format!("{shown}...") } else { shown.to_string() }
    }

    /// Shows so many bytes of the text. `usize::MAX` shows all.
    #[must_use]
    pub const fn at_most(self, bytes: usize) -> Self {
        Self { most: bytes, ..self }
    }

    /// Leaves line feeds and tabs as they are. This is for a text that stands by itself, where no
    /// line before or behind it is told apart from its own.
    #[must_use]
    pub const fn with_lines(self) -> Self {
        Self { lines: true, ..self }
    }

    /// Whether it is shown as it is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.text.len() <= self.most && !self.text.contains(|c| self.escapes(c)) && !self.misleads_by_blanks()
    }

    /// Whether it is a name of which a blank is escaped.
    fn misleads_by_blanks(&self) -> bool {
        self.is_name
            && (self.text.starts_with(' ')
                || self.text.ends_with(' ')
                || self.text.contains("  ")
                || self.text.contains(looks_blank))
    }

    /// Whether this character is escaped wherever it stands.
    #[must_use]
    pub fn escapes(&self, c: char) -> bool {
        match c {
            '\n' | '\t' => !self.lines,
            c => misleads(c),
        }
    }
}

/// Controls, and format characters that turn the order of letters or show nothing. The joiners,
/// which join letters and signs, are left out.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether it is not the blank of the keyboard, and shows no more than that.
fn looks_blank(c: char) -> bool {
    c.is_whitespace() && c != ' '
        // Of no width or no ink, and counted among the letters and signs.
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = beginning(self.text, self.most);
        let (mut before, mut letters) = (' ', shown.chars().peekable());
        while let Some(c) = letters.next() {
            // Where a name is cut off, more stands behind it.
            let is_last = letters.peek().is_none() && shown.len() == self.text.len();
            if self.escapes(c) {
                write!(f, "{}", c.escape_default())?;
            } else if self.is_name && (c == ' ' && (before == ' ' || is_last) || looks_blank(c)) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
            before = c;
        }
        if shown.len() < self.text.len() { write!(f, "... ({} bytes)", self.text.len()) } else { Ok(()) }
    }
}

/// The first [`Shown::MOST`] bytes of what is written to it.
struct First(String);

impl Write for First {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let shown = beginning(text, Shown::MOST - self.0.len());
        self.0.push_str(shown);
        if shown.len() < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// At most so many bytes of a text, and no part of a character.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_forges_a_line_or_steers_a_terminal() {
        let shown = |text| Shown::new(text).to_string();
        assert_eq!(shown("plain \u{e4} \u{1f468}\u{200d}\u{1f469}"), "plain \u{e4} \u{1f468}\u{200d}\u{1f469}");
        assert_eq!(shown("a\nb\tc\rd\u{1b}[2J\u{7f}"), r"a\nb\tc\rd\u{1b}[2J\u{7f}");
        assert_eq!(
            shown("\u{85}\u{9b}\u{2028}\u{202e}\u{2066}\u{200f}"),
            r"\u{85}\u{9b}\u{2028}\u{202e}\u{2066}\u{200f}"
        );
        assert_eq!(Shown::new("a\nb\tc\r").with_lines().to_string(), "a\nb\tc\\r");
        assert!(Shown::new("plain").is_plain() && !Shown::new("a\n").is_plain());
    }

    #[test]
    fn no_blank_of_a_name_is_lost() {
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
            ("a\u{200b}", r"a\u{200b}"),
            ("a\n\u{1b}\t", r"a\n\u{1b}\t"),
        ] {
            assert_eq!(Shown::name(name).to_string(), shown);
            assert_eq!(Shown::name(name).is_plain(), name == shown, "{name:?}");
        }
        assert_eq!(Shown::name("a bcd").at_most(2).to_string(), "a ... (5 bytes)");
        assert_eq!(Shown::new("a  b ").to_string(), "a  b ", "of other texts blanks are what they are");
    }

    #[test]
    fn of_a_long_text_the_beginning_is_shown() {
        let long = "\u{e4}".repeat(1000);
        let shown = Shown::new(&long).to_string();
        assert_eq!(shown, format!("{}... (2000 bytes)", "\u{e4}".repeat(512)));
        assert_eq!(Shown::new("a\u{e4}b").at_most(2).to_string(), "a... (4 bytes)");
        assert_eq!(Shown::new(&long).at_most(usize::MAX).to_string(), long);
        assert!(!Shown::new(&long).is_plain());
    }
}

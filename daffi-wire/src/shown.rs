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
}

impl<'a> Shown<'a> {
    /// Bytes that are shown unless [`at_most`](Self::at_most) says otherwise: 1 KiB.
    pub const MOST: usize = 1024;

    /// Shows the text on one line.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, most: Self::MOST, lines: false }
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
        self.text.len() <= self.most && !self.text.contains(|c| self.escapes(c))
    }

    /// Whether this character is escaped.
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

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = beginning(self.text, self.most);
        for c in shown.chars() {
            if self.escapes(c) { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
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
    fn of_a_long_text_the_beginning_is_shown() {
        let long = "\u{e4}".repeat(1000);
        let shown = Shown::new(&long).to_string();
        assert_eq!(shown, format!("{}... (2000 bytes)", "\u{e4}".repeat(512)));
        assert_eq!(Shown::new("a\u{e4}b").at_most(2).to_string(), "a... (4 bytes)");
        assert_eq!(Shown::new(&long).at_most(usize::MAX).to_string(), long);
        assert!(!Shown::new(&long).is_plain());
    }
}

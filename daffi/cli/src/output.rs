//! Answers go to stdout, everything else to stderr; colours only to a terminal.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::Failure;

/// Writes a line to stdout as it is.
pub(crate) fn answer(text: &str) -> io::Result<()> {
    line(&mut io::stdout().lock(), text)
}

/// Writes a line with colours to stdout, without them where that is no terminal.
pub(crate) fn styled(text: &str) -> io::Result<()> {
    line(&mut anstream::stdout().lock(), text)
}

fn line(stdout: &mut impl Write, text: &str) -> io::Result<()> {
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Writes a line of JSON to stdout.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(io::Error::from)?;
    Ok(answer(&escaped_json(&line))?)
}

/// JSON in which the control characters are escaped that it allows in text, and that could steer a terminal.
pub(crate) fn escaped_json(json: &str) -> Cow<'_, str> {
    if !json.contains(steers) {
        return Cow::Borrowed(json);
    }
    let escaped = json.chars().map(|c| if steers(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() });
    Cow::Owned(escaped.collect())
}

/// Control characters but for line feeds and tabs.
fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// Writes bytes to stdout as they are.
pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Writes `error:` and a sentence to stderr.
pub(crate) fn complain(sentence: &str) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let text = on_lines(&format!("error: {}", displayable(sentence)));
    let text = text.strip_prefix("error:").unwrap_or(&text);
    let _unread = writeln!(anstream::stderr().lock(), "{red}error:{red:#}{text}");
}

/// Writes a note to stderr. That nobody reads it is no reason to fail.
pub(crate) fn tell(note: &str) {
    let _unread = writeln!(anstream::stderr().lock(), "{}", on_lines(note));
}

/// A text for stderr: between words on a terminal, on one line elsewhere.
fn on_lines(text: &str) -> String {
    match terminal_size::terminal_size_of(io::stderr()) {
        Some((width, _)) => textwrap::fill(text, usize::from(width.0)),
        None => text.to_owned(),
    }
}

/// Whether a person reads stdout.
pub(crate) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns of the terminal that stdout is; `None` when it is none.
pub(crate) fn width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// A text of another node for a terminal: control characters, which could steer it, are escaped.
pub(crate) fn displayable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            let _infallible = write!(escaped, "{}", c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(displayable("a\tb\n\u{e4}"), "a\tb\n\u{e4}");
        assert_eq!(displayable("\u{1b}[2J\u{9b}\r"), "\\u{1b}[2J\\u{9b}\\r");
        assert_eq!(escaped_json("[\"\u{9b}\u{7f}\u{e4}\"]"), "[\"\\u009b\\u007f\u{e4}\"]");
    }
}

//! Two columns for a terminal: a name, and words that belong to it.

use std::fmt::Write;

use textwrap::{Options, WordSeparator, WordSplitter};

use crate::names::{listed_name, shown_name};

/// Blanks between the columns.
const GAP: usize = 2;

/// Gives lines no wider than `width`, but for words that are wider themselves: none is broken.
/// Where the names leave less than half of the width to the words, these stand below their name.
/// `None`: a line for each row.
pub(crate) fn table<'a>(
    [name, words]: [&str; 2],
    rows: impl Iterator<Item = (&'a str, &'a [String])>,
    width: Option<u16>,
) -> String {
    shown_table([name, words], rows.map(|(name, words)| (shown_name(name), words)), width)
}

/// [`table`] of names that can be shown as they are.
pub(crate) fn shown_table<'a>(
    [name, words]: [&str; 2],
    rows: impl Iterator<Item = (String, &'a [String])>,
    width: Option<u16>,
) -> String {
    let rows: Vec<_> = rows.map(|(name, words)| (name, join_words(words))).collect();
    let longest = rows.iter().map(|(name, _)| columns(name)).chain([columns(name)]).max().unwrap_or(0);
    let indent = longest + GAP;
    let (width, below) = match width.map(usize::from) {
        None => (usize::MAX, false),
        Some(width) => (width, indent > width / 2),
    };
    let mut lines = String::new();
    for (name, words) in [(name.to_owned(), words.to_owned())].into_iter().chain(rows) {
        let row =
            if below { below_each_other(&name, &words, width) } else { side_by_side(&name, &words, indent, width) };
        let _infallible = writeln!(lines, "{row}");
    }
    lines.truncate(lines.trim_end().len());
    lines
}

fn join_words(words: &[String]) -> String {
    if words.is_empty() {
        return "-".to_owned();
    }
    // A blank in a word must not look like one between words.
    let words = words.iter().map(|word| listed_name(word).replace(' ', "\u{a0}"));
    words.collect::<Vec<_>>().join(", ")
}

fn side_by_side(name: &str, words: &str, indent: usize, width: usize) -> String {
    let name = format!("{name}{}", " ".repeat(indent.saturating_sub(columns(name))));
    let below = " ".repeat(indent);
    textwrap::fill(words, options(width).initial_indent(&name).subsequent_indent(&below)).replace('\u{a0}', " ")
}

fn below_each_other(name: &str, words: &str, width: usize) -> String {
    let words = textwrap::fill(words, options(width).initial_indent("  ").subsequent_indent("  "));
    format!("{name}\n{}", words.replace('\u{a0}', " "))
}

fn options<'a>(width: usize) -> Options<'a> {
    Options::new(width)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation)
        .word_separator(WordSeparator::AsciiSpace)
}

fn columns(text: &str) -> usize {
    textwrap::core::display_width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(rows: &[(&str, &[&str])], width: Option<u16>) -> String {
        let rows: Vec<(&str, Vec<String>)> =
            rows.iter().map(|(name, words)| (*name, words.iter().map(ToString::to_string).collect())).collect();
        table(["NAME", "METHODS"], rows.iter().map(|(name, words)| (*name, &words[..])), width)
    }

    #[test]
    fn words_are_wrapped_on_a_narrow_terminal() {
        let rows: [(_, &[_]); 2] = [("worker-1", &["add", "echo", "greet", "receive_chunk"]), ("viewer", &[])];
        assert_eq!(members(&rows, None), "NAME      METHODS\nworker-1  add, echo, greet, receive_chunk\nviewer    -");
        assert_eq!(
            members(&rows, Some(30)),
            "NAME      METHODS\nworker-1  add, echo, greet,\n          receive_chunk\nviewer    -"
        );
        assert_eq!(
            members(&rows, Some(18)),
            "NAME\n  METHODS\nworker-1\n  add, echo,\n  greet,\n  receive_chunk\nviewer\n  -"
        );
    }

    #[test]
    fn no_line_is_wider_and_no_word_is_broken() {
        let methods: Vec<_> = (0..50).map(|number| format!("calculate_something_{number}")).collect();
        let methods: Vec<_> = methods.iter().map(String::as_str).collect();
        let names: Vec<_> = (0..200).map(|number| format!("worker-of-the-north-{number}")).collect();
        let rows: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &methods[..])).collect();
        for width in [40, 80] {
            let text = members(&rows, Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width.into()), "{width}");
            let words = text.split_whitespace().filter(|word| word.starts_with("calculate_something_"));
            assert_eq!(words.count(), 200 * 50);
        }
    }

    #[test]
    fn a_hostile_name_is_one_word_on_one_line() {
        let text = members(&[("a\nNAME\u{1b}[2J", &["x\ty z"])], Some(80));
        assert_eq!(text, "NAME              METHODS\na\\nNAME\\u{1b}[2J  x\\ty z");
    }
}

//! What clap refuses, told as this command tells of everything else that goes wrong.

use std::ffi::OsString;

use clap::{Parser, error::ErrorKind};
use daffi::Shown;

use crate::{cli::Cli, failure::Failure, input::Input, output};

/// Says why a command line was refused, or the help that it asked for, and gives the exit code.
pub(crate) fn report(error: &clap::Error, args: impl Iterator<Item = OsString>) -> u8 {
    let words: Vec<_> = args.map_while(|word| (word != "--").then(|| word.to_string_lossy().into_owned())).collect();
    let json = words.iter().any(|word| word == "--json");
    let joined = negative(error, &words);
    let error = joined.as_ref().unwrap_or(error);
    let escaped = escape_words(error, &words);
    let error = escaped.as_ref().unwrap_or(error);
    let told = match misread(error, &words) {
        Some(failure) => Some(failure),
        None if error.use_stderr() && (json || output::is_log_in_json() || steers(error)) => {
            Some(Failure::Usage(sentence(error)))
        }
        None => None,
    };
    let code = match told {
        Some(failure) => failure.report(json),
        None => match error.print() {
            // Help that was asked for is an answer.
            Err(unwritten) if !error.use_stderr() => Failure::from(unwritten).report(json),
            // When nobody reads a complaint there is nothing else to do.
            _ => u8::try_from(error.exit_code()).unwrap_or(2),
        },
    };
    output::finish(None);
    code
}

/// What clap says of the same words where those that would forge a line or steer the terminal are
/// escaped: it repeats words as they are.
fn escape_words(error: &clap::Error, words: &[String]) -> Option<clap::Error> {
    let shown = |word: &String| Shown::new(word).at_most(usize::MAX).to_string();
    let are_plain = words.iter().all(|word| Shown::new(word).at_most(usize::MAX).is_plain());
    if are_plain || !error.use_stderr() {
        return None;
    }
    let said = Cli::try_parse_from(["daffi".to_owned()].into_iter().chain(words.iter().map(shown))).err()?;
    (said.kind() == error.kind()).then_some(said)
}

/// Whether anything else in it steers the terminal.
fn steers(error: &clap::Error) -> bool {
    let text = error.render().to_string();
    text.contains(|c| Shown::new("").with_lines().escapes(c))
}

/// What clap says of a negative number behind an option when it does not take it for an option
/// itself.
fn negative(error: &clap::Error, words: &[String]) -> Option<clap::Error> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    // A number, or a time such as -5s.
    let is_negative = |word: &str| {
        let behind = word.strip_prefix('-').unwrap_or_default();
        word.starts_with('-') && word.parse::<f64>().is_ok() || behind.starts_with(|c: char| c.is_ascii_digit())
    };
    let at = words.windows(2).position(|pair| pair[0].starts_with('-') && is_negative(&pair[1]))?;
    let (before, behind) = (&words[..at], &words[at + 2..]);
    let joined = format!("{}={}", words[at], words[at + 1]);
    let words = ["daffi"].into_iter().chain(before.iter().map(String::as_str));
    let words = words.chain([joined.as_str()]).chain(behind.iter().map(String::as_str));
    let error = Cli::try_parse_from(words).err()?;
    matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue).then_some(error)
}

/// What clap cannot know: that a value of Python looks like options, and where bytes go.
fn misread(error: &clap::Error, words: &[String]) -> Option<Failure> {
    match error.kind() {
        ErrorKind::UnknownArgument => words
            .iter()
            .find(|word| matches!(word.as_str(), "-Infinity" | "-inf"))
            .and_then(|word| Input::default().argument(word).err()),
        ErrorKind::InvalidUtf8 => Some(Failure::Usage(
            "an argument is not UTF-8: bytes come from a file, as @FILE, or from stdin, as -".to_owned(),
        )),
        ErrorKind::MissingRequiredArgument if words.first().is_some_and(|word| word == "router") => {
            Some(Failure::Usage(
                "it needs to know where to listen: --listen tcp://127.0.0.1:5000 for one; see --help".to_owned(),
            ))
        }
        _ => None,
    }
}

/// What clap says, without how the command is used.
pub(crate) fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

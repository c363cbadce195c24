//! What clap refuses, told as this command tells of everything else that goes wrong.

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::{failure::Failure, input::Input, output};

/// Says why a command line was refused, or the help that it asked for, and gives the exit code.
pub(crate) fn report(error: &clap::Error, args: impl Iterator<Item = OsString>) -> u8 {
    let words: Vec<_> = args.map_while(|word| (word != "--").then(|| word.to_string_lossy().into_owned())).collect();
    let json = words.iter().any(|word| word == "--json");
    let told = match misread(error, &words) {
        Some(failure) => Some(failure),
        None if error.use_stderr() && json => Some(Failure::Usage(sentence(error))),
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

/// What clap cannot know: that a value of Python looks like options, and where bytes go.
fn misread(error: &clap::Error, words: &[String]) -> Option<Failure> {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            words.iter().find(|word| *word == "-Infinity").and_then(|word| Input::default().argument(word).err())
        }
        ErrorKind::InvalidUtf8 => Some(Failure::Usage(
            "an argument is not UTF-8: bytes come from a file, as @FILE, or from stdin, as -".to_owned(),
        )),
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

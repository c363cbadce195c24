//! Negative numbers among the arguments of a call. clap knows those such as `-5` and `-1.5e3`, and
//! takes others, such as `-1e-5`, for options.

use std::ffi::OsString;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use serde_json::value::RawValue;

use crate::{cli::Cli, meant};

/// Stands before a word that is no option. No word that a process is given has it in it.
const MARK: char = '\0';
/// The arguments of the command line that [`unmark`] reads.
const READ: [&str; 3] = ["first", "second", "rest"];

/// Reads a command line.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let refused = match Cli::try_parse_from(args) {
        Err(error) if error.kind() == ErrorKind::UnknownArgument && args.iter().any(is_number) => error,
        parsed => return parsed,
    };
    // Behind -- nothing is an option.
    let end = args.iter().position(|word| word == "--").unwrap_or(args.len());
    let (words, behind) = args.split_at(end);
    let words = words.iter().map(|word| if is_number(word) { mark(word) } else { word.clone() });
    match Cli::command().try_get_matches_from(words.chain(behind.iter().cloned())) {
        Ok(matches) if marks_are_read(&matches) => Cli::from_arg_matches(&matches),
        // It is about another word.
        Err(error) if !error.render().to_string().contains(MARK) => Err(error),
        _ => Err(refused),
    }
}

/// Reads an argument, which may be marked.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
pub(crate) fn unmark(word: &str) -> Result<String, String> {
    Ok(word.strip_prefix(MARK).unwrap_or(word).to_owned())
}

fn mark(word: &OsString) -> OsString {
    let mut marked = OsString::from(MARK.to_string());
    marked.push(word);
    marked
}

/// Whether it is a negative number, as JSON has it or as it is told how JSON has it.
fn is_number(word: &OsString) -> bool {
    let Some(word) = word.to_str().filter(|word| word.starts_with('-')) else { return false };
    word.len() > 1 && serde_json::from_str::<&RawValue>(word).is_ok() || meant::number(word).is_some()
}

/// Whether all marked words became arguments of a call, and none the value of an option.
fn marks_are_read(matches: &ArgMatches) -> bool {
    let Some((_, matches)) = matches.subcommand() else { return false };
    let is_marked = |id: &str| {
        let values = matches.try_get_raw(id).ok().flatten();
        values.is_some_and(|mut values| values.any(|value| value.to_string_lossy().contains(MARK)))
    };
    matches.try_contains_id("rest").is_ok()
        && matches.ids().map(clap::Id::as_str).filter(|id| !READ.contains(id)).all(|id| !is_marked(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<String, String> {
        let words: Vec<_> = words.split(' ').map(OsString::from).collect();
        parse(&words).map(|cli| format!("{:?}", cli.command)).map_err(|error| error.to_string())
    }

    #[test]
    fn negative_numbers_are_arguments_wherever_they_stand() {
        for command in ["call", "cast", "nowait", "bench"] {
            for number in ["-1e-5", "-1.5e-3", "-1e+5", "-1E-5", "-.5", "-0x10", "-1_000", "-1e+999", "-5", "-1e5"] {
                let read = parsed(&format!("daffi {command} tcp://h:1 echo {number} --text -k x={number} -t 5"));
                let read = read.unwrap_or_else(|error| panic!("{command} {number}: {error}"));
                assert!(
                    read.contains(&format!("rest: [\"{number}\"], kwargs: [\"x={number}\"], text: true")),
                    "{read}"
                );
                let read = parsed(&format!("daffi {command} --text {number} {number}")).unwrap();
                assert!(read.contains(&format!("first: Some(\"{number}\"), second: Some(\"{number}\")")), "{read}");
            }
        }
        let read = parsed("daffi call echo x -1e-5 -- -1e-5 --json").unwrap();
        assert!(read.contains(r#"rest: ["-1e-5", "-1e-5", "--json"]"#), "{read}");
    }

    #[test]
    fn beside_them_what_is_mistyped_is_refused_as_without_them() {
        for (words, said) in [
            ("daffi call tcp://h:1 echo -1e-5 --txet", "a similar argument exists: '--text'"),
            ("daffi call tcp://h:1 echo -1e-5 -9x", "unexpected argument '-9'"),
            ("daffi call tcp://h:1 echo -1e-5 -t x", "invalid value 'x' for '--timeout"),
            ("daffi call tcp://h:1 echo -r -1e-5", "unexpected argument '-1'"),
            ("daffi members -1e-5", "unexpected argument '-1'"),
            ("daffi stream tcp://h:1 echo -1e-5", "unexpected argument '-1'"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(said) && !error.contains(MARK), "{words}: {error}");
        }
    }
}

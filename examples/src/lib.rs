//! What the programs share: their options, and bytes as text.

use std::{env, error::Error, fmt, path::Path, process};

/// The values of the options `--NAME VALUE`, in the order asked for; of one that is not given, the
/// default beside it.
///
/// Ends the program when the command line asks for help, or has anything else.
#[must_use]
pub fn options<const N: usize>(known: [(&str, &str); N]) -> [String; N] {
    let mut values = known.map(|(_, default)| default.to_owned());
    let shown = known.map(|(name, default)| match default {
        "" => format!(" [--{name} ...]"),
        default => format!(" [--{name} {default}]"),
    });
    let usage = shown.concat();
    let mut arguments = arguments(&usage).into_iter();
    while let Some(argument) = arguments.next() {
        let at = known.iter().position(|(name, _)| argument.strip_prefix("--") == Some(name));
        match (at, arguments.next()) {
            (Some(at), Some(value)) => values[at] = value,
            (Some(_), None) => refuse(&format!("{argument} has no value"), &usage),
            (None, _) => refuse(&format!("{argument:?} is not understood"), &usage),
        }
    }
    values
}

/// The arguments of the program, which is used as `usage` says. Ends it when they ask for help.
#[must_use]
pub fn arguments(usage: &str) -> Vec<String> {
    // What is no text is no option and no address either.
    let all: Vec<String> = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    if all.iter().any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
        println!("{}", of_program(usage));
        process::exit(0);
    }
    all
}

/// Ends the program, which was started in a wrong way.
pub fn refuse(why: &str, usage: &str) -> ! {
    eprintln!("{why}\n{}", of_program(usage));
    process::exit(2)
}

fn of_program(usage: &str) -> String {
    let program = env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_stem().unwrap_or(&program);
    format!("usage: {}{usage}", name.display())
}

/// What ends a program: an error, which is told in its own words and those of what is behind it,
/// and not as Rust writes its parts. A program of your own has `Box<dyn std::error::Error>` in its
/// place.
pub struct Problem(String);

impl<E: Error> From<E> for Problem {
    fn from(error: E) -> Self {
        let (mut text, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self(text)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The programs of the README at the root.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

//! What the programs share: their options, and bytes as text.

use std::env;

/// The values of the options `--NAME VALUE`, in the order asked for; of one that is not given, the
/// default beside it.
///
/// Ends the program when the command line has anything else.
#[must_use]
pub fn options<const N: usize>(known: [(&str, &str); N]) -> [String; N] {
    let mut values = known.map(|(_, default)| default.to_owned());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let at = known.iter().position(|(name, _)| argument.strip_prefix("--") == Some(name));
        let (Some(at), Some(value)) = (at, arguments.next()) else {
            let usage = known.map(|(name, default)| format!("[--{name} {default}]")).join(" ");
            eprintln!("{argument:?} is not understood; the options are {usage}");
            std::process::exit(2);
        };
        values[at] = value;
    }
    values
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

//! The file of a router: TOML, each key the long name of an option.

use std::path::Path;

use clap::CommandFactory;
use daffi::Shown;
use toml::de::{DeTable, DeValue};

use super::{
    Origin, Setting, check, options,
    policy::{self, Sealed},
};
use crate::{
    cli::Cli,
    failure::{Failure, not_read},
    input,
    suggestion::nearest,
};

/// The option whose number is written in octal digits, with `0o` or without.
const OCTAL: &str = "mode";

/// Reads a file: its options, and who may do what.
pub(crate) fn read(path: &Path) -> Result<(Vec<Setting>, Option<Sealed>), Failure> {
    let unusable = |what: &dyn std::fmt::Display| Failure::Usage(format!("--config {}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| unusable(&format!("the file {}", not_read(&error))))?;
    settings(input::text(&bytes).map_err(|error| unusable(&error))?, path)
}

/// What a file says of one option, whatever else is wrong in it. A file that is no TOML says
/// nothing, and a pipe said all when it was read first.
pub(super) fn text_of(path: &Path, option: &str) -> Option<String> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let table = DeTable::parse(input::text(&bytes).ok()?).ok()?;
    let (_, value) = table.get_ref().iter().find(|(key, _)| *key.get_ref() == option)?;
    value.get_ref().as_str().map(str::to_owned)
}

fn settings(text: &str, path: &Path) -> Result<(Vec<Setting>, Option<Sealed>), Failure> {
    let at = |start: usize| {
        let line = 1 + text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count();
        Origin::File { path: path.to_owned(), line }
    };
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Failure::Usage(format!("{}: this is no TOML: {}", at(start), error.message()))
    })?;
    let mut settings = Vec::new();
    for (key, value) in table.get_ref().iter() {
        let (option, origin) = (key.get_ref().to_string(), at(key.span().start));
        let is_list = is_list_of_tables(value.get_ref());
        if option == policy::SECTION && matches!(value.get_ref(), DeValue::Table(_)) {
            continue;
        }
        if is_list || matches!(value.get_ref(), DeValue::Table(_)) {
            return Err(Failure::Usage(format!("{origin}: {}", no_section(&option))));
        }
        let scalar = |value: &DeValue<'_>| scalar(&option, value);
        let values = match value.get_ref() {
            DeValue::Array(values) => values.iter().map(|value| scalar(value.get_ref())).collect(),
            one => scalar(one).map(|value| vec![value]),
        };
        let setting = Setting { values: values.clone().unwrap_or_else(|_| vec![String::new()]), option, origin };
        let Err(kind) = values else {
            check(&setting)?;
            settings.push(setting);
            continue;
        };
        let Setting { option, origin, .. } = setting;
        return Err(Failure::Usage(format!(
            "{origin}: {option} is {kind}, where a text, a number, true or false is expected, or a list of texts; \
             `daffi config example` shows how"
        )));
    }
    Ok((settings, policy::read(text, at)?))
}

/// A value as it is written on the command line, or what it is instead.
fn scalar(option: &str, value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        // What it is in TOML would be read as octal digits once more.
        DeValue::Integer(number) if option == OCTAL => match number.radix() {
            8 | 10 => Ok(number.as_str().to_owned()),
            _ => Err("a number that is neither octal nor its digits"),
        },
        DeValue::Integer(number) => integer(number.as_str(), number.radix()),
        DeValue::Float(number) => Ok(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Datetime(_) => Err("a date"),
        DeValue::Array(_) => Err("a list in a list"),
        DeValue::Table(_) => Err("a table"),
    }
}

/// Whether it is what `[[name]]` makes, of which the parts are sections.
fn is_list_of_tables(value: &DeValue<'_>) -> bool {
    let DeValue::Array(values) = value else { return false };
    values.iter().any(|value| matches!(value.get_ref(), DeValue::Table(_)))
}

/// What is wrong with a section of this name.
fn no_section(name: &str) -> String {
    let command = Cli::command();
    let known = options(&command);
    let names = known.iter().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long());
    let shown = Shown::new(name);
    if name == policy::SECTION {
        return format!("[[{name}]] makes a list: write [{name}]");
    }
    if names.clone().any(|option| option == name) {
        return format!("{shown} is an option and no section: write {name} = .., before any [section]");
    }
    match nearest(name, names.chain([policy::SECTION])) {
        Some(meant) if meant == policy::SECTION => format!("[{shown}] is no section here; did you mean [{meant}]?"),
        Some(meant) => format!("[{shown}] is no section here; did you mean the option {meant}?"),
        None => format!("[{shown}] is no section here: there is [{}], behind all options", policy::SECTION),
    }
}

fn integer(digits: &str, radix: u32) -> Result<String, &'static str> {
    i128::from_str_radix(digits, radix).map(|number| number.to_string()).map_err(|_| "a number beyond all limits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Vec<String>, String)>, String> {
        let (settings, _) = settings(text, Path::new("r.toml")).map_err(|failure| failure.sentence().to_owned())?;
        Ok(settings.into_iter().map(|setting| (setting.option, setting.values, setting.origin.to_string())).collect())
    }

    #[test]
    fn keys_are_options_and_know_their_line() {
        let text = "# A router.\nlisten = [\"tcp://127.0.0.1:0\",\n  \"unix:///tmp/x\"]\n\nmax-connections = 1_000\nshare = 0.5\ngrace = \"5s\"\nquiet = true\n";
        let mut read = read(text).unwrap();
        read.sort();
        let expected = [
            ("grace", vec!["5s"], "r.toml:7"),
            ("listen", vec!["tcp://127.0.0.1:0", "unix:///tmp/x"], "r.toml:2"),
            ("max-connections", vec!["1000"], "r.toml:5"),
            ("quiet", vec!["true"], "r.toml:8"),
            ("share", vec!["0.5"], "r.toml:6"),
        ];
        let expected = expected.map(|(option, values, origin)| {
            (option.to_owned(), values.into_iter().map(str::to_owned).collect::<Vec<_>>(), origin.to_owned())
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn permissions_are_octal_in_each_way_to_write_them() {
        for text in ["0o660", "660", "\"660\"", "\"0660\"", "\"0o660\""] {
            let read = read(&format!("mode = {text}")).unwrap();
            assert!(["660", "0660", "0o660"].contains(&read[0].1[0].as_str()), "{text}: {read:?}");
        }
        // All other options take a number for what it is.
        let read = read("max-connections = 0o20\ngrace = 0x10").unwrap();
        assert!(read.iter().all(|(_, values, _)| values == &["16"]), "{read:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let refused = |text| read(text).unwrap_err();
        for (text, told) in [
            (
                "\nmax-conections = 3",
                "r.toml:2: max-conections is no option of `daffi router`; did you mean max-connections?",
            ),
            ("zzz = 3", "r.toml:1: zzz is no option of `daffi router`; `daffi config example` shows all"),
            ("config = \"other.toml\"", "r.toml:1: config is no option of `daffi router`"),
            ("a = 1\na = 2", "r.toml:2: this is no TOML: "),
            ("grace = ", "r.toml:1: this is no TOML: "),
            ("[limits]\nmax-connections = 3", "r.toml:1: [limits] is no section here: there is [policy], behind all"),
            ("\n[polcy]\nothers = \"nobody\"", "r.toml:2: [polcy] is no section here; did you mean [policy]?"),
            ("[[polcy.rules]]\ntitle = \"a\"", "r.toml:1: [polcy] is no section here; did you mean [policy]?"),
            ("[[policies]]\ntitle = \"a\"", "r.toml:1: [policies] is no section here"),
            ("[listn]\na = 1", "r.toml:1: [listn] is no section here; did you mean the option listen?"),
            ("[listen]\na = 1", "r.toml:1: listen is an option and no section: write listen = .., before any"),
            ("grace = { a = 1 }", "r.toml:1: grace is an option and no section"),
            ("[[policy]]\nothers = \"nobody\"", "r.toml:1: [[policy]] makes a list: write [policy]"),
            ("policy = 1", "r.toml:1: [policy] is a section"),
            ("polcy = 1", "r.toml:1: polcy is no option of `daffi router`; did you mean [policy]?"),
            (
                "[policy]\nmax-connections = 3",
                "r.toml:2: [policy]: max-connections is no key here, but an option: options stand before [policy]",
            ),
            ("mode = 0x1b0", "r.toml:1: mode is a number that is neither octal nor its digits, where "),
            ("mode = 0o600_000", "r.toml:1: invalid value '600000' for '--mode <MODE>': three digits"),
            ("mode = 432", "r.toml:1: invalid value '432' for '--mode <MODE>': with it the owner may not connect"),
            ("mode = \"+660\"", "r.toml:1: invalid value '+660' for '--mode <MODE>': three digits"),
            ("mode = +660", "r.toml:1: invalid value '+660' for '--mode <MODE>': three digits"),
            ("grace = 2024-01-01", "r.toml:1: grace is a date, where "),
            ("listen = []", "r.toml:1: listen is empty"),
            ("grace = [1, 2]", "r.toml:1: grace takes one value, and not a list"),
            (
                "max-connections = 0",
                "r.toml:1: invalid value '0' for '--max-connections <N>': a whole number from 1 to ",
            ),
            ("name-policy = \"last\"", "r.toml:1: invalid value 'last' for '--name-policy <WHO>'"),
            ("listen = \"udp://x:1\"", "r.toml:1: invalid value 'udp://x:1' for '--listen <URL>'"),
            ("quiet = 1", "r.toml:1: quiet is true or false, and not 1"),
            ("verbose = true", "r.toml:1: verbose is a number from 0 to 255, and not true"),
            (
                "outbox-bytes = 1",
                "r.toml:1: invalid value '1' for '--outbox-bytes <OUTBOX_BYTES>': this option is gone: --budget-bytes ",
            ),
        ] {
            assert!(refused(text).starts_with(told), "{text:?}: {}", refused(text));
        }
    }
}

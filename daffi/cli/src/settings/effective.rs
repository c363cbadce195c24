//! What holds in the end, and where each of it is set.

use std::collections::BTreeSet;

use clap::{ArgMatches, CommandFactory, parser::ValueSource};

use super::{COMMAND, Origin, Setting, options, value_source};
use crate::{cli::Cli, failure::Failure};

/// The options of a router as they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effective(Vec<Entry>);

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) option: String,
    /// None: it is not set, and has no default that could be written.
    pub(crate) values: Vec<String>,
    pub(crate) is_list: bool,
    pub(crate) origin: Origin,
}

impl Effective {
    pub(super) fn of(matches: &ArgMatches, settings: &[Setting]) -> Self {
        let command = Cli::command();
        let router = matches.subcommand_matches(COMMAND);
        let entries = options(&command).into_iter().filter(|arg| !arg.is_hide_set()).filter_map(|arg| {
            let (id, option) = (arg.get_id().as_str(), arg.get_long()?.to_owned());
            let matches = router.filter(|router| router.try_contains_id(id).is_ok()).unwrap_or(matches);
            let set = settings.iter().find(|setting| setting.option == option);
            let origin = match (value_source(matches, id), set) {
                (Some(ValueSource::CommandLine), _) => Origin::CommandLine,
                (_, Some(setting)) => setting.origin.clone(),
                _ => Origin::Default,
            };
            let values = matches.get_raw(id).into_iter().flatten();
            let values = values.map(|value| value.to_string_lossy().into_owned()).collect();
            Some(Entry { option, values, is_list: matches!(arg.get_action(), clap::ArgAction::Append), origin })
        });
        Self(entries.collect())
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether something sets the option, and it is not left to its default.
    pub(crate) fn sets(&self, option: &str) -> bool {
        self.0.iter().any(|entry| entry.option == option && !matches!(entry.origin, Origin::Default))
    }

    /// What is wrong with several options together, with the place where the first that it names
    /// and that is set in a file or in the environment stands.
    pub(crate) fn place(&self, failure: Failure) -> Failure {
        let names = |entry: &Entry| {
            let option = format!("--{}", entry.option);
            let mut words = failure.sentence().split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            words.position(|word| word == option)
        };
        let set = self.0.iter().filter(|entry| !matches!(entry.origin, Origin::Default | Origin::CommandLine));
        let first = set.filter_map(|entry| Some((names(entry)?, entry))).min_by_key(|(at, _)| *at);
        match first {
            Some((_, entry)) => Failure::Usage(format!("{}: {}", entry.origin, failure.sentence())),
            None => failure,
        }
    }

    /// The options that are set to something else than in `other`.
    pub(crate) fn list_changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(|entry| other.0.iter().all(|old| old.option != entry.option || !old.sets_same(entry)))
            .map(|entry| entry.option.as_str())
    }
}

impl Entry {
    /// Whether both set it to the same: what a list has, in whatever order.
    fn sets_same(&self, other: &Self) -> bool {
        let set = |entry: &Self| entry.values.iter().cloned().collect::<BTreeSet<_>>();
        self.values == other.values || self.is_list && set(self) == set(other)
    }

    /// The line of a file that says the same.
    pub(crate) fn line(&self) -> String {
        let Self { option, values, is_list, .. } = self;
        match (&values[..], is_list) {
            ([], _) => format!("# {option} ="),
            ([one], false) => format!("{option} = {}", write_toml(one)),
            _ => format!("{option} = [{}]", values.iter().map(|value| quote(value)).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// A value as TOML has it.
pub(super) fn write_toml(value: &str) -> String {
    let is_bare = matches!(value, "true" | "false") || value.parse::<u64>().is_ok();
    if is_bare { value.to_owned() } else { quote(value) }
}

pub(super) fn quote(value: &str) -> String {
    toml::Value::from(value).to_string()
}

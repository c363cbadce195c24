//! Options of `daffi router` that are not on its command line: those of a file, and those of the
//! environment.
//!
//! They become the defaults of the command line, so that what is written there is read by the same
//! rules, and what is on it has the last word: file, environment, command line.

mod effective;
mod environment;
mod example;
mod file;
mod policy;
mod reloading;

use std::{
    cmp::Ordering,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, parser::ValueSource};
use daffi::policy::Policy;

pub(crate) use self::{
    effective::{Effective, Entry},
    example::example,
    policy::CHANGED as POLICY,
    reloading::{Reloaded, Reloading},
};
use self::{
    file::read,
    policy::{Sealed, Seals},
};
use crate::{cli::Cli, failure::Failure, negative, suggestion::nearest, wrong_usage};

/// The command whose options may stand elsewhere.
const COMMAND: &str = "router";
/// Where its file may be named.
const FILE: &str = "config";

/// An option, and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The long name without its dashes.
    pub(crate) option: String,
    pub(crate) values: Vec<String>,
    pub(crate) origin: Origin,
}

/// Where an option is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment { variable: String },
    CommandLine,
}

impl Setting {
    /// It says no more than if it was not there.
    fn is_off(&self) -> bool {
        matches!(&self.values[..], [value] if matches!(value.as_str(), "false" | "0"))
    }
}

impl Origin {
    /// What is higher goes before.
    const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } => 2,
            Self::CommandLine => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => f.write_str(variable),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// What a command line asks for, with what stands elsewhere.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) cli: Cli,
    /// The file of a router.
    pub(crate) file: Option<PathBuf>,
    /// The options of a router, and where each is set.
    pub(crate) effective: Effective,
    /// Who may do what, as the file says.
    pub(crate) policy: Option<Policy>,
    /// What tells that from another.
    pub(crate) seals: Seals,
    /// Variables that look like options and are none.
    pub(crate) strangers: Vec<String>,
    /// What the file says and the environment overrules.
    pub(crate) overruled: Vec<Overruled>,
}

/// An option of the file that does not hold, as the environment sets it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overruled {
    pub(crate) option: String,
    pub(crate) file: Origin,
    pub(crate) by: Origin,
}

impl fmt::Display for Overruled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} does not hold: {} goes before it", self.file, self.option, self.by)
    }
}

/// Why a command line cannot be obeyed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What clap says, which may be the help that was asked for.
    Usage(clap::Error),
    /// What stands elsewhere is at fault.
    Settings(Failure),
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

/// Reads a command line, and the file and the environment of a router.
pub(crate) fn parse(args: &[OsString]) -> Result<Given, Refused> {
    let Some(file) = file_of(args) else {
        let cli = negative::parse(args)?;
        return Ok(Given {
            cli,
            file: None,
            effective: Effective::default(),
            policy: None,
            seals: Seals::default(),
            strangers: Vec::new(),
            overruled: Vec::new(),
        });
    };
    let Elsewhere { mut settings, policy, strangers, mut overruled } =
        elsewhere(file.as_deref()).map_err(Refused::Settings)?;
    let matches = with_defaults(&settings).try_get_matches_from(args)?;
    drop_excluded(&mut settings, &matches).map_err(Refused::Settings)?;
    let matches = with_defaults(&settings).try_get_matches_from(args)?;
    let effective = Effective::of(&matches, &settings);
    let (policy, seals) = policy.map_or((None, Seals::default()), |(policy, seals)| (Some(policy), seals));
    // Who writes a command line sees what it sets.
    overruled.retain(|it| effective.entries().iter().any(|entry| entry.option == it.option && entry.origin == it.by));
    Ok(Given { cli: Cli::from_arg_matches(&matches)?, file, effective, policy, seals, strangers, overruled })
}

/// What is not on the command line.
struct Elsewhere {
    settings: Vec<Setting>,
    policy: Option<Sealed>,
    strangers: Vec<String>,
    overruled: Vec<Overruled>,
}

/// What is set in the file and in the environment; of both the environment.
fn elsewhere(path: Option<&Path>) -> Result<Elsewhere, Failure> {
    let (mut settings, policy) = path.map(read).transpose()?.unwrap_or_default();
    let (variables, strangers) = environment::read(std::env::vars_os())?;
    let mut overruled = Vec::new();
    settings.retain(|setting| {
        let Some(variable) = variables.iter().find(|variable| variable.option == setting.option) else { return true };
        if variable.values != setting.values {
            let (option, file, by) = (setting.option.clone(), setting.origin.clone(), variable.origin.clone());
            overruled.push(Overruled { option, file, by });
        }
        false
    });
    settings.extend(variables);
    Ok(Elsewhere { settings, policy, strangers, overruled })
}

/// Of two options that exclude each other leaves the one that is set where it has the later word.
fn drop_excluded(settings: &mut Vec<Setting>, matches: &ArgMatches) -> Result<(), Failure> {
    for (one, other) in excluding() {
        let origin = |option: &str| {
            let is_given = value_source(matches, option) == Some(ValueSource::CommandLine);
            let set = settings.iter().find(|setting| setting.option == option && !setting.is_off());
            if is_given { Some(Origin::CommandLine) } else { set.map(|setting| setting.origin.clone()) }
        };
        let (Some(of_one), Some(of_other)) = (origin(&one), origin(&other)) else { continue };
        let dropped = match of_one.rank().cmp(&of_other.rank()) {
            Ordering::Greater => other,
            Ordering::Less => one,
            Ordering::Equal => {
                return Err(Failure::Usage(format!("{of_one}: {one} and {other} exclude each other: leave one out")));
            }
        };
        settings.retain(|setting| setting.option != dropped);
    }
    Ok(())
}

/// The pairs of options that exclude each other on the command line.
fn excluding() -> Vec<(String, String)> {
    let command = Cli::command();
    let of = |command: &Command| {
        let all = command.get_arguments().filter_map(|arg| Some((arg.get_long()?.to_owned(), arg)));
        all.flat_map(|(one, arg)| {
            let others = command.get_arg_conflicts_with(arg).into_iter().filter_map(clap::Arg::get_long);
            others.map(move |other| (one.clone(), other.to_owned())).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>()
    };
    [of(&command), command.find_subcommand(COMMAND).map(of).unwrap_or_default()].concat()
}

/// Whether it is a router, and where its file is. `None`: it is none, or asks for help.
fn file_of(args: &[OsString]) -> Option<Option<PathBuf>> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(args).ok()?;
    let router = matches.subcommand_matches(COMMAND)?;
    Some(router.try_get_one::<PathBuf>(FILE).ok().flatten().cloned().or_else(environment::file))
}

/// Whether the log is to be in JSON, as far as that shows where something else cannot be read.
pub(crate) fn log_in_json(args: &[OsString]) -> bool {
    const OPTION: &str = "log-format";
    // clap reads nothing behind the first word that is wrong.
    let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--").collect();
    let given =
        words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--")?.strip_prefix(OPTION)? {
            "" => words.get(at + 1).map(|format| format.to_string()),
            joined => joined.strip_prefix('=').map(str::to_owned),
        });
    let elsewhere = || {
        let file = file_of(args)?;
        environment::of(OPTION).or_else(|| file::text_of(&file?, OPTION))
    };
    given.or_else(elsewhere).is_some_and(|format| format == "json")
}

/// The command line with these settings as defaults.
fn with_defaults(settings: &[Setting]) -> Command {
    settings.iter().fold(Cli::command(), |command, setting| {
        let values = setting.values.clone();
        let set = |arg: clap::Arg| arg.default_values(values).required(false);
        match id(&command, &setting.option) {
            Some(KeyPlace::Router(id)) => command.mut_subcommand(COMMAND, |router| router.mut_arg(id, set)),
            Some(KeyPlace::Global(id)) => command.mut_arg(id, set),
            None => command,
        }
    })
}

/// Where an option is defined, with its key.
enum KeyPlace {
    Router(String),
    Global(String),
}

fn id(command: &Command, option: &str) -> Option<KeyPlace> {
    let find = |command: &Command| {
        command.get_arguments().find(|arg| arg.get_long() == Some(option)).map(|arg| arg.get_id().to_string())
    };
    let router = command.find_subcommand(COMMAND).and_then(find);
    router.map(KeyPlace::Router).or_else(|| find(command).map(KeyPlace::Global))
}

/// The options that may stand elsewhere, in the order of the help.
pub(crate) fn options(command: &Command) -> Vec<&clap::Arg> {
    let router = command.find_subcommand(COMMAND).into_iter().flat_map(Command::get_arguments);
    let global = command.get_arguments().filter(|arg| arg.is_global_set());
    router.chain(global).filter(|arg| arg.get_long().is_some_and(|long| long != FILE)).collect()
}

/// What is wrong with a setting, if anything is.
fn check(setting: &Setting) -> Result<(), Failure> {
    let Setting { option, values, origin } = setting;
    let about = |what: &str| Err(Failure::Usage(format!("{origin}: {what}")));
    let command = Cli::command();
    let known = options(&command);
    let Some(arg) = known.iter().find(|arg| arg.get_long() == Some(option)) else {
        let is_in_a_file = matches!(origin, Origin::File { .. });
        if is_in_a_file && option == policy::SECTION {
            return about(&format!("[{option}] is a section; `daffi config example` shows how to write it"));
        }
        let names = known.iter().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long());
        let meant = match nearest(option, names.chain(is_in_a_file.then_some(policy::SECTION))) {
            Some(meant) if meant == policy::SECTION => format!("did you mean [{meant}]?"),
            Some(meant) => format!("did you mean {meant}?"),
            None => "`daffi config example` shows all".to_owned(),
        };
        return about(&format!("{option} is no option of `daffi router`; {meant}"));
    };
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    match (arg.get_action(), &values[..]) {
        (_, []) => about(&format!("{option} is empty: leave it out for its default")),
        (_, [_, _, ..]) if !is_list => about(&format!("{option} takes one value, and not a list")),
        (ArgAction::SetTrue, [value]) if !matches!(value.as_str(), "true" | "false") => {
            about(&format!("{option} is true or false, and not {value}"))
        }
        (ArgAction::Count, [value]) if value.parse::<u8>().is_err() => {
            about(&format!("{option} is a number from 0 to 255, and not {value}"))
        }
        (ArgAction::SetTrue | ArgAction::Count, _) => Ok(()),
        _ => match refusal(option, values) {
            Some(refusal) => about(&refusal),
            None => Ok(()),
        },
    }
}

/// What the command line says of these values.
fn refusal(option: &str, values: &[String]) -> Option<String> {
    // It needs somewhere to listen; what else is missing shows when all is together.
    let words = ["daffi", COMMAND, "--listen=tcp://127.0.0.1:0"].map(str::to_owned);
    let words = words.into_iter().chain(values.iter().map(|value| format!("--{option}={value}")));
    let error = Cli::command().try_get_matches_from(words).err()?;
    use clap::error::ErrorKind::{InvalidValue, ValueValidation};
    matches!(error.kind(), InvalidValue | ValueValidation).then(|| wrong_usage::sentence(&error))
}

fn value_source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id))
}

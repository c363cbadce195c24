//! The settings of a router that runs, read again.

use std::{ffi::OsString, path::PathBuf};

use daffi::policy::Policy;
use parking_lot::Mutex;

use super::{Effective, Entry, Given, Overruled, Refused, parse, policy::Seals};
use crate::{cli::Cli, failure::Failure, wrong_usage};

/// Reads again what a command line asks for, with the file as it is then.
#[derive(Debug)]
pub(crate) struct Reloading {
    args: Vec<OsString>,
    pub(crate) file: Option<PathBuf>,
    /// Who may do what when the router starts, as its file says.
    pub(crate) policy: Option<Policy>,
    /// Variables that look like options and are none.
    pub(crate) strangers: Vec<String>,
    /// What the file says and the environment overrules.
    pub(crate) overruled: Vec<Overruled>,
    /// What the router started with.
    effective: Effective,
    /// What was read last.
    last: Mutex<(Effective, Seals)>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) cli: Cli,
    /// The options that are set to something else than when the router started.
    pub(crate) changed: Vec<String>,
    /// The options that are set to something else than when they were read before.
    pub(crate) lately: Vec<String>,
    /// What else of the file is another than when it was read before, in words.
    pub(crate) sections: Vec<&'static str>,
    /// What tells that, for [`Reloading::on_taken`].
    pub(crate) seals: Seals,
    /// Who may do what, as the file says.
    pub(crate) policy: Option<Policy>,
    /// What the file says and the environment overrules.
    pub(crate) overruled: Vec<Overruled>,
    /// All options as they were read, for [`Reloading::on_taken`].
    pub(crate) effective: Effective,
}

impl Reloading {
    pub(crate) fn of(given: Given, args: Vec<OsString>) -> (Cli, Self) {
        let Given { cli, file, effective, policy, seals, strangers, overruled } = given;
        let last = Mutex::new((effective.clone(), seals));
        (cli, Self { args, file, policy, strangers, overruled, effective, last })
    }

    /// Whether the policy that was read last says who comes in to whom no rule applies.
    pub(crate) fn says_others(&self) -> bool {
        self.last.lock().1.says_others
    }

    /// The lines of a file that set these options as when the router started.
    pub(crate) fn in_force(&self, options: &[&str]) -> Vec<String> {
        let entries = self.effective.entries().iter();
        entries.filter(|entry| options.contains(&entry.option.as_str())).map(Entry::line).collect()
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<Reloaded, Failure> {
        let Given { cli, effective, policy, seals, overruled, .. } =
            parse(&self.args).map_err(|refused| match refused {
                Refused::Settings(failure) => failure,
                Refused::Usage(error) => Failure::Usage(wrong_usage::sentence(&error)),
            })?;
        let changed = effective.list_changed(&self.effective).map(str::to_owned).collect();
        let (old, old_seals) = &*self.last.lock();
        let lately = effective.list_changed(old).map(str::to_owned).collect();
        let sections = seals.list_changed(*old_seals);
        Ok(Reloaded { cli, changed, lately, sections, seals, policy, overruled, effective })
    }

    /// Remembers what was read and holds from now on: what is read next is compared with it. What
    /// was refused is not remembered, so it is told as changed once it is taken.
    pub(crate) fn on_taken(&self, effective: Effective, seals: Seals) {
        *self.last.lock() = (effective, seals);
    }
}

//! The settings of a router that runs, read again.

use std::{ffi::OsString, path::PathBuf};

use daffi::policy::Policy;

use super::{Effective, Given, Refused, parse};
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
    /// What the router started with.
    effective: Effective,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) cli: Cli,
    /// The options that are set to something else than when the router started.
    pub(crate) changed: Vec<String>,
    /// Who may do what, as the file says.
    pub(crate) policy: Option<Policy>,
}

impl Reloading {
    pub(crate) fn of(given: Given, args: Vec<OsString>) -> (Cli, Self) {
        let Given { cli, file, effective, policy, strangers } = given;
        (cli, Self { args, file, policy, strangers, effective })
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<Reloaded, Failure> {
        let Given { cli, effective, policy, .. } = parse(&self.args).map_err(|refused| match refused {
            Refused::Settings(failure) => failure,
            Refused::Usage(error) => Failure::Usage(wrong_usage::sentence(&error)),
        })?;
        let changed = effective.changed(&self.effective).map(str::to_owned).collect();
        Ok(Reloaded { cli, changed, policy })
    }
}

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Subcommand};

use crate::{
    cli::Command,
    failure::Failure,
    output,
    settings::{Entry, Given, Refused, example, parse},
    wrong_usage,
};

const AFTER: &str = "\
Later ones go before: the file, DAFFI_ROUTER_OPTION in the environment, the command line. A router
reads its file again when it gets SIGHUP.

Examples:
  daffi config example > router.toml
  daffi config check router.toml
  daffi router --config router.toml";

/// Check the file of a router, or show what holds
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the file, with the environment and the certificates that both name: exit code 2, and
    /// the line, when a router could not start with them
    Check {
        /// The file. Default: that of $DAFFI_ROUTER_CONFIG
        file: Option<PathBuf>,
    },
    /// Print what holds with the file and the environment, and where each is set
    Show {
        /// The file. Default: that of $DAFFI_ROUTER_CONFIG
        file: Option<PathBuf>,
    },
    /// Print a file with all that can be set, and its defaults
    Example,
}

impl Config {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Check { file } => {
                let Given { cli, policy, strangers, overruled, effective, .. } = read_given(file)?;
                let Command::Router(router) = cli.command else { return Ok(()) };
                let warnings = router.check(policy.as_ref()).await.map_err(|failure| effective.place(failure))?;
                for warning in warnings.into_iter().chain(overruled.iter().map(ToString::to_string)) {
                    output::tell(&warning);
                }
                tell(&strangers);
                Ok(())
            }
            Action::Show { file } => {
                let Given { effective, policy, file, strangers, .. } = read_given(file)?;
                tell(&strangers);
                let lines = effective.entries().iter().map(|entry| (entry.line(), entry));
                let lines = lines.map(|(line, Entry { origin, .. })| format!("{line}  # {origin}"));
                let policy = policy.and(file).map(|file| format!("# [policy]  # {}", file.display()));
                Ok(output::answer(&lines.chain(policy).collect::<Vec<_>>().join("\n"))?)
            }
            Action::Example => Ok(output::answer(example().trim_end())?),
        }
    }
}

/// What a router would find with this file.
fn read_given(file: Option<PathBuf>) -> Result<Given, Failure> {
    let config = file.map(|file| [OsString::from("--config"), file.into_os_string()]);
    let args: Vec<OsString> =
        ["daffi", "router"].map(OsString::from).into_iter().chain(config.into_iter().flatten()).collect();
    parse(&args).map_err(|refused| match refused {
        Refused::Settings(failure) => failure,
        Refused::Usage(error) => Failure::Usage(wrong_usage::sentence(&error)),
    })
}

/// Tells of variables that nobody reads.
fn tell(strangers: &[String]) {
    for stranger in strangers {
        output::tell(&format!("{stranger} is no option of `daffi router`: `daffi router --help` lists them"));
    }
}

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{cli::Cli, failure::Failure, output};

const INSTALL: &str = "\
Examples:
  source <(daffi completions bash)
  daffi completions zsh >~/.zfunc/_daffi
  daffi completions fish | source";

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = INSTALL)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        // It is written into memory first, because the generator panics when nobody reads.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "daffi", &mut script);
        Ok(output::raw(&script)?)
    }
}

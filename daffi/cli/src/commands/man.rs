use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::{cli::Cli, failure::Failure};

/// Write the manual, a page a command, into a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder; made if it is not there
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let folder = self.folder.display();
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &self.folder))
            .map_err(|error| {
                Failure::Failed(format!(
                    "the manual cannot be written to {folder}: {error}; name a folder that you can write to"
                ))
            })
    }
}

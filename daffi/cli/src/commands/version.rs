use clap::Args;
use daffi::Level;
use serde::Serialize;

use crate::{failure::Failure, output};

/// Tell which version this is
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Versions {
    version: &'static str,
    commit: &'static str,
    /// Levels of the wire: 3 is that of daffi 3.0.1.
    levels: [u8; 2],
}

impl Version {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let levels = [Level::THREE.number(), Level::FOUR.number()];
        let report = Versions { version: env!("CARGO_PKG_VERSION"), commit: env!("DAFFI_COMMIT"), levels };
        if self.json {
            return output::json(&report);
        }
        let Versions { version, commit, levels: [three, four] } = report;
        let protocol = format!("wire levels {three}, that of daffi 3.0.1, and {four}");
        Ok(output::answer(&format!("daffi {version}\ncommit {commit}\n{protocol}"))?)
    }
}

//! What a router takes from its settings while it runs.

use daffi::ServerTls;

use super::Router;
use crate::{
    cli::Command,
    failure::Failure,
    settings::{Reloaded, Reloading},
};

/// Options that take effect at once.
const AT_ONCE: [&str; 3] = ["tls-cert", "tls-key", "client-ca"];

/// Reads the settings and the certificates of a router again.
pub(super) struct Reload {
    reloading: Reloading,
    tls: Option<ServerTls>,
}

impl Reload {
    pub(super) fn new(reloading: Reloading, tls: Option<ServerTls>) -> Self {
        Self { reloading, tls }
    }

    /// Does it, and logs what came of it.
    pub(super) fn run(&self) {
        if self.reloading.file.is_none() && self.tls.is_none() {
            tracing::warn!("there is nothing to reload: this router has no file (--config) and no certificates");
            return;
        }
        match self.reloaded() {
            Ok(later) if later.is_empty() => tracing::info!("reloaded"),
            Ok(later) => {
                let options = later.join(", ");
                tracing::warn!(options, "reloaded, but for options that take effect when the router starts again");
            }
            Err(failure) => {
                tracing::error!("not reloaded, and all stays as it is: {}", failure.sentence());
            }
        }
    }

    /// Gives the changed options that have to wait.
    fn reloaded(&self) -> Result<Vec<String>, Failure> {
        let Reloaded { cli, changed } = self.reloading.read()?;
        let Command::Router(Router { certificates, listen, .. }) = cli.command else { return Ok(Vec::new()) };
        if let Some(tls) = &self.tls
            && let Some(new) = certificates.settings(&listen)?
        {
            tls.replace_by(&new);
        }
        Ok(changed.into_iter().filter(|option| self.tls.is_none() || !AT_ONCE.contains(&option.as_str())).collect())
    }
}

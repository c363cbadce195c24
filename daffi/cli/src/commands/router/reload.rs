//! What a router takes from its settings while it runs.

use std::sync::atomic::{AtomicBool, Ordering};

use daffi::{Router as Node, ServerTls};

use super::Router;
use crate::{
    cli::Command,
    failure::Failure,
    settings::{Reloaded, Reloading},
};

/// Options of certificates, which take effect at once.
const OF_CERTIFICATES: [&str; 3] = ["tls-cert", "tls-key", "client-ca"];
/// An option that always does.
const AT_ONCE: &str = "no-pickle-from";

/// Reads the settings and the certificates of a router again.
pub(super) struct Reload {
    reloading: Reloading,
    tls: Option<ServerTls>,
    router: Node,
    /// The router has a policy of its file.
    is_guarded: AtomicBool,
}

impl Reload {
    pub(super) fn new(reloading: Reloading, tls: Option<ServerTls>, router: Node) -> Self {
        let is_guarded = AtomicBool::new(reloading.policy.is_some());
        Self { reloading, tls, router, is_guarded }
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
        let Reloaded { cli, changed, policy } = self.reloading.read()?;
        let Command::Router(Router { certificates, listen, guarding, .. }) = cli.command else { return Ok(Vec::new()) };
        if policy.is_none() && self.is_guarded.load(Ordering::Relaxed) {
            // A file that somebody is writing looks so, too, and would open the router to all.
            return Err(Failure::Usage(
                "the file has no [policy] any more, and this router has one: to open it to all, write [policy] with \
                 others = \"everybody\""
                    .to_owned(),
            ));
        }
        self.is_guarded.store(policy.is_some(), Ordering::Relaxed);
        if let Some(tls) = &self.tls
            && let Some(new) = certificates.settings(&listen)?
        {
            tls.replace_by(&new);
        }
        self.router.set_policy(guarding.policy(policy));
        let waits = |option: &String| {
            let is_of_certificates = OF_CERTIFICATES.contains(&option.as_str());
            option != AT_ONCE && !(self.tls.is_some() && is_of_certificates)
        };
        Ok(changed.into_iter().filter(waits).collect())
    }
}

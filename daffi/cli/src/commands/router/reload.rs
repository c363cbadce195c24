//! What a router takes from its settings while it runs.

use std::sync::atomic::{AtomicBool, Ordering};

use daffi::{NodeConfig, Router as Node, ServerTls};

use super::{Router, warn_of_overruled};
use crate::{
    cli::Command,
    failure::Failure,
    settings::{Reloaded, Reloading},
};

/// Options of certificates, which take effect at once.
const OF_CERTIFICATES: [&str; 3] = ["tls-cert", "tls-key", "client-ca"];
/// Options that always do.
const AT_ONCE: [&str; 6] = ["no-pickle-from", "grace", "max-pending-handshakes", "name-policy", "verbose", "quiet"];

/// What came of changed options.
#[derive(Default)]
struct Taken {
    /// Those that take effect and were set otherwise when they were read before.
    changed: Vec<String>,
    /// Those that have to wait.
    later: Vec<String>,
}

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
            Ok(Taken { changed, later }) => {
                let changed = if changed.is_empty() { "no option".to_owned() } else { changed.join(", ") };
                if later.is_empty() {
                    tracing::info!(changed, "reloaded");
                } else {
                    let options = later.join(", ");
                    let text = "reloaded, but for options that take effect when the router starts again";
                    tracing::warn!(options, changed, "{text}");
                }
            }
            Err(failure) => {
                tracing::error!("not reloaded, and all stays as it is: {}", failure.sentence());
            }
        }
    }

    fn reloaded(&self) -> Result<Taken, Failure> {
        let Reloaded { cli, changed, lately, policy, overruled, effective } = self.reloading.read()?;
        let Command::Router(router) = &cli.command else { return Ok(Taken::default()) };
        let Router { certificates, listen, guarding, bounds, .. } = router;
        warn_of_overruled(&overruled);
        for idle in router.idle_rules(policy.as_ref(), self.router.endpoints()) {
            tracing::warn!("{idle}");
        }
        if policy.is_none() && self.is_guarded.load(Ordering::Relaxed) {
            // A file that somebody is writing looks so, too, and would open the router to all.
            return Err(Failure::Usage(
                "the file has no [policy] any more, and this router has one: to open it to all, write [policy] with \
                 others = \"everybody\""
                    .to_owned(),
            ));
        }
        let tls = certificates.settings(listen)?;
        // Nothing is refused from here on, so a reload holds as a whole or not at all.
        self.reloading.on_taken(effective);
        self.is_guarded.store(policy.is_some(), Ordering::Relaxed);
        if let (Some(old), Some(new)) = (&self.tls, &tls) {
            old.replace_by(new);
        }
        self.router.set_policy(guarding.policy(policy));
        let mut config = NodeConfig::server();
        bounds.apply(&mut config);
        self.router.reconfigure(&config);
        cli.logging.change(cli.command.log_level());
        let at_once = |option: &String| {
            let is_of_certificates = OF_CERTIFICATES.contains(&option.as_str());
            AT_ONCE.contains(&option.as_str()) || (self.tls.is_some() && is_of_certificates)
        };
        let later = changed.into_iter().filter(|option| !at_once(option)).collect();
        Ok(Taken { changed: lately.into_iter().filter(at_once).collect(), later })
    }
}

//! What a router takes from its settings while it runs.

use std::sync::Arc;

use daffi::{NodeConfig, Router as Node, ServerTls, Shown, policy::Policy};
use daffi_admin::Admin;
use parking_lot::Mutex;

use super::{Router, standing::Standing, warn_of_overruled};
use crate::{
    cli::Command,
    failure::Failure,
    server::expires,
    settings::{POLICY, Reloaded, Reloading},
    supervisor::{self, News},
};

/// Options of certificates, which take effect at once.
const OF_CERTIFICATES: [&str; 3] = ["tls-cert", "tls-key", "client-ca"];
/// Options that always do.
const AT_ONCE: [&str; 6] = ["no-pickle-from", "grace", "max-pending-handshakes", "name-policy", "verbose", "quiet"];

/// What came of changed options.
#[derive(Default)]
struct Taken {
    /// Options that take effect and were set otherwise when they were read before.
    changed: Vec<String>,
    /// Options that have to wait.
    later: Vec<String>,
}

/// Reads the settings and the certificates of a router again.
pub(super) struct Reload {
    reloading: Reloading,
    tls: Option<ServerTls>,
    router: Node,
    admin: Option<Arc<Admin>>,
    standing: Mutex<Standing>,
    /// The policy of the file that was taken last.
    policy: Mutex<Option<Policy>>,
}

impl Reload {
    /// `standing`: what it holds against whoever comes, as it started.
    pub(super) fn new(
        reloading: Reloading,
        tls: Option<ServerTls>,
        router: Node,
        admin: Option<Arc<Admin>>,
        standing: Standing,
    ) -> Self {
        let policy = Mutex::new(reloading.policy.clone());
        Self { reloading, tls, router, admin, standing: Mutex::new(standing), policy }
    }

    /// Does it, and logs what came of it.
    pub(super) fn run(&self) {
        if self.reloading.file.is_none() && self.tls.is_none() {
            tracing::warn!("there is nothing to reload: this router has no file (--config) and no certificates");
            return;
        }
        match self.reload() {
            Ok(Taken { changed, later }) => {
                let changed = if changed.is_empty() { "no option".to_owned() } else { changed.join(", ") };
                if later.is_empty() {
                    tracing::info!(changed, "reloaded");
                } else {
                    let options = later.join(", ");
                    tracing::warn!(
                        options,
                        changed,
                        "reloaded, but for options that take effect when the router starts again"
                    );
                }
            }
            Err(failure) => {
                tracing::error!(reason = failure.sentence(), "not reloaded, and all stays as it is");
                supervisor::tell(News::NotReloaded);
            }
        }
    }

    fn reload(&self) -> Result<Taken, Failure> {
        let Reloaded { cli, changed, lately, sections, seals, policy, overruled, effective } = self.reloading.read()?;
        let Command::Router(router) = &cli.command else { return Ok(Taken::default()) };
        let Router { certificates, listen, guarding, watching, bounds, .. } = router;
        warn_of_overruled(&overruled);
        for idle in router.idle_rules(policy.as_ref(), self.router.endpoints()) {
            idle.tell();
        }
        let tls = certificates.settings(listen)?;
        let token = watching.token()?;
        let mut standing = self.standing.lock();
        let mut fresh = router.standing(policy.is_some(), seals.says_others, effective.sets("name-policy"));
        if self.tls.is_none() || tls.is_none() {
            // Certificates that are gone, or new, wait for another start.
            fresh.client_ca.clone_from(&standing.client_ca);
        }
        standing.check(&fresh, sections.contains(&POLICY), &changed, |options| self.reloading.in_force(options))?;
        // Nothing is refused from here on, so a reload holds as a whole or not at all.
        self.reloading.on_taken(effective, seals);
        *standing = fresh;
        drop(standing);
        let certificate = self.tls.as_ref().zip(tls.as_ref()).filter(|(old, new)| {
            let is_another = old.replace_by(new);
            // Whoever looks at the files now and then may have read newer ones meanwhile. What is
            // wrong with those is told when they are looked at next.
            old.reload().unwrap_or(false) || is_another
        });
        let certificate = certificate.map(|(_, new)| match expires(new) {
            Some(date) => format!("the certificate (expires {date})"),
            None => "the certificate".to_owned(),
        });
        let (admin, wants_token) = (self.admin.as_ref(), token.is_some());
        // What was checked is not refused.
        let is_new = |(admin, token): (&Arc<Admin>, String)| admin.set_token(token).unwrap_or(false);
        let admin_token = admin.zip(token).is_some_and(is_new).then(|| "the token of --admin".to_owned());
        self.tell_rules_gone(policy.as_ref());
        self.policy.lock().clone_from(&policy);
        self.router.set_policy(guarding.policy(policy));
        let mut config = NodeConfig::server();
        bounds.apply(&mut config);
        self.router.reconfigure(&config);
        cli.logging.change(cli.command.log_level());
        let at_once = |option: &String| {
            let is_of_certificates = OF_CERTIFICATES.contains(&option.as_str());
            let is_of_admin = option == "admin-token-file";
            AT_ONCE.contains(&option.as_str())
                // Certificates that are gone stay in use.
                || (self.tls.is_some() && tls.is_some() && is_of_certificates)
                || (admin.is_some() && wants_token && is_of_admin)
        };
        let later = changed.into_iter().filter(|option| !at_once(option)).collect();
        let options = lately.into_iter().filter(at_once);
        let contents = sections.into_iter().map(str::to_owned).chain(certificate).chain(admin_token);
        Ok(Taken { changed: options.chain(contents).collect(), later })
    }

    /// Warns of rules that are no more, where those may do all whom they restricted.
    fn tell_rules_gone(&self, policy: Option<&Policy>) {
        let older = self.policy.lock();
        let Some((policy, older)) = policy.zip(older.as_ref()) else { return };
        let gone: Vec<_> = policy.rules_gone_since(older).map(|title| Shown::new(title).to_string()).collect();
        if !gone.is_empty() {
            let rules = gone.join(", ");
            tracing::warn!(
                rules,
                remedy = "others = \"nobody\" keeps out to whom no rule applies",
                "rules of the policy are gone, and to whom they applied may do what its others may"
            );
        }
    }
}

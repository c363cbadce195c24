//! A router.

mod bounds;
mod guarding;
mod reload;
mod standing;

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use daffi::{Keepalive, Origin, Router as Node, RouterStats, ServerTls, policy::Policy, transport::Endpoint};
use daffi_admin::{Admin, AdminBuilder};

use self::{
    bounds::Bounds,
    guarding::{Guarding, Idle, idle_rules},
    reload::Reload,
    standing::Standing,
};
use crate::{
    admin::Watching,
    connection::{keepalive, made_up, node_name},
    descriptors,
    failure::Failure,
    interrupts::Interrupts,
    server::{
        CERTIFICATE_POLL, Certificates, LostSockets, Sockets, announce, check_origins, listening, log_members,
        ping_settings, until_ended, watch_sockets,
    },
    settings::{Overruled, Reloading},
    signals::Signals,
};

const EXAMPLES: &str = "\
Each option may stand in a file, too
(--config), or in the environment, as
DAFFI_ROUTER_MAX_CONNECTIONS=100; of a
list the parts are set apart by commas.
Signals:
  TERM, INT  stop in order
  HUP        read the file and the
             certificates again
  USR1       log counters

Examples:
  daffi router --listen URL
  daffi router -l tcp://0.0.0.0:5000 \\
    -l unix:///run/daffi.sock";

/// Run a router: one address at which many nodes call each other
///
/// Takes the place of the Router of daffi 3.0.1 under nodes in Python, which need no change. Prints
/// where it listens to stdout, one endpoint a line: with port 0 a free one. Logs who joins and
/// leaves to stderr. Ctrl-C or SIGTERM stops it in order: open calls are answered first, for as
/// long as --grace allows (what is cut off then is counted: exit code 6); a second one ends it at
/// once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Router {
    /// File with these options: TOML, as `daffi config example` prints it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen at tcp://HOST:PORT or tls://HOST:PORT, where WebSockets are taken too, or
    /// unix:///PATH; or at fd://3 or fd://NAME, a socket that systemd hands over, with TLS
    /// tls+fd://3; may be repeated
    #[arg(short, long, value_name = "URL", required = true, value_parser = listening)]
    listen: Vec<Endpoint>,
    /// Let web pages of this origin connect, https://app.example for one; may be repeated. Without
    /// it pages from loopback may connect to endpoints on loopback, and pages from the host they
    /// connect to, to any other
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    allowed_origins: Vec<String>,
    /// Name in logs and refusals. Default: a made-up one
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    name: Option<String>,
    /// Silence after which a WebSocket peer is pinged; it is given up after as long again
    #[arg(long, value_name = "TIME", default_value = "20", value_parser = keepalive)]
    ws_ping: Keepalive,
    #[command(flatten)]
    certificates: Certificates,
    #[command(flatten)]
    sockets: Sockets,
    #[command(flatten)]
    guarding: Guarding,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    bounds: Bounds,
}

/// Logs what was counted, as an event of this name.
macro_rules! log {
    ($stats:expr, $event:literal) => {{
        let stats: RouterStats = $stats;
        tracing::info!(
            refused_calls = stats.refused_calls,
            dropped_requests = stats.dropped_requests,
            dropped_replies = stats.dropped_replies,
            denied = stats.denied,
            $event
        );
    }};
}

fn origin(text: &str) -> Result<String, String> {
    text.parse::<Origin>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Router {
    pub(crate) async fn run(self, interrupts: &Interrupts, reloading: Reloading) -> Result<(), Failure> {
        let signals = Signals::listen()?;
        descriptors::raise();
        descriptors::warn_of_unused_sockets(&self.listen);
        for variable in &reloading.strangers {
            tracing::warn!(%variable, "this is no option of `daffi router`: `daffi router --help` lists them");
        }
        warn_of_overruled(&reloading.overruled);
        let tls = self.certificates.settings(&self.listen)?;
        let policy = self.guarding.policy(reloading.policy.clone());
        let is_guarded = reloading.policy.is_some();
        let router = interrupts.cut(self.bind(tls.clone(), policy)).await?;
        for idle in self.idle_rules(reloading.policy.as_ref(), router.endpoints()) {
            idle.tell();
        }
        let lost = LostSockets::default();
        let admin = interrupts.cut(self.watching.begin(|| build_admin(&router, tls.clone(), lost.clone()))).await?;
        let admin = admin.map(Arc::new);
        let standing = self.standing(is_guarded, reloading.says_others(), true);
        let reload = Arc::new(Reload::new(reloading, tls.clone(), router.clone(), admin.clone(), standing));
        if let Some(tls) = tls {
            tokio::spawn(tls.follow_files(CERTIFICATE_POLL));
        }
        let watching = tokio::spawn(watch_sockets(router.endpoints(), lost));
        tokio::spawn(log_members(router.events()));
        tracing::info!(name = router.name(), "listening");
        descriptors::warn(self.bounds.max_connections.0);
        if !is_guarded {
            self.guarding.warn_of_strangers(router.endpoints());
        }
        announce(router.endpoints(), admin.as_deref())?;
        let reload = move || {
            let reload = Arc::clone(&reload);
            move || reload.run()
        };
        let signals = signals.obey(interrupts, reload, || log!(router.stats(), "counted so far"));
        let stop = async {
            watching.abort();
            router.stop().await;
        };
        let ended = until_ended(interrupts, router.join(), stop, (router.name(), || None), signals).await;
        log!(router.stats(), "stopped");
        ended
    }

    async fn bind(&self, tls: Option<ServerTls>, policy: Option<Policy>) -> Result<Node, Failure> {
        let name = self.name.clone().unwrap_or_else(|| made_up("router"));
        let builder = Node::builder(name).configure(|config| self.bounds.apply(config));
        // What is told of a router without one is told in words of the command.
        let builder = builder.policy(policy.unwrap_or_else(Policy::open));
        let builder = tls.into_iter().fold(builder, |builder, tls| builder.tls(tls));
        let (mode, group) = self.sockets.settings(&self.listen)?;
        let builder = mode.into_iter().fold(builder, |builder, mode| builder.socket_mode(mode));
        let builder = group.into_iter().fold(builder, |builder, group| builder.socket_group(group));
        let ws_ping = ping_settings(self.ws_ping, &self.listen)?;
        let builder = ws_ping.into_iter().fold(builder, |builder, ws_ping| builder.websocket_keepalive(ws_ping));
        check_origins(&self.allowed_origins, &self.listen)?;
        let builder = self.allowed_origins.iter().fold(builder, |builder, origin| builder.allow_origin(origin));
        let (first, others) = self.listen.split_first().expect("clap demands one");
        let builder = others.iter().fold(builder, |builder, more| builder.also_bind(more.as_str()));
        Ok(builder.bind(first.as_str()).await?)
    }

    /// What it holds against whoever comes, by its options and, if it has one, by its policy.
    fn standing(&self, has_policy: bool, says_others: bool, says_names: bool) -> Standing {
        let client_ca = self.certificates.client_ca().map(ToOwned::to_owned);
        let no_pickle_from = self.guarding.no_pickle_from().to_owned();
        Standing {
            has_policy,
            says_others,
            client_ca,
            no_pickle_from,
            keeps_names: self.bounds.keeps_names(),
            says_names,
        }
    }

    /// What is wrong with rules of this policy that can apply to nobody who comes to `endpoints`.
    fn idle_rules(&self, policy: Option<&Policy>, endpoints: &[Endpoint]) -> Vec<Idle> {
        policy.map_or_else(Vec::new, |policy| idle_rules(policy, endpoints, self.certificates.client_ca().is_some()))
    }

    /// Whether a router could start with these options, as far as can be told without starting one:
    /// what it would warn of.
    pub(crate) async fn check(&self, policy: Option<&Policy>) -> Result<Vec<String>, Failure> {
        self.certificates.settings(&self.listen)?;
        self.sockets.settings(&self.listen)?;
        ping_settings(self.ws_ping, &self.listen)?;
        check_origins(&self.allowed_origins, &self.listen)?;
        self.watching.check().await?;
        Ok(self.idle_rules(policy, &self.listen).iter().map(ToString::to_string).collect())
    }
}

/// Warns of what the file says in vain.
fn warn_of_overruled(all: &[Overruled]) {
    for Overruled { option, file, by } in all {
        tracing::warn!(option, %file, %by, "an option of the file does not hold: the environment goes before it");
    }
}

/// What is told of it over HTTP.
fn build_admin(router: &Node, tls: Option<ServerTls>, lost: LostSockets) -> AdminBuilder {
    let admin = Admin::of_router(router).needs(move || lost.check());
    match tls {
        Some(tls) => admin.certificate(move || tls.expires()),
        None => admin,
    }
}

//! A node to try things on.

mod callbacks;
mod echo;
mod given_up;
mod streams;

use clap::Args;
use daffi::{Callbacks, ClientBuilder, Role, ServerTls, Service, policy::Policy, transport::Endpoint};
use daffi_admin::{Admin, AdminBuilder};

use self::{callbacks::Demonstration, echo::echo, given_up::GivenUp, streams::Streams};
use crate::{
    address::{Address, parse_address},
    admin::Watching,
    connection::Connection,
    descriptors,
    failure::Failure,
    interrupts::Interrupts,
    quantity::Count,
    server::{
        CERTIFICATE_POLL, Certificates, LostSockets, Sockets, Stopping, announce, listening, log_members,
        ping_settings, reload_certificates, until_ended, watch_sockets,
    },
    signals::Signals,
};

const CALLBACKS: &str = "\
Callbacks:
  echo(payload)        its argument, unchanged
  add(a, b)            the sum
  greet(name)          Hello, NAME!
  sleep(seconds)       its argument, later, unless
                       its caller gives up
  fail(message)        raises ValueError
  receive_chunk(data)  takes bytes or text
  received()           bytes taken so far
  count(n, delay=0)    1 to n, one by one,
                       with seconds between
  sum(numbers)         of those sent one
                       by one, or a list
  shout(lines)         each of the lines sent
                       one by one, louder
  blob(size)           so many bytes, in
                       chunks one by one
  hash(data)           SHA-256 of bytes, or of
                       chunks sent one by one
  cancelled()          of sleep and these, how
                       many were given up

Examples:
  daffi demo --listen URL
  daffi demo --connect URL-OF-A-ROUTER";

/// Run a node to try things on
///
/// With --listen it is a service, with --connect a worker of the router there. A service prints
/// where it listens to stdout, one endpoint a line: with port 0 a free one. Ctrl-C or SIGTERM stops
/// it in order: what was received runs, and is answered.
#[derive(Debug, Args)]
#[command(after_help = CALLBACKS, group = clap::ArgGroup::new("place").required(true))]
pub(crate) struct Demo {
    /// Be a service at tcp://HOST:PORT or tls://HOST:PORT, where WebSockets are taken too, or
    /// unix:///PATH; or at fd://3 or fd://NAME, a socket that systemd hands over, with TLS
    /// tls+fd://3; may be repeated
    #[arg(short, long, value_name = "URL", group = "place", conflicts_with = "connect", value_parser = listening)]
    listen: Vec<Endpoint>,
    /// Be a worker of this router, or of several, their URLs with commas between them
    #[arg(short, long, value_name = "URL", group = "place", value_parser = parse_address)]
    connect: Option<Address>,
    /// Callbacks that run at once
    #[arg(short, long, value_name = "N", default_value = "1")]
    workers: Count,
    #[command(flatten)]
    stopping: Stopping,
    #[command(flatten)]
    certificates: Certificates,
    #[command(flatten)]
    sockets: Sockets,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    connection: Connection,
}

impl Demo {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        match &self.connect {
            Some(routers) => self.work(routers, interrupts).await,
            None => self.serve(interrupts).await,
        }
    }

    async fn serve(&self, interrupts: &Interrupts) -> Result<(), Failure> {
        if self.connection.has_tls() {
            return Err(Failure::Usage(
                "--ca, --pin, --client-cert and --dangerous-no-verify belong to --connect; --listen has --tls-cert, --tls-key \
                 and --client-ca"
                    .to_owned(),
            ));
        }
        if self.connection.has_token() {
            return Err(Failure::Usage(
                "--token-file belongs to --connect: it is shown to a router; who may connect to a demo is not asked for one, \
                 so leave it out"
                    .to_owned(),
            ));
        }
        if self.connection.has_connect_timeout() {
            return Err(Failure::Usage(
                "--connect-timeout belongs to --connect: --listen connects to nobody, so leave it out".to_owned(),
            ));
        }
        descriptors::raise();
        descriptors::warn_of_unused_sockets(&self.listen);
        let builder = Service::builder(self.connection.name_or("demo")).callbacks(callbacks()).workers(self.workers.0);
        let signals = Signals::listen()?;
        let tls = self.certificates.settings(&self.listen)?;
        let builder = tls.iter().fold(builder, |builder, tls| builder.tls(tls.clone()));
        let (mode, group) = self.sockets.settings(&self.listen)?;
        let builder = mode.into_iter().fold(builder, |builder, mode| builder.socket_mode(mode));
        let builder = group.into_iter().fold(builder, |builder, group| builder.socket_group(group));
        let ws_ping = ping_settings(self.connection.keepalive(), &self.listen)?;
        let builder = ws_ping.into_iter().fold(builder, |builder, ws_ping| builder.websocket_keepalive(ws_ping));
        // What is told of that stands below.
        let builder = builder.configure(|config| config.grace = self.stopping.grace.0).policy(Policy::open());
        let (first, others) = self.listen.split_first().expect("clap demands --listen or --connect");
        let builder = others.iter().fold(builder, |builder, more| builder.also_bind(more.as_str()));
        let service = interrupts.cut(async { Ok(builder.bind(first.as_str()).await?) }).await?;
        let lost = LostSockets::default();
        let admin = interrupts.cut(self.watching.begin(|| build_admin(&service, tls.clone(), lost.clone()))).await?;
        let watching = tokio::spawn(watch_sockets(service.endpoints(), lost));
        tokio::spawn(log_members(service.events()));
        tracing::info!(name = service.name(), "listening");
        for endpoint in service.endpoints().iter().filter(|endpoint| endpoint.is_reached_from_elsewhere()) {
            tracing::warn!(%endpoint, "whoever reaches this endpoint may call everything: a demo asks nobody who he is, so listen at 127.0.0.1 to be alone");
        }
        announce(service.endpoints(), admin.as_ref())?;
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.follow_files(CERTIFICATE_POLL));
        }
        let reload = || {
            let tls = tls.clone();
            move || reload_certificates(tls.as_ref())
        };
        let signals = signals.obey(interrupts, reload, || log_members_count(service.clients().len()));
        let stop = async {
            watching.abort();
            service.stop().await;
        };
        until_ended(interrupts, service.join(), stop, (service.name(), || None), signals).await
    }

    async fn work(&self, routers: &Address, interrupts: &Interrupts) -> Result<(), Failure> {
        if self.certificates.are_given() {
            return Err(Failure::Usage(
                "--tls-cert, --tls-key and --client-ca belong to --listen; --connect has --client-cert, --client-key and --ca"
                    .to_owned(),
            ));
        }
        self.sockets.settings(&[])?;
        self.watching.refuse()?;
        let settings = |builder: ClientBuilder| {
            let builder = builder.configure(|config| config.grace = self.stopping.grace.0);
            builder.callbacks(callbacks()).workers(self.workers.0)
        };
        let signals = Signals::listen()?;
        let group = interrupts.cut(self.connection.open_all(routers, "demo", settings)).await?;
        let name = group.clients().next().expect("an address has an endpoint").name().to_owned();
        for client in group.clients() {
            if client.server_role() == Some(Role::Service) {
                return Err(Failure::Usage(format!(
                    "{} is a service, whose clients nobody can call: connect to a router",
                    client.endpoint()
                )));
            }
            tokio::spawn(log_members(client.events()));
            let at = client.endpoint();
            if client.is_connected() {
                tracing::info!(name, "connected to {at}");
            } else {
                tracing::warn!(name, "no connection to {at} yet; trying on");
                let (client, name) = (client.clone(), name.clone());
                tokio::spawn(async move {
                    if client.wait_for_connection().await.is_ok() {
                        tracing::info!(name, "connected to {}", client.endpoint());
                    }
                });
            }
        }
        let members = || group.clients().map(|client| client.members().iter().count()).sum();
        let signals = signals.obey(interrupts, || || reload_certificates(None), || log_members_count(members()));
        // Of several routers the first that says so: another may be gone for another reason.
        let why = || group.clients().find_map(|client| client.last_failure());
        until_ended(interrupts, group.join(), group.stop(), (&name, why), signals).await
    }
}

/// What is told of it over HTTP.
fn build_admin(service: &Service, tls: Option<ServerTls>, lost: LostSockets) -> AdminBuilder {
    let admin = Admin::of_service(service).needs(move || lost.check());
    match tls {
        Some(tls) => admin.certificate(move || tls.expires()),
        None => admin,
    }
}

/// What SIGUSR1 asks for.
fn log_members_count(members: usize) {
    tracing::info!(members, "counted so far");
}

fn callbacks() -> Callbacks {
    let given_up = GivenUp::default();
    let streams = Streams::new(given_up.clone());
    Callbacks::new().and(Demonstration::new(given_up)).and(streams).raw("echo", echo)
}

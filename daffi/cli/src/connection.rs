//! How the command joins a network.

use std::{
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use daffi::{
    Client, ClientGroup, ClientTls, Keepalive, Limits, NodeName,
    policy::Token,
    transport::{Endpoint, EndpointError},
};

use crate::{
    address::{Address, parse_address},
    contexts::{self, Contexts},
    failure::{Failure, not_read, of_settings},
    quantity::{Seconds, more_than_none},
};

/// Has the client not wait for its server to close, which one of daffi 3.0.1 never does. Nothing
/// that is answered gets lost by that.
fn leaving_soon(builder: daffi::ClientBuilder) -> daffi::ClientBuilder {
    builder.configure(|config| config.linger = Duration::from_millis(20))
}

/// The members that a client sees, without itself. To a server of daffi 3.0.1 a client that only
/// looks is a member, too.
pub(crate) fn others(client: &Client) -> Vec<daffi::Member> {
    let is_listed = !client.server_level().is_some_and(|level| level.at_least(daffi::Level::FOUR));
    let members = client.members();
    members.iter().filter(|member| !is_listed || member.name.as_str() != client.name()).cloned().collect()
}

/// What names made up for callers begin with.
const ROLE: &str = "cli";

/// Names the endpoint that is meant when none is given.
pub(crate) const ADDRESS: &str = "DAFFI_ADDR";

/// The options that say which network is meant.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Place {
    /// The address saved under this name, where no URL is given; see `daffi context`
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Place {
    /// The address that is given, else that of the context that is named, that in the environment,
    /// or that of the context in use.
    pub(crate) fn address(&self, given: Option<&str>) -> Result<Address, Failure> {
        given.map_or_else(|| self.default_address(None), |text| parse_address(text).map_err(Failure::Usage))
    }

    /// The address where none was given before the word `method`.
    pub(crate) fn default_address(&self, method: Option<&str>) -> Result<Address, Failure> {
        if let Some(name) = &self.context {
            return Contexts::load(&contexts::path()?)?.address(name);
        }
        match std::env::var(ADDRESS) {
            Ok(text) if !text.is_empty() => parse_address(&text)
                .map_err(|error| Failure::Usage(format!("the environment variable {ADDRESS}: {error}"))),
            Err(std::env::VarError::NotUnicode(_)) => Err(Failure::Usage(format!(
                "the environment variable {ADDRESS} is not text: set it to an endpoint, as tcp://127.0.0.1:5001"
            ))),
            _ => in_use(method),
        }
    }
}

/// The address of the context in use.
fn in_use(method: Option<&str>) -> Result<Address, Failure> {
    let mut save = "save one with `daffi context add`".to_owned();
    // A user without a home has no contexts, nor has one who may not read what is there.
    match contexts::path() {
        Ok(path) if contexts::may_be_read(&path) => {
            let saved = Contexts::load(&path)?;
            if let Some(name) = &saved.current {
                return saved.address(name);
            }
            if !saved.contexts.is_empty() {
                "take a saved one, by --context NAME or from now on by `daffi context use NAME`".clone_into(&mut save);
            }
        }
        Ok(path) => save = format!("save one where this user may read it, which is not in {}", path.display()),
        Err(_) => {}
    }
    let method = method.map_or_else(String::new, |word| format!(" ({word}, which has no scheme, is the METHOD)"));
    Err(Failure::Usage(format!(
        "no endpoint{method}: name one before all else, as in tcp://127.0.0.1:5001, or in the environment variable \
         {ADDRESS}, or {save}"
    )))
}

/// The schemes by which another process can be reached.
pub(crate) const SCHEMES: [&str; 5] = ["tcp", "tls", "ws", "wss", "unix"];

pub(crate) fn of_schemes(text: &str, schemes: &[&str]) -> Result<Endpoint, String> {
    let endpoint: Endpoint = text.parse().map_err(|error: EndpointError| error.to_string())?;
    let scheme = endpoint.scheme();
    if !schemes.contains(&scheme) {
        return Err(format!("{text} is no endpoint: there is no {scheme}://, only {}://", schemes.join("://, ")));
    }
    Ok(endpoint)
}

/// A name that no other run bears: a second node of one name evicts the first.
pub(crate) fn made_up(role: &str) -> String {
    format!("{role}-{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Reads a name that a node can bear.
pub(crate) fn node_name(text: &str) -> Result<String, String> {
    NodeName::new(text, &Limits::default()).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

const CONNECT_TIMEOUT: Seconds = Seconds(Duration::from_secs(10));

/// The options that say how to connect.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Name in the network. Default: a made-up one, new for each run; a second node of one name
    /// evicts the first
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    name: Option<String>,
    /// Time to connect, and as much for the handshake: seconds, or a time such as 200ms
    #[arg(long, value_name = "TIME", default_value_t = CONNECT_TIMEOUT, value_parser = more_than_none)]
    connect_timeout: Seconds,
    /// Silence after which the other end of a WebSocket is pinged, unless it is of daffi 3.0.1,
    /// which breaks on that; it is given up after as long again
    #[arg(long, value_name = "TIME", default_value = "20", value_parser = keepalive)]
    ws_ping: Keepalive,
    /// File with the token by which a server knows this node: it is sent over TLS, over a Unix
    /// socket or to this host only, and never to a server of daffi 3.0.1
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
}

/// Reads a time as both the interval and the patience of a keepalive.
pub(crate) fn keepalive(text: &str) -> Result<Keepalive, String> {
    let Seconds(interval) = more_than_none(text)?;
    Ok(Keepalive { interval, patience: interval })
}

/// The setting of `--ws-ping`, if it is another than the default. It must do something at one of
/// the endpoints: at one of these schemes.
pub(crate) fn ws_ping(
    given: Keepalive,
    endpoints: &[Endpoint],
    schemes: &[&str],
    rule: &str,
) -> Result<Option<Keepalive>, Failure> {
    if given == Keepalive::default() {
        return Ok(None);
    }
    has_meaning("--ws-ping", endpoints, schemes, rule)?;
    Ok(Some(given))
}

/// Whether an option that was given does something at one of the endpoints.
pub(crate) fn has_meaning(option: &str, endpoints: &[Endpoint], schemes: &[&str], rule: &str) -> Result<(), Failure> {
    if endpoints.iter().any(|endpoint| schemes.contains(&endpoint.scheme())) {
        return Ok(());
    }
    let with: Vec<_> = endpoints.iter().map(Endpoint::as_str).collect();
    Err(Failure::Usage(format!("{option} has no meaning with {}: {rule}", with.join(", "))))
}

/// The options that say whom to trust over TLS, and what to show.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
struct Tls {
    /// Trust the authorities in this PEM file instead of the platform's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pin", "dangerous_no_verify"])]
    ca: Option<PathBuf>,
    /// Trust exactly the certificate in this PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "dangerous_no_verify")]
    pin: Option<PathBuf>,
    /// Show this certificate, a PEM file, to a server that asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its key, a PEM file
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Verify nothing: whoever is on the way can read and change everything. --pin is as easy
    #[arg(long)]
    dangerous_no_verify: bool,
}

impl Connection {
    /// The name given, or one made up for `role`.
    pub(crate) fn name_or(&self, role: &str) -> String {
        self.name.clone().unwrap_or_else(|| made_up(role))
    }

    /// These options for one of several connections, because two of one name evict each other.
    pub(crate) fn with_number(&self, number: usize) -> Self {
        Self { name: self.name.as_ref().map(|name| format!("{name}-{number}")), ..self.clone() }
    }

    /// When silent WebSocket peers are pinged.
    pub(crate) const fn keepalive(&self) -> Keepalive {
        self.ws_ping
    }

    /// Whether there is a limit of the time to connect.
    pub(crate) fn has_connect_timeout(&self) -> bool {
        self.connect_timeout != CONNECT_TIMEOUT
    }

    /// Whether there are settings for TLS.
    pub(crate) const fn has_tls(&self) -> bool {
        self.tls.are_given()
    }

    /// Whether a token is given.
    pub(crate) const fn has_token(&self) -> bool {
        self.token_file.is_some()
    }

    /// Connects to one endpoint of the address, with callbacks or without, under a name made up for
    /// `role` unless one is given.
    pub(crate) async fn open(
        &self,
        address: &Address,
        role: &str,
        configure: impl FnOnce(daffi::ClientBuilder) -> daffi::ClientBuilder,
    ) -> Result<Client, Failure> {
        Ok(configure(self.builder(address, role)?)
            .connect_any(address.endpoints().iter().map(Endpoint::as_str))
            .await?)
    }

    /// Connects to each endpoint of the address, as one node.
    pub(crate) async fn open_all(
        &self,
        address: &Address,
        role: &str,
        configure: impl FnOnce(daffi::ClientBuilder) -> daffi::ClientBuilder,
    ) -> Result<ClientGroup, Failure> {
        Ok(configure(self.builder(address, role)?)
            .connect_all(address.endpoints().iter().map(Endpoint::as_str))
            .await?)
    }

    fn builder(&self, address: &Address, role: &str) -> Result<daffi::ClientBuilder, Failure> {
        let rule = "connections to ws:// and wss:// are pinged; leave it out";
        let ws_ping = ws_ping(self.ws_ping, address.endpoints(), &["ws", "wss"], rule)?;
        let builder = Client::builder(self.name_or(role)).configure(|config| {
            config.connect_timeout = self.connect_timeout.0;
            config.handshake_timeout = self.connect_timeout.0;
        });
        let builder = ws_ping.into_iter().fold(builder, |builder, ws_ping| builder.websocket_keepalive(ws_ping));
        let builder = match self.tls.settings(address)? {
            Some(tls) => builder.tls(tls),
            None => builder,
        };
        Ok(match self.token_file.as_deref().map(token).transpose()? {
            Some(token) => builder.token(token),
            None => builder,
        })
    }

    /// Connects to make calls that are answered.
    pub(crate) async fn caller(&self, address: &Address) -> Result<Client, Failure> {
        self.open(address, ROLE, leaving_soon).await
    }

    /// Connects to see who is there, of which a server of this project tells nobody.
    pub(crate) async fn looker(&self, address: &Address) -> Result<Client, Failure> {
        self.open(address, ROLE, |builder| leaving_soon(builder).look_only()).await
    }

    /// Connects to make calls that nobody answers. What was called is sent within `grace`; `None`:
    /// however long that takes.
    pub(crate) async fn sender(&self, address: &Address, grace: Option<Duration>) -> Result<Client, Failure> {
        let grace = grace.unwrap_or(Duration::MAX);
        self.open(address, ROLE, |builder| builder.configure(|config| config.grace = grace)).await
    }
}

impl Tls {
    const fn are_given(&self) -> bool {
        self.ca.is_some() || self.pin.is_some() || self.client_cert.is_some() || self.dangerous_no_verify
    }

    /// The settings for TLS. `None`: what the library does by itself is right.
    fn settings(&self, address: &Address) -> Result<Option<ClientTls>, Failure> {
        if !self.are_given() {
            return Ok(None);
        }
        if let Some(endpoint) = address.endpoints().iter().find(|at| !matches!(at.scheme(), "tls" | "wss")) {
            return Err(Failure::Usage(format!(
                "{endpoint} is not encrypted, so TLS options mean nothing there: write tls:// or wss://, or leave them out"
            )));
        }
        let tls = match (&self.ca, &self.pin) {
            (Some(file), _) => ClientTls::ca_file(file),
            (_, Some(file)) => ClientTls::pin_certificate(file),
            _ if self.dangerous_no_verify => Ok(ClientTls::dangerous_accept_any_certificate()),
            _ => ClientTls::platform_roots(),
        };
        let tls = match (&self.client_cert, &self.client_key) {
            (Some(certificate), Some(key)) => tls.and_then(|tls| tls.client_certificate(certificate, key)),
            _ => tls,
        };
        tls.map(Some).map_err(|error| of_settings(&error))
    }
}

/// The token in a file, of which it is the first line.
fn token(path: &Path) -> Result<Token, Failure> {
    let unusable = |what: &dyn std::fmt::Display| Failure::Usage(format!("--token-file {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&format!("the file {}", not_read(&error))))?;
    // The error does not show the token.
    Token::new(text.lines().next().unwrap_or_default().trim()).map_err(|error| unusable(&error))
}

/// An error and its causes.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

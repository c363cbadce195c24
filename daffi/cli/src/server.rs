//! What nodes that listen have in common.

use std::{
    convert::Infallible,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use daffi::{
    Ended, Keepalive, MemberEvent, NodeConfig, ServerTls,
    transport::{Endpoint, blocking},
};
use daffi_admin::Admin;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;

use crate::{
    connection::{has_meaning, of_schemes, sentence, ws_ping},
    failure::{Failure, lack, of_end, of_settings, unheard},
    interrupts::Interrupts,
    output,
    quantity::Seconds,
    supervisor::{self, News},
};

/// How often the files of certificates are looked at, for new ones.
pub(crate) const CERTIFICATE_POLL: Duration = Duration::from_secs(10);

/// How often it is looked whether the files of sockets are there.
const SOCKET_POLL: Duration = Duration::from_secs(5);

/// Certificates of a node that listens.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS of --listen")]
pub(crate) struct Certificates {
    /// Certificate, a PEM file, with intermediate ones behind it
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its key, a PEM file
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Let only clients in that show a certificate of the authorities in this PEM file
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
}

impl Certificates {
    /// Whether any were given.
    pub(crate) const fn are_given(&self) -> bool {
        self.tls_cert.is_some() || self.tls_key.is_some() || self.client_ca.is_some()
    }

    /// The file of the authorities that issue certificates of clients, if they are asked for them.
    pub(crate) fn client_ca(&self) -> Option<&Path> {
        self.client_ca.as_deref()
    }

    /// The settings for TLS. `None`: no certificate was given.
    pub(crate) fn settings(&self, endpoints: &[Endpoint]) -> Result<Option<ServerTls>, Failure> {
        let encrypted = endpoints.iter().find(|endpoint| matches!(endpoint.scheme(), "tls" | "tls+fd"));
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return match encrypted {
                _ if self.tls_cert.is_some() => Err(Failure::Usage("--tls-cert needs --tls-key FILE".to_owned())),
                _ if self.tls_key.is_some() => Err(Failure::Usage("--tls-key needs --tls-cert FILE".to_owned())),
                _ if self.client_ca.is_some() => {
                    Err(Failure::Usage("--client-ca needs --tls-cert FILE and --tls-key FILE".to_owned()))
                }
                Some(endpoint) => Err(Failure::Usage(format!("{endpoint} needs --tls-cert FILE and --tls-key FILE"))),
                None => Ok(None),
            };
        };
        if encrypted.is_none() {
            return Err(Failure::Usage(
                "a certificate is given, but no --listen tls://HOST:PORT to use it: add one, or leave it out"
                    .to_owned(),
            ));
        }
        let tls = ServerTls::from_files(certificate, key);
        let tls = match &self.client_ca {
            Some(file) => tls.and_then(|tls| tls.client_ca_file(file)),
            None => tls,
        };
        tls.map(Some).map_err(|error| of_settings(&error))
    }
}

/// What SIGHUP asks a node for that has no file of settings.
pub(crate) fn reload_certificates(tls: Option<&ServerTls>) {
    match tls.map(ServerTls::reload) {
        Some(Ok(changed)) => {
            let expires = tls.and_then(expires);
            tracing::info!(changed, expires, "the certificate's files were read again");
        }
        Some(Err(error)) => tracing::error!(reason = sentence(&error), "not reloaded, and all stays as it is"),
        None => tracing::warn!("there is nothing to reload: this node has no certificates of its own"),
    }
}

/// When a certificate ends, as a person reads it.
pub(crate) fn expires(tls: &ServerTls) -> Option<String> {
    Some(humantime::format_rfc3339_seconds(tls.expires()?).to_string())
}

/// The schemes at which a node can listen.
const SCHEMES: [&str; 5] = ["tcp", "tls", "unix", "fd", "tls+fd"];

/// Reads an endpoint at which a node can listen.
pub(crate) fn listening(text: &str) -> Result<Endpoint, String> {
    if text.split(',').skip(1).any(|part| part.contains("://")) {
        return Err("it is one endpoint: give --listen once for each".to_owned());
    }
    match text.parse::<Endpoint>() {
        Ok(endpoint) if endpoint.scheme() == "ws" => {
            Err("listen on tcp://HOST:PORT: it takes WebSockets, too".to_owned())
        }
        Ok(endpoint) if endpoint.scheme() == "wss" => {
            Err("listen on tls://HOST:PORT: it takes WebSockets, too".to_owned())
        }
        Ok(endpoint) if endpoint.scheme() == "unix" && !endpoint.address().starts_with('/') => Err(format!(
            "listen on unix:///PATH, with a path from the root on: {endpoint} would be a file in the directory that the \
             command happens to run in"
        )),
        _ => of_schemes(text, &SCHEMES),
    }
}

/// The schemes of endpoints that may take WebSockets: what a socket is that is handed over shows
/// when it is taken.
const WEB: [&str; 4] = ["tcp", "tls", "fd", "tls+fd"];
const WEB_RULE: &str = "WebSockets are taken at tcp:// and tls://; listen there, or leave it out";

/// When silent WebSocket peers are pinged, if not as by default.
pub(crate) fn ping_settings(given: Keepalive, endpoints: &[Endpoint]) -> Result<Option<Keepalive>, Failure> {
    ws_ping(given, endpoints, &WEB, WEB_RULE)
}

/// Refuses origins of web pages where none can connect.
pub(crate) fn check_origins(origins: &[String], endpoints: &[Endpoint]) -> Result<(), Failure> {
    if origins.is_empty() { Ok(()) } else { has_meaning("--allow-origin", endpoints, &WEB, WEB_RULE) }
}

/// Who may connect to the Unix sockets of a node that listens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Unix sockets of --listen")]
pub(crate) struct Sockets {
    /// Permissions of the socket, as chmod takes them: with 660 its owner and its group may
    /// connect. Default: as the umask has it
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<u32>,
    /// Group of the socket: a name, or a number. Default: that of the process
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

/// Whoever may write to a socket may connect.
const WRITE: u32 = 0o2;

fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    // Rust also reads a sign, which to chmod would add permissions to those that there are.
    let number = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| u32::from_str_radix(digits, 8));
    let Some(Ok(mode @ 1..=0o777)) = number else {
        return Err("three digits from 0 to 7 are expected, as in 660".to_owned());
    };
    // So are octal numbers that something on the way made decimal: 432 was 0660.
    if mode >> 6 & WRITE == 0 {
        return Err("with it the owner may not connect: three octal digits are expected, as in 660".to_owned());
    }
    Ok(mode)
}

impl Sockets {
    /// The mode, and the number of the group.
    pub(crate) fn settings(&self, endpoints: &[Endpoint]) -> Result<(Option<u32>, Option<u32>), Failure> {
        let are_given = self.mode.is_some() || self.group.is_some();
        if are_given && !endpoints.iter().any(|endpoint| endpoint.scheme() == "unix") {
            return Err(Failure::Usage(
                "--mode and --group are those of a Unix socket, and there is no --listen unix:///PATH: add one, or leave them \
                 out"
                    .to_owned(),
            ));
        }
        Ok((self.mode, self.group.as_deref().map(group).transpose()?))
    }
}

fn group(text: &str) -> Result<u32, Failure> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Failure::Usage(format!("there is no group {text}: `getent group` lists those there are"))),
        Err(error) => Err(Failure::Usage(format!("the group {text} cannot be looked up: {error}"))),
    }
}

/// What is known of the files of a node's sockets.
#[derive(Clone, Default)]
pub(crate) struct LostSockets(Arc<Mutex<Vec<String>>>);

impl LostSockets {
    /// Whether all that there were are there.
    pub(crate) fn check(&self) -> Result<(), String> {
        let lost = self.0.lock();
        if lost.is_empty() {
            return Ok(());
        }
        Err(format!("nobody can connect to {}: the file of the socket was removed or replaced", lost.join(", ")))
    }
}

/// Looks whether the sockets are where they were made, and says when one is not: nobody can connect
/// by it any more. To be given up when the node stops, which removes them.
pub(crate) fn watch_sockets(endpoints: &[Endpoint], found: LostSockets) -> impl Future<Output = ()> + 'static {
    let sockets = endpoints.iter().filter(|at| at.scheme() == "unix").cloned().map(Socket::new);
    let mut sockets: Vec<_> = sockets.collect();
    async move {
        while !sockets.is_empty() {
            tokio::time::sleep(SOCKET_POLL).await;
            let looked_at = sockets.clone();
            // When the system gives no thread for this look, the next one is soon enough.
            let Ok(looked) = blocking::run(move || looked_at.iter().map(Socket::is_lost).collect::<Vec<_>>()).await
            else {
                continue;
            };
            sockets.iter_mut().zip(looked).for_each(|(socket, is_lost)| socket.note(is_lost));
            let lost = sockets.iter().filter(|socket| socket.is_lost).map(|socket| socket.at.to_string());
            *found.0.lock() = lost.collect();
        }
    }
}

/// The file of a Unix socket.
#[derive(Clone)]
struct Socket {
    at: Endpoint,
    /// Device and number. `None`: it could not be looked at.
    file: Option<(u64, u64)>,
    is_lost: bool,
}

impl Socket {
    fn new(at: Endpoint) -> Self {
        Self { file: file_at(&at), at, is_lost: false }
    }

    fn is_lost(&self) -> bool {
        self.file.is_some() && file_at(&self.at) != self.file
    }

    fn note(&mut self, is_lost: bool) {
        let was_lost = std::mem::replace(&mut self.is_lost, is_lost);
        if is_lost && !was_lost {
            tracing::error!(
                endpoint = %self.at,
                "the file of the socket was removed or replaced, so nobody can connect by it any more: start this node \
                 again, and find who removed it"
            );
        }
    }
}

fn file_at(at: &Endpoint) -> Option<(u64, u64)> {
    fs::symlink_metadata(at.address()).ok().map(|file| (file.dev(), file.ino()))
}

/// How a node that stops treats what is open.
#[derive(Debug, Args)]
pub(crate) struct Stopping {
    /// How long stopping waits for the answers to open calls; what takes longer is cut off
    #[arg(long, value_name = "TIME", default_value_t = Seconds(NodeConfig::server().grace))]
    pub(crate) grace: Seconds,
}

/// Tells where a node listens, and where it tells what it does: the answer of a command that starts
/// one.
pub(crate) fn announce(endpoints: &[Endpoint], admin: Option<&Admin>) -> Result<(), Failure> {
    let admin = admin.map(|admin| format!("http://{}", admin.local_addr()));
    let lines = endpoints.iter().map(ToString::to_string).chain(admin).collect();
    output::announce(lines)
        .map_err(|error| Failure::Failed(format!("no thread can be started: {error}{}", lack(&error))))
}

/// Waits until a node has ended, whose supervisor is told that it is ready; meanwhile `signals` are
/// obeyed. A signal that came before it listened for signals itself stops it all the same. `why`
/// tells of a client what its last attempt to connect failed by.
pub(crate) async fn until_ended(
    interrupts: &Interrupts,
    join: impl Future<Output = io::Result<Ended>>,
    stop: impl Future<Output = ()>,
    (name, why): (&str, impl Fn() -> Option<Arc<str>>),
    signals: impl Future<Output = Infallible>,
) -> Result<(), Failure> {
    interrupts.be_patient();
    supervisor::tell(News::Ready);
    tokio::spawn(supervisor::keep_telling());
    let stopping = async {
        interrupts.await_signal().await;
        tokio::select! {
            () = stop => {}
            never = supervisor::keep_stopping() => match never {},
        }
        // The other side of the `select!` tells how it ended.
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        how = join => match how {
            Ok(how) => of_end(how, name, why().as_deref()).map_or(Ok(()), Err),
            Err(error) => Err(unheard(&error)),
        },
        never = stopping => match never {},
        never = signals => match never {},
    }
}

/// Logs who joins and leaves.
pub(crate) async fn log_members(mut events: impl Stream<Item = MemberEvent> + Unpin) {
    while let Some(event) = events.next().await {
        let node = event.member();
        match event {
            MemberEvent::Added(_) => tracing::info!(node, "joined"),
            MemberEvent::Removed(_) => tracing::info!(node, "left"),
            MemberEvent::Evicted(_) => tracing::info!(node, "evicted by a newer connection of its name"),
            _ => tracing::info!(node, "changed"),
        }
    }
}

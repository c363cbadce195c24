//! What nodes that listen have in common.

use std::{io, path::PathBuf};

use clap::Args;
use daffi::{Ended, MemberEvent, ServerTls, transport::Endpoint};
use futures::{Stream, StreamExt};

use crate::{
    connection::{of_schemes, sentence},
    failure::Failure,
    interrupts::Interrupts,
    output,
};

/// Certificates of a node that listens.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS of --listen")]
pub(crate) struct Certificates {
    /// Certificate, a PEM file, with intermediate ones behind it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let only clients in that show a certificate of the authorities in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
}

impl Certificates {
    /// Whether there are any.
    pub(crate) const fn are_given(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// `None`: none were given.
    pub(crate) fn settings(&self, endpoints: &[Endpoint]) -> Result<Option<ServerTls>, Failure> {
        let encrypted = endpoints.iter().find(|endpoint| matches!(endpoint.scheme(), "tls" | "tls+fd"));
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return match encrypted {
                Some(endpoint) => Err(Failure::Usage(format!("{endpoint} needs --tls-cert FILE and --tls-key FILE"))),
                None => Ok(None),
            };
        };
        if encrypted.is_none() {
            return Err(Failure::Usage("a certificate is given, but no --listen tls://HOST:PORT to use it".to_owned()));
        }
        let tls = ServerTls::from_files(certificate, key);
        let tls = match &self.client_ca {
            Some(file) => tls.and_then(|tls| tls.client_ca_file(file)),
            None => tls,
        };
        tls.map(Some).map_err(|error| Failure::Usage(sentence(&error)))
    }
}

/// Where a node can listen.
const SCHEMES: [&str; 5] = ["tcp", "tls", "unix", "fd", "tls+fd"];

/// An endpoint that a node can listen at.
pub(crate) fn listening(text: &str) -> Result<Endpoint, String> {
    of_schemes(text, &SCHEMES)
}

/// Tells where a node listens: the answer of a command that starts one.
pub(crate) fn announce(endpoints: &[Endpoint]) -> Result<(), Failure> {
    let lines = endpoints.iter().map(ToString::to_string).collect();
    output::announce(lines).map_err(|error| Failure::Failed(format!("no thread can be started: {error}")))
}

/// Waits until a node has ended. A signal that came before it listened for signals itself stops it all the same.
pub(crate) async fn until_ended(
    interrupts: &Interrupts,
    join: impl Future<Output = io::Result<Ended>>,
    stop: impl Future<Output = ()>,
    name: &str,
) -> Result<(), Failure> {
    interrupts.be_patient();
    let stopped = async {
        interrupts.asked().await;
        stop.await;
        Ok(Ended::Stopped)
    };
    let how = tokio::select! {
        how = join => how,
        how = stopped => how,
    };
    ended(how, name)
}

/// Logs who joins and leaves.
pub(crate) async fn log_members(mut events: impl Stream<Item = MemberEvent> + Unpin) {
    while let Some(event) = events.next().await {
        let what = match event {
            MemberEvent::Added(_) => "joined",
            MemberEvent::Removed(_) => "left",
            MemberEvent::Evicted(_) => "evicted by a newer connection of its name",
            _ => "changed",
        };
        tracing::info!(node = event.member(), "{what}");
    }
}

/// How a node's end is told.
fn ended(how: io::Result<Ended>, name: &str) -> Result<(), Failure> {
    match how {
        Ok(Ended::Evicted) => {
            Err(Failure::NoConnection(format!("a newer connection took the name {name}: choose another --name")))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Failed(format!("signals cannot be listened for: {error}"))),
    }
}

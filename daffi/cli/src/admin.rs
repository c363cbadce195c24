//! `--admin`: what a node does, over HTTP.

use std::{fs, path::PathBuf};

use clap::Args;
use daffi_admin::{Admin, AdminBuilder, AdminError};

use crate::failure::{Failure, with_causes};

/// Where a node tells over HTTP what it does.
#[derive(Debug, Args)]
#[command(next_help_heading = "Watching")]
pub(crate) struct Watching {
    /// Tell over HTTP what the node does: a live page at /, Prometheus metrics at /metrics, JSON at
    /// /api/node, health at /livez and /readyz. The address is printed behind the endpoints
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Take such requests to this host, too, as those through a proxy; may be repeated. Without it
    /// they must name the address that they came to, or localhost
    #[arg(long = "admin-host", value_name = "NAME")]
    admin_hosts: Vec<String>,
    /// Demand the token in this file, of at least 16 letters, as Authorization: Bearer TOKEN.
    /// Needed where others than this machine reach --admin
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

impl Watching {
    /// For a node that has nothing of its own to tell.
    pub(crate) fn refuse(&self) -> Result<(), Failure> {
        match self.admin {
            Some(_) => {
                Err(Failure::Usage("--admin belongs to --listen; the router of --connect has its own".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// Begins to tell, if it is wanted: the address, and what tells until it is dropped.
    pub(crate) async fn begin(&self, of_node: impl FnOnce() -> AdminBuilder) -> Result<Option<Admin>, Failure> {
        let Some(address) = &self.admin else {
            let is_useless = !self.admin_hosts.is_empty() || self.admin_token_file.is_some();
            let useless = "--admin-host and --admin-token-file belong to --admin HOST:PORT".to_owned();
            return if is_useless { Err(Failure::Usage(useless)) } else { Ok(None) };
        };
        let builder = self.admin_hosts.iter().fold(of_node(), |builder, host| builder.host(host));
        let builder = match &self.admin_token_file {
            Some(file) => builder.token(token(file)?),
            None => builder,
        };
        builder.bind(address).await.map(Some).map_err(|error| match error {
            AdminError::NoToken { address } => Failure::Usage(format!(
                "--admin {address} is reached by others than this machine: --admin-token-file FILE keeps them out"
            )),
            AdminError::Bind { .. } => Failure::NotListening(format!("--admin: {}", with_causes(&error))),
            error => Failure::Usage(format!("--admin-token-file: {error}")),
        })
    }
}

fn token(file: &PathBuf) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!("--admin-token-file {}: the file cannot be read: {error}", file.display()))
    })?;
    Ok(text.trim().to_owned())
}

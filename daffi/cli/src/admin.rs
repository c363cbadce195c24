//! `--admin`: what a node does, over HTTP.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use daffi::transport::advice_to_listen;
use daffi_admin::{Admin, AdminBuilder, AdminError};

use crate::failure::{Failure, lack, not_read, with_causes};

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
    #[arg(long = "admin-host", value_name = "NAME", value_parser = host)]
    admin_hosts: Vec<String>,
    /// Demand the token in this file, of at least 16 letters, as Authorization: Bearer TOKEN.
    /// Needed where others than this machine reach --admin
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

fn host(text: &str) -> Result<String, String> {
    Admin::check_host(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl Watching {
    /// The token that is demanded, as its file has it now.
    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.admin_token_file else { return Ok(None) };
        let token = token(file)?;
        Admin::check_token(&token).map_err(failure)?;
        Ok(Some(token))
    }

    /// For a node that has nothing of its own to tell.
    pub(crate) fn refuse(&self) -> Result<(), Failure> {
        if self.admin.is_none() && !self.has_idle_options() {
            return Ok(());
        }
        Err(Failure::Usage(
            "--admin, --admin-host and --admin-token-file belong to --listen; the router of --connect has its own"
                .to_owned(),
        ))
    }

    /// Whether what belongs to an address is given, and no address.
    const fn has_idle_options(&self) -> bool {
        self.admin.is_none() && (!self.admin_hosts.is_empty() || self.admin_token_file.is_some())
    }

    /// What is wanted: where, and the token.
    fn settings(&self) -> Result<Option<(&str, Option<String>)>, Failure> {
        if self.has_idle_options() {
            let useless = "--admin-host and --admin-token-file belong to --admin HOST:PORT";
            return Err(Failure::Usage(useless.to_owned()));
        }
        let Some(address) = &self.admin else { return Ok(None) };
        Ok(Some((address, self.admin_token_file.as_deref().map(token).transpose()?)))
    }

    /// Whether a node could begin to tell, as far as can be told without listening.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        match self.settings()? {
            Some((address, token)) => Admin::check(address, token.as_deref()).await.map_err(failure),
            None => Ok(()),
        }
    }

    /// Begins to tell, if it is wanted: the address, and what tells until it is dropped.
    pub(crate) async fn begin(&self, of_node: impl FnOnce() -> AdminBuilder) -> Result<Option<Admin>, Failure> {
        let Some((address, token)) = self.settings()? else { return Ok(None) };
        let builder = self.admin_hosts.iter().fold(of_node(), |builder, host| builder.host(host));
        let builder = token.into_iter().fold(builder, |builder, token| builder.token(token));
        builder.bind(address).await.map(Some).map_err(failure)
    }
}

fn failure(error: AdminError) -> Failure {
    match error {
        AdminError::NoToken { address } => Failure::Usage(format!(
            "--admin {address} is reached by others than this machine: --admin-token-file FILE keeps them out"
        )),
        AdminError::Bind { ref address, ref source } if source.kind() == io::ErrorKind::InvalidInput => {
            Failure::Usage(format!("--admin {address}: write HOST:PORT, as in 127.0.0.1:9090"))
        }
        AdminError::Bind { ref source, .. } => Failure::NotListening(format!(
            "--admin: {}{}{}",
            with_causes(&error),
            advice_to_listen(source).map_or_else(String::new, |advice| format!("; {advice}")),
            lack(source)
        )),
        error => Failure::Usage(format!("--admin-token-file: {error}")),
    }
}

fn token(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!("--admin-token-file {}: the file {}", file.display(), not_read(&error)))
    })?;
    Ok(text.trim().to_owned())
}

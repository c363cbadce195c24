use std::{net::TcpListener, time::Duration};

use daffi_testing::{Certificate, SocketPath};
use libtest_mimic::Failed;

use crate::{catalogue::Source, program::Program};

/// A service, or a router, that listens.
pub(crate) struct Server {
    pub(crate) program: Program,
    /// What it prints, after its first line, while one client comes and goes.
    pub(crate) prints: Vec<String>,
    pub(crate) client_options: Vec<String>,
    _socket: SocketPath,
}

/// Attempts to find a free port for a server that can't ask for one.
const ATTEMPTS: usize = 5;

impl Server {
    pub(crate) fn start(name: &str, source: Source) -> Result<Self, Failed> {
        let prints = match name {
            "events_service" => &["added: watcher", "added: visitor", "removed: visitor", "removed: watcher"][..],
            _ => &[],
        };
        let (scheme, options, mut client_options) = match name {
            "tls_service" => {
                let Certificate { certificate, key, authority } = Certificate::localhost();
                let options = [option("--cert", certificate.display()), option("--key", key.display())].concat();
                ("tls", options, option("--ca", authority.display()).into())
            }
            "unix_service" => ("unix", vec![], vec![]),
            _ => ("tcp", vec![], vec![]),
        };

        let socket = SocketPath::new();
        let mut attempts = 0;
        loop {
            let asked = match (scheme, source) {
                ("unix", _) => socket.endpoint(),
                (_, Source::Rust) => format!("{scheme}://127.0.0.1:0"),
                // A server of 3.0.1 does not say which port it got. One that is free now may be
                // taken by then.
                (_, Source::Python) => format!("{scheme}://127.0.0.1:{}", free_port()?),
            };
            let program = Program::start(name, source, &[&option("--listen", asked)[..], &options].concat())?;
            let first = program.lines(1, Duration::from_secs(60));
            if let Some(address) = first.first().and_then(|line| line.strip_prefix("listening on ")) {
                client_options.extend(option("--connect", address));
                let prints = prints.iter().map(ToString::to_string).collect();
                return Ok(Self { program, prints, client_options, _socket: socket });
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(program.failure("does not listen"));
            }
        }
    }
}

pub(crate) fn option(name: &str, value: impl ToString) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

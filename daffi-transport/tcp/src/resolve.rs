//! Finds the addresses that an endpoint stands for.

use std::{io, net::SocketAddr};

use daffi_transport::{Endpoint, EndpointError};

/// Why an endpoint has no address.
pub(crate) enum ResolveError {
    Endpoint(EndpointError),
    /// The error names the host.
    Host(io::Error),
}

impl From<EndpointError> for ResolveError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

/// All addresses, in the resolver's order. There is always one. Literal addresses are not looked
/// up.
pub(crate) async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ResolveError> {
    let (host, port) = endpoint.host_port()?;
    let named = |kind, why: &str| {
        ResolveError::Host(io::Error::new(
            kind,
            format!("the host name {host:?} cannot be resolved: {why}; is it written correctly?"),
        ))
    };
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => {
            let addresses: Vec<SocketAddr> = found.collect();
            if addresses.is_empty() {
                Err(named(io::ErrorKind::HostUnreachable, "it has no address"))
            } else {
                Ok(addresses)
            }
        }
        Err(error) => Err(named(error.kind(), &error.to_string())),
    }
}

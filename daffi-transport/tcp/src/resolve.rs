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
    let zoned = with_zone(host);
    match tokio::net::lookup_host((zoned.as_deref().unwrap_or(host), port)).await {
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

/// An IPv6 address with a zone as URLs have it, `fe80::1%25eth0`, as the resolver takes it. `None`:
/// it is as it should be.
fn with_zone(host: &str) -> Option<String> {
    (host.contains(':') && host.contains("%25")).then(|| host.replacen("%25", "%", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_taken_as_urls_have_it_and_as_people_write_it() {
        assert_eq!(with_zone("fe80::1%25eth0").as_deref(), Some("fe80::1%eth0"));
        for other in ["fe80::1%eth0", "::1", "host%25name"] {
            assert_eq!(with_zone(other), None, "{other}");
        }
    }
}

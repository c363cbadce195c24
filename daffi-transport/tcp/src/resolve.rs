//! Finds the addresses that an endpoint stands for.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
};

use daffi_transport::{Endpoint, EndpointError, blocking};

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
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let searched = (with_zone(host).unwrap_or_else(|| host.to_owned()), port);
    // The resolver of the system blocks.
    let found = blocking::run(move || searched.to_socket_addrs().map(Vec::from_iter));
    match found.await.and_then(|found| found) {
        Ok(addresses) if addresses.is_empty() => Err(named(io::ErrorKind::HostUnreachable, "it has no address")),
        Ok(addresses) => Ok(addresses),
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

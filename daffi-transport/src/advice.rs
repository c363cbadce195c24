//! What to do about an error of the system.

use std::{error::Error, fmt, io, io::ErrorKind};

/// What the system said of each of several addresses, none of which could be connected to.
#[derive(Debug)]
pub struct AllRefused(pub String);

impl fmt::Display for AllRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AllRefused {}

/// What to do where nobody could be connected to for this, behind the error's own words. Errors in
/// words of a transport, and not of the system, say it themselves.
pub(crate) fn to_connect(cause: &(dyn Error + 'static)) -> &'static str {
    let is_of_system = |error: &&io::Error| error.get_ref().is_none_or(|own| own.is::<AllRefused>());
    match of_system(cause).filter(is_of_system).map(io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => "; nobody listens there: check the address, or start a node there",
        Some(ErrorKind::NotFound) => "; there is no such socket: check the path, or start a node there",
        Some(ErrorKind::PermissionDenied) => "; it belongs to another user: check its permissions",
        Some(ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable) => {
            "; no way leads there from here: check the address, and this machine's routes and firewall"
        }
        _ => "",
    }
}

/// What to do where it could not be listened for this, behind the error's own words. Errors in
/// words of a transport, and not of the system, say it themselves.
#[must_use]
pub fn advice_to_listen(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse if error.get_ref().is_none() => {
            "; another program listens there, or another endpoint of this one ([::] takes IPv4, too): stop it, or choose \
             another address"
        }
        ErrorKind::AddrNotAvailable => "; this machine has no such address: 0.0.0.0 or [::] listens on all that it has",
        ErrorKind::NotFound => "; there is no such directory: make it, or choose another path",
        ErrorKind::PermissionDenied if error.get_ref().is_none() => {
            "; this user may not listen there: choose a port above 1023, or a directory that it can write to"
        }
        _ => "",
    }
}

/// The system's error, if it is one or is behind one.
fn of_system<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    match error.downcast_ref() {
        Some(io) => Some(io),
        None => of_system(error.source()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BindError, ConnectError, Endpoint, Phase};

    #[test]
    fn what_the_system_refuses_says_what_to_do() {
        let at: Endpoint = "tcp://127.0.0.1:5000".parse().unwrap();
        let connecting = |kind: ErrorKind, phase| ConnectError::failed(&at, phase, io::Error::from(kind)).to_string();
        for (kind, advice) in [
            (ErrorKind::ConnectionRefused, "nobody listens there: check the address, or start a node there"),
            (ErrorKind::NotFound, "there is no such socket: check the path"),
            (ErrorKind::PermissionDenied, "check its permissions"),
            (ErrorKind::HostUnreachable, "check the address, and this machine's routes"),
        ] {
            let said = connecting(kind, Phase::Connect);
            assert!(said.starts_with("cannot connect to tcp://127.0.0.1:5000: ") && said.contains(advice), "{said}");
            assert!(!connecting(kind, Phase::Resolve).contains(advice), "a host name has no permissions");
        }
        assert!(connecting(ErrorKind::ConnectionReset, Phase::Connect).ends_with("connection reset"));
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let in_use = std::net::TcpListener::bind(taken.local_addr().unwrap()).unwrap_err();
        let no_directory = io::Error::from(ErrorKind::NotFound);
        let own = io::Error::new(ErrorKind::AddrInUse, "a process listens at the path already");
        for (source, ending) in [
            (in_use, "stop it, or choose another address"),
            (no_directory, "make it, or choose another path"),
            (own, "a process listens at the path already"),
        ] {
            let said = BindError::Io { endpoint: at.clone(), source }.to_string();
            assert!(said.ends_with(ending), "{said}");
        }
    }
}

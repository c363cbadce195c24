//! What to do about an error of the system.

use std::{error::Error, fmt, io, io::ErrorKind};

use crate::{ConnectError, Phase};

/// What the system said of each of several addresses, none of which could be connected to.
#[derive(Debug)]
pub struct AllRefused(pub String);

impl fmt::Display for AllRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AllRefused {}

/// Why the system let nobody be connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unreached {
    NobodyListens,
    NoSocket,
    NotAllowed,
    NoWay,
}

impl Unreached {
    /// The reason behind this cause. Errors in words of a transport, and not of the system, say
    /// themselves what to do.
    pub(crate) fn of(phase: Phase, cause: &(dyn Error + 'static)) -> Option<Self> {
        let is_of_system = |error: &&io::Error| error.get_ref().is_none_or(|own| own.is::<AllRefused>());
        // A host name has no permissions.
        let cause = of_system(cause).filter(is_of_system).filter(|_| phase == Phase::Connect)?;
        match cause.kind() {
            ErrorKind::ConnectionRefused => Some(Self::NobodyListens),
            ErrorKind::NotFound => Some(Self::NoSocket),
            ErrorKind::PermissionDenied => Some(Self::NotAllowed),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Some(Self::NoWay),
            _ => None,
        }
    }

    /// What to do.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::NobodyListens => "nobody listens there: check the address, or start a node there",
            Self::NoSocket => "there is no such socket: check the path, or start a node there",
            Self::NotAllowed => "it belongs to another user: check its permissions",
            Self::NoWay => "no way leads there from here: check the address, and this machine's routes and firewall",
        }
    }
}

impl ConnectError {
    /// Whether the system says that nobody is there: a node that is started at the address helps,
    /// which the error says last.
    #[must_use]
    pub fn is_nobody_there(&self) -> bool {
        let Self::Failed { phase, source, .. } = self else { return false };
        matches!(Unreached::of(*phase, &**source), Some(Unreached::NobodyListens | Unreached::NoSocket))
    }
}

/// What to do where it could not be listened for this, a sentence of its own beside the error's
/// words. Errors in words of a transport, and not of the system, say it themselves.
#[must_use]
pub fn advice_to_listen(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::AddrInUse if error.get_ref().is_none() => Some(
            "another program listens there, or another endpoint of this one ([::] takes IPv4, too): stop it, or choose \
             another address",
        ),
        ErrorKind::AddrNotAvailable => {
            Some("this machine has no such address: 0.0.0.0 or [::] listens on all that it has")
        }
        ErrorKind::NotFound => Some("there is no such directory: make it, or choose another path"),
        ErrorKind::PermissionDenied if error.get_ref().is_none() => {
            Some("this user may not listen there: choose a port above 1023, or a directory that it can write to")
        }
        _ => None,
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
    use crate::{BindError, Endpoint};

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
        let is_nobody_there =
            |kind: ErrorKind, phase| ConnectError::failed(&at, phase, io::Error::from(kind)).is_nobody_there();
        assert!(is_nobody_there(ErrorKind::ConnectionRefused, Phase::Connect));
        assert!(!is_nobody_there(ErrorKind::HostUnreachable, Phase::Connect));
        assert!(!is_nobody_there(ErrorKind::NotFound, Phase::Resolve));
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

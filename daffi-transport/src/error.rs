use std::{error::Error as StdError, fmt, io, sync::Arc};

use daffi_wire::{DecodeError, Foreign, Shown};

use crate::{
    Endpoint, EndpointError,
    advice::{Unreached, advice_to_listen},
};

/// Why an established link ended. It is cheap to clone, because it goes to everybody who waits on
/// the link.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The operating system, or the byte stream below, failed.
    #[error(transparent)]
    Io(Arc<io::Error>),
    /// The peer's bytes break a rule of the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(DecodeError),
    /// The peer answers in another protocol.
    #[error("{0}")]
    Foreign(Foreign),
    /// The peer broke a rule of the transport, WebSocket's for one.
    #[error("the peer broke a rule of {transport}: {rule}")]
    Transport {
        /// The transport's name.
        transport: &'static str,
        /// The rule.
        rule: String,
    },
    /// The peer closed a message transport in order, and takes nothing any more: what was still to
    /// be sent is lost.
    #[error("the peer closed the connection")]
    Ended,
    /// The peer ended a message transport with a code that means trouble.
    #[error("the peer closed the {transport} with code {code}, reason \"{}\"", Shown::new(reason))]
    Closed {
        /// The transport's name.
        transport: &'static str,
        /// The transport's code.
        code: u16,
        /// What the peer says of it.
        reason: String,
    },
}

impl From<DecodeError> for LinkError {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error)
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// How far an attempt to connect or to accept came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Finding the address of a host name.
    Resolve,
    /// Connecting.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The first bytes, or the WebSocket upgrade.
    Opening,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolving the host name",
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
            Self::Opening => "the opening bytes",
        })
    }
}

/// Why no link came about, on the connecting side.
///
/// `Display` is the whole sentence, the cause's words included; `source` gives what is behind the
/// cause, which itself is a field: that of the system can be downcast to [`io::Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint can't be used.
    Endpoint(EndpointError),
    /// The transport's settings are unusable, the platform's certificates for one.
    Settings {
        /// Where to.
        endpoint: Endpoint,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A phase failed.
    Failed {
        /// Where to.
        endpoint: Endpoint,
        /// What failed.
        phase: Phase,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Settings { endpoint, source } => write!(f, "cannot connect to {endpoint}: {source}"),
            Self::Failed { endpoint, phase, source } => {
                write!(f, "{}: {source}", what_failed(*phase, endpoint))?;
                let reason = Unreached::of(*phase, &**source);
                reason.map_or(Ok(()), |reason| write!(f, "; {}", reason.advice()))
            }
        }
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Endpoint(error) => error.source(),
            Self::Settings { source, .. } | Self::Failed { source, .. } => source.source(),
        }
    }
}

impl From<EndpointError> for ConnectError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl ConnectError {
    /// A phase that failed.
    pub fn failed(endpoint: &Endpoint, phase: Phase, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed { endpoint: endpoint.clone(), phase, source: source.into() }
    }

    /// Whether the same attempt may work later: the host is found, somebody listens there or shows
    /// another certificate. What is wrong with the endpoint or the settings stays wrong.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Endpoint(_) | Self::Settings { .. } => false,
            Self::Failed { source, .. } => !source.downcast_ref().is_some_and(is_invalid),
        }
    }

    /// The same error, with the endpoint that the user wrote in place of that of the transport
    /// below.
    #[must_use]
    pub fn of(self, endpoint: &Endpoint) -> Self {
        match self {
            Self::Endpoint(EndpointError { rule, .. }) => EndpointError::new(endpoint, rule).into(),
            Self::Settings { source, .. } => Self::Settings { endpoint: endpoint.clone(), source },
            Self::Failed { phase, source, .. } => Self::Failed { endpoint: endpoint.clone(), phase, source },
        }
    }
}

/// What the system will never take: the path of a socket that is too long for one.
fn is_invalid(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

fn what_failed(phase: Phase, endpoint: &Endpoint) -> String {
    match phase {
        Phase::Resolve => format!("cannot find the host of {endpoint}"),
        Phase::Connect => format!("cannot connect to {endpoint}"),
        Phase::Tls => format!("the TLS handshake with {endpoint} failed"),
        Phase::Opening => format!("cannot open a connection to {endpoint}"),
    }
}

/// Why an accepted connection did not become a link.
///
/// `Display` is the whole sentence, and `source` gives what is behind the cause.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// The peer closed, or the connection broke, during a phase.
    Failed {
        /// What failed.
        phase: Phase,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The peer closed before it said anything: one that only looks whether somebody listens, as
    /// load balancers do.
    Silent,
    /// The peer speaks another protocol.
    Foreign(Foreign),
    /// The peer's HTTP request was answered with an error.
    HttpRefused {
        /// The status, as in `403 Forbidden`.
        status: &'static str,
        /// The sentence in the answer.
        reason: String,
    },
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { phase, source } => write!(f, "{phase} failed: {source}"),
            Self::Silent => f.write_str("the peer closed without a word"),
            Self::Foreign(foreign) => foreign.fmt(f),
            Self::HttpRefused { status, reason } => {
                write!(f, "the HTTP request was answered with \"{status}\": {}", Shown::new(reason))
            }
        }
    }
}

impl StdError for AcceptError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed { source, .. } => source.source(),
            Self::Silent | Self::Foreign(_) | Self::HttpRefused { .. } => None,
        }
    }
}

impl AcceptError {
    /// A phase that failed.
    pub fn failed(phase: Phase, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed { phase, source: source.into() }
    }
}

/// Why a node can't listen.
///
/// `Display` is the whole sentence, the cause's words included; `source` gives what is behind the
/// cause, which itself is a field.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The endpoint can't be used.
    Endpoint(EndpointError),
    /// The operating system refused.
    Io {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The transport's settings are unusable, a certificate for one.
    Settings {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Io { endpoint, source } => {
                write!(f, "cannot listen on {endpoint}: {source}")?;
                advice_to_listen(source).map_or(Ok(()), |advice| write!(f, "; {advice}"))
            }
            Self::Settings { endpoint, source } => write!(f, "cannot listen on {endpoint}: {source}"),
        }
    }
}

impl StdError for BindError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Endpoint(error) => error.source(),
            Self::Io { source, .. } => source.source(),
            Self::Settings { source, .. } => source.source(),
        }
    }
}

impl From<EndpointError> for BindError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl BindError {
    /// Whether the same attempt may work later: the address is free or there by then. What is wrong
    /// with the endpoint or the settings stays wrong.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Endpoint(_) | Self::Settings { .. } => false,
            Self::Io { source, .. } => !is_invalid(source),
        }
    }
}

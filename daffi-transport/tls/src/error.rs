//! What can be wrong with settings, and with a handshake.

use std::{error::Error as StdError, fmt, io};

use daffi_wire::Shown;
use rustls::{AlertDescription, Error, InvalidMessage};

use crate::reason::{openssl_command, reason};

/// The schemes of who does not speak TLS.
const PLAIN: &str = "tcp:// in place of tls://, and ws:// in place of wss://";

type TlsCause = Box<dyn StdError + Send + Sync>;

/// Why certificates or keys can't be used.
///
/// `file` is what was read, as in `certificate file "server.pem"`. `Display` is the whole sentence,
/// the cause's words included; `source` gives what is behind the cause, which itself is a field.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettingsError {
    /// A path is empty. No check is skipped for that.
    EmptyPath {
        /// What it is the path of.
        file: &'static str,
    },
    /// A file can't be read.
    Read {
        /// Which.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM.
    Pem {
        /// Which.
        file: String,
        /// Where it breaks the rules.
        source: TlsCause,
    },
    /// A file does not hold what it is for.
    Missing {
        /// Which.
        file: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A file to pin holds several certificates.
    Several {
        /// Which.
        file: String,
        /// How many.
        count: usize,
    },
    /// A certificate or key can't be used.
    Unusable {
        /// Which.
        file: String,
        /// Why.
        source: TlsCause,
    },
    /// A key belongs to another certificate.
    Mismatch {
        /// The certificate.
        certificate: String,
        /// The key.
        key: String,
    },
    /// The platform has no list of authorities.
    Platform {
        /// Why.
        source: TlsCause,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPath { file } => write!(f, "the path of the {file} is empty"),
            Self::Read { file, source } => write!(f, "cannot read the {file}: {source}"),
            Self::Pem { file, source } => write!(f, "the {file} is damaged: {source}"),
            Self::Missing { file, wanted } => write!(f, "the {file} holds no {wanted} in PEM form"),
            Self::Several { file, count } => {
                write!(f, "the {file} holds {count} certificates, and only one can be pinned")
            }
            Self::Unusable { file, source } => write!(f, "the {file} cannot be used: {source}"),
            Self::Mismatch { certificate, key } => write!(f, "the {key} does not belong to the {certificate}"),
            Self::Platform { source } => write!(
                f,
                "the platform's certificate authorities cannot be used: {source}; install them (ca-certificates), or name a \
                 CA file"
            ),
        }
    }
}

impl StdError for SettingsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Read { source, .. } => source.source(),
            Self::Pem { source, .. } | Self::Unusable { source, .. } | Self::Platform { source } => source.source(),
            Self::EmptyPath { .. } | Self::Missing { .. } | Self::Several { .. } | Self::Mismatch { .. } => None,
        }
    }
}

/// Why a TLS handshake failed, or an established stream broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's bytes are no TLS.
    #[error("the peer does not speak TLS there: use {PLAIN}, or TLS at both ends")]
    NotTls,
    /// The peer closed before the handshake was over, or reset the connection: it stops, wants
    /// nothing of this client, or does not speak TLS.
    #[error(
        "the peer closed the connection during the handshake: it may be restarting, or refuse this client, which its log \
         says; if the server is plain, without TLS, use {PLAIN}"
    )]
    Closed,
    /// The peer's certificate is not to be trusted.
    #[error("the peer's certificate is refused: {}{}", Shown::new(reason), advice(command.as_deref()))]
    Certificate {
        /// Why, in words.
        reason: String,
        /// The command that makes a certificate a client would accept, with this host in it.
        command: Option<String>,
    },
    /// The peer shows no certificate, and must.
    #[error(
        "the peer shows no certificate, and this listener demands one: give it one that the listener's CA file trusts"
    )]
    NoCertificate,
    /// The peer did not like our certificate, or that there is none.
    #[error("the peer refuses our certificate: {alert}{}", meaning(alert))]
    Refused {
        /// The name of its alert.
        alert: String,
    },
    /// Any other breach of TLS.
    #[error(transparent)]
    Tls(TlsCause),
    /// The connection below failed.
    #[error(transparent)]
    Io(io::Error),
}

fn advice(command: Option<&str>) -> String {
    command.map_or_else(String::new, |command| {
        format!(
            "; if it is self-signed, make a usable one with `{command}` and give the new cert.pem to clients as their CA \
             file"
        )
    })
}

/// The alerts of a peer that does not like a certificate, what they mean, and what to do.
const REFUSALS: [(AlertDescription, &str); 7] = [
    (
        AlertDescription::CertificateRequired,
        ", as it demands one: show one by ClientTls::client_certificate, or --client-cert and --client-key of the command",
    ),
    (
        AlertDescription::UnknownCA,
        ", as it does not trust who issued it: it needs another CA file, or we another certificate",
    ),
    (
        AlertDescription::CertificateUnknown,
        ", which is not what it was told to trust: let it pin or trust this certificate, or use the one that it knows",
    ),
    (
        AlertDescription::BadCertificate,
        ", as something in it is wrong: its own error says what; is it for the name or address that was connected to?",
    ),
    (
        AlertDescription::UnsupportedCertificate,
        ", as it is of a kind that it does not take: make one for this use, without CA:TRUE",
    ),
    (AlertDescription::CertificateRevoked, ", as its issuer has revoked it: make a new one"),
    (AlertDescription::CertificateExpired, ", as it has expired: have it renewed, or set the clock that is wrong"),
];

/// What an alert means, and what to do about it.
fn meaning(alert: &str) -> &'static str {
    REFUSALS.iter().find(|(known, _)| format!("{known:?}") == alert).map_or("", |(_, meaning)| meaning)
}

impl TlsError {
    /// What `error` from the TLS stack says; `host` is what a client tried to reach.
    pub(crate) fn of(error: io::Error, host: Option<&str>) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            // Whoever closes with a part of our first message unread resets the connection.
            let is_closed = match error.kind() {
                io::ErrorKind::UnexpectedEof => true,
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => host.is_some(),
                _ => false,
            };
            return if is_closed { Self::Closed } else { Self::Io(error) };
        };
        match tls {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => Self::NotTls,
            Error::InvalidCertificate(error) => {
                let (reason, remedy) = reason(error);
                Self::Certificate { reason, command: host.filter(|_| remedy).map(openssl_command) }
            }
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) if REFUSALS.iter().any(|(known, _)| known == alert) => {
                Self::Refused { alert: format!("{alert:?}") }
            }
            other => Self::Tls(Box::new(other.clone())),
        }
    }

    /// Names an error of an established stream.
    pub(crate) fn name_error(error: io::Error) -> io::Error {
        let kind = error.kind();
        match Self::of(error, None) {
            Self::Io(error) => error,
            named => io::Error::new(kind, named),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause() -> TlsCause {
        "a cause".into()
    }

    /// Each error with a part of it that says what to do next, or with why it needs none. A variant
    /// without a row does not compile.
    macro_rules! rows {
        ($type:ty: $($variant:pat => $error:expr, $next:expr;)*) => {{
            let row = |error: &$type| match error { $($variant => stringify!($variant)),* };
            vec![$((stringify!($variant), row(&$error), $error.to_string(), $next)),*]
        }};
    }

    #[test]
    fn every_error_says_what_to_do_next_or_needs_not_to() {
        type Next = Result<&'static str, &'static str>;
        let file = || "CA file \"ca.pem\"".to_owned();
        let io = || io::Error::from(io::ErrorKind::NotFound);
        let certificate =
            || TlsError::Certificate { reason: "it has expired".into(), command: Some("openssl ..".into()) };
        let refused = || TlsError::Refused { alert: "CertificateUnknown".into() };
        let handshakes: Vec<(_, _, _, Next)> = rows! { TlsError:
            TlsError::NotTls => TlsError::NotTls, Ok("use tcp:// in place of tls://, and ws:// in place of wss://");
            TlsError::Closed => TlsError::Closed, Ok("it may be restarting, or refuse this client, which its log says; if the server is plain");
            TlsError::Certificate { .. } => certificate(), Ok("make a usable one with");
            TlsError::NoCertificate => TlsError::NoCertificate, Ok("give it one that");
            TlsError::Refused { .. } => refused(), Ok("let it pin or trust this certificate");
            TlsError::Tls(_) => TlsError::Tls(cause()), Err("rustls says it; no person did it");
            TlsError::Io(_) => TlsError::Io(io()), Err("the system says it");
        };
        let settings: Vec<(_, _, _, Next)> = rows! { SettingsError:
            SettingsError::EmptyPath { .. } => SettingsError::EmptyPath { file: "CA file" }, Err("which path it is says where");
            SettingsError::Read { .. } => SettingsError::Read { file: file(), source: io() }, Err("the system says why; the command adds what to do");
            SettingsError::Pem { .. } => SettingsError::Pem { file: file(), source: cause() }, Err("the cause says what is wrong where");
            SettingsError::Missing { .. } => SettingsError::Missing { file: file(), wanted: "certificate" }, Ok("holds no certificate in PEM form");
            SettingsError::Several { .. } => SettingsError::Several { file: file(), count: 2 }, Ok("only one can be pinned");
            SettingsError::Unusable { .. } => SettingsError::Unusable { file: file(), source: cause() }, Err("the cause says why");
            SettingsError::Mismatch { .. } => SettingsError::Mismatch { certificate: file(), key: file() }, Err("the two files are named");
            SettingsError::Platform { .. } => SettingsError::Platform { source: cause() }, Ok("name a CA file");
        };
        for (row, variant, said, next) in handshakes.into_iter().chain(settings) {
            assert_eq!(row, variant);
            match next {
                Ok(words) => assert!(said.contains(words), "{row}: {said}"),
                Err(why_none) => assert!(!why_none.is_empty(), "{row}"),
            }
        }
        for (alert, meaning) in REFUSALS {
            let said = TlsError::Refused { alert: format!("{alert:?}") }.to_string();
            assert!(said.ends_with(meaning) && (meaning.contains(": ")), "{said}");
        }
    }
}

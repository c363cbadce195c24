//! What can be wrong with settings, and with a handshake.

use std::{error::Error as StdError, io};

use daffi_wire::Shown;
use rustls::{AlertDescription, Error, InvalidMessage};

use crate::reason::{openssl_command, reason};

type TlsCause = Box<dyn StdError + Send + Sync>;

/// Why certificates or keys can't be used.
///
/// `file` is what was read, as in `certificate file "server.pem"`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A path is empty. No check is skipped for that.
    #[error("the path of the {file} is empty")]
    EmptyPath {
        /// What it is the path of.
        file: &'static str,
    },
    /// A file can't be read.
    #[error("cannot read the {file}")]
    Read {
        /// Which.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("the {file} is damaged")]
    Pem {
        /// Which.
        file: String,
        /// Where it breaks the rules.
        source: TlsCause,
    },
    /// A file does not hold what it is for.
    #[error("the {file} holds no {wanted} in PEM form")]
    Missing {
        /// Which.
        file: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A file to pin holds several certificates.
    #[error("the {file} holds {count} certificates, and only one can be pinned")]
    Several {
        /// Which.
        file: String,
        /// How many.
        count: usize,
    },
    /// A certificate or key can't be used.
    #[error("the {file} cannot be used")]
    Unusable {
        /// Which.
        file: String,
        /// Why.
        source: TlsCause,
    },
    /// A key belongs to another certificate.
    #[error("the {key} does not belong to the {certificate}")]
    Mismatch {
        /// The certificate.
        certificate: String,
        /// The key.
        key: String,
    },
    /// The platform has no list of authorities.
    #[error("the platform's certificate authorities cannot be used")]
    Platform {
        /// Why.
        source: TlsCause,
    },
}

/// Why a TLS handshake failed, or an established stream broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's bytes are no TLS.
    #[error("the peer does not speak TLS; use tls:// on both sides")]
    NotTls,
    /// The peer closed before the handshake was over, as a server does that does not speak TLS.
    #[error("the peer closed the connection during the handshake; does it speak TLS?")]
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
    #[error("the peer shows no certificate, and this listener demands one")]
    NoCertificate,
    /// The peer did not like our certificate, or that there is none.
    #[error("the peer refuses our certificate: {alert}")]
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
            "; make a usable one with `{command}` and give the new cert.pem to clients as their CA file, or pin the \
             certificate that the server has"
        )
    })
}

impl TlsError {
    /// What `error` from the TLS stack says; `host` is what a client tried to reach.
    pub(crate) fn of(error: io::Error, host: Option<&str>) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Self::Closed } else { Self::Io(error) };
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
            Error::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateRequired),
            ) => Self::Refused { alert: format!("{alert:?}") },
            other => Self::Tls(Box::new(other.clone())),
        }
    }

    /// Names an error of an established stream.
    pub(crate) fn named(error: io::Error) -> io::Error {
        let kind = error.kind();
        match Self::of(error, None) {
            Self::Io(error) => error,
            named => io::Error::new(kind, named),
        }
    }
}

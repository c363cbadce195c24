//! Why a certificate is refused, in words, and what to do about it.

use std::net::IpAddr;

use rustls::CertificateError;

use crate::verify::NotPinned;

/// The command that makes a key and a self-signed certificate that a client accepts for `host`, a
/// name or an IP address, with the certificate itself as its CA file.
///
/// `CA:FALSE`, because no verifier of WebPKI takes the certificate of an authority for that of a
/// server.
///
/// ```
/// use daffi_transport_tls::openssl_command;
/// assert!(openssl_command("calc.local").contains("-addext subjectAltName=DNS:calc.local "));
/// assert!(openssl_command("10.0.0.7").contains("-addext subjectAltName=IP:10.0.0.7 "));
/// ```
#[must_use]
pub fn openssl_command(host: &str) -> String {
    let kind = if host.parse::<IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout key.pem -out cert.pem -subj /CN={host} \
         -addext subjectAltName={kind}:{host} -addext basicConstraints=critical,CA:FALSE"
    )
}

/// The reason, and whether another certificate would help.
pub(crate) fn reason(error: &CertificateError) -> (String, bool) {
    let text = match error {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "it has no subjectAltName, so it says for no host that it is for it: have its authority make one that does, or \
             pin it"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().map(|name| plain(name)).collect();
            let (names, host) = (names.join(", "), expected.to_str());
            format!(
                "it is for {names}, not for {host}; connect by a name that it is for, have its authority make one for {host}, or pin it"
            )
        }
        CertificateError::UnknownIssuer => {
            let text = "its issuer is not among the trusted authorities; trust the CA file of whoever issued it (of a \
                        self-signed certificate that is the certificate itself), by ClientTls::ca_file or --ca of the \
                        command, or pin the certificate";
            return (text.to_owned(), false);
        }
        // What verifiers say where there is an authority of that name, and it signed another one.
        CertificateError::BadSignature => {
            let text = "the trusted authority of its issuer's name did not sign it: one of the two was made anew; trust the \
                        CA file that belongs to it (of a self-signed certificate that is the certificate itself), or pin \
                        the certificate";
            return (text.to_owned(), false);
        }
        CertificateError::NotValidYet => return (not_yet(None), false),
        CertificateError::NotValidYetContext { time, not_before } => {
            return (not_yet(Some(not_before.as_secs().saturating_sub(time.as_secs()))), false);
        }
        CertificateError::Revoked => return ("its issuer has revoked it: the peer needs a new one".to_owned(), false),
        CertificateError::Expired => expired(None),
        CertificateError::ExpiredContext { time, not_after } => {
            expired(Some(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        CertificateError::Other(other) if other.0.is::<NotPinned>() => return (other.0.to_string(), false),
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            // Names of the verifier's errors, whose type is not public in rustls.
            "UnsupportedCertVersion" => "it is of X.509 version 1, which cannot say for which host it is: have one of version 3 made, or pin it".to_owned(),
            "CaUsedAsEndEntity" => {
                "it is the certificate of an authority (CA:TRUE), which plain `openssl req -x509` makes, and no CA file \
                 makes that the certificate of a server: pin it, or have that authority issue one for the server"
                    .to_owned()
            }
            other => other.to_owned(),
        },
        other => other.to_string(),
    };
    (text, true)
}

fn expired(seconds: Option<u64>) -> String {
    let ago = seconds.map_or_else(String::new, |seconds| format!(" ({} ago)", about(seconds)));
    format!("it has expired{ago}: have it renewed by its issuer, unless a clock is wrong")
}

fn not_yet(seconds: Option<u64>) -> String {
    let left = seconds.map_or_else(String::new, |seconds| format!(" (it will be in {})", about(seconds)));
    format!("it is not valid yet{left}: do the clocks of both ends agree? Set the one that is wrong, or wait")
}

/// How long that is, in the largest unit of which there are two.
fn about(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3600, "hours"), (60, "minutes")];
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    unit.map_or_else(|| format!("{seconds} seconds"), |(unit, name)| format!("{} {name}", seconds / unit))
}

/// A name as users write it; the verifier gives `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> String {
    let inside = name.split_once('(').map_or(name, |(_, inside)| inside.trim_end_matches(')'));
    inside.parse::<IpAddr>().map_or_else(|_| inside.trim_matches('"').to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    #[test]
    fn a_new_certificate_is_advised_only_where_it_helps() {
        for (error, words) in [
            (CertificateError::BadSignature, "one of the two was made anew; trust the CA file"),
            (CertificateError::UnknownIssuer, "not among the trusted authorities; trust the CA file"),
            (CertificateError::NotValidYet, "do the clocks of both ends agree?"),
            (CertificateError::Revoked, "revoked"),
        ] {
            let (text, remedy) = reason(&error);
            assert!(text.contains(words) && !remedy, "{text}");
        }
        let time = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * 86_400));
        for (error, words) in [
            (CertificateError::Expired, "it has expired: have it renewed by its issuer"),
            (CertificateError::ExpiredContext { time: time(12), not_after: time(2) }, "it has expired (10 days ago): "),
            (
                CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("b").unwrap(),
                    presented: vec!["DnsName(\"a\")".into()],
                },
                "it is for a, not for b; connect by a name that it is for, have its authority make one for b, or pin it",
            ),
        ] {
            let (text, remedy) = reason(&error);
            assert!(text.contains(words) && remedy, "{text}");
        }
        let early = CertificateError::NotValidYetContext { time: time(2), not_before: time(3) };
        assert!(reason(&early).0.contains("not valid yet (it will be in 24 hours): do the clocks"));
    }
}

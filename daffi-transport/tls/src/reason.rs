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
            "it has no subjectAltName, so it says for no host that it is for it".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().map(|name| plain(name)).collect();
            let (names, host) = (names.join(", "), expected.to_str());
            format!(
                "it is for {names}, not for {host}; connect by a name that it is for, or have its authority make one for {host}"
            )
        }
        CertificateError::UnknownIssuer => {
            let text = "its issuer is not among the trusted authorities; trust the CA file of whoever issued it (of a \
                        self-signed certificate that is the certificate itself), or pin the certificate";
            return (text.to_owned(), false);
        }
        // What verifiers say where there is an authority of that name, and it signed another one.
        CertificateError::BadSignature => {
            let text = "the trusted authority of its issuer's name did not sign it: one of the two was made anew; trust the \
                        CA file that belongs to it (of a self-signed certificate that is the certificate itself), or pin \
                        the certificate";
            return (text.to_owned(), false);
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            return ("it is not valid yet: do the clocks of both ends agree?".to_owned(), false);
        }
        CertificateError::Revoked => return ("its issuer has revoked it: the peer needs a new one".to_owned(), false),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::Other(other) if other.0.is::<NotPinned>() => return (other.0.to_string(), false),
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            // Names of the verifier's errors, whose type is not public in rustls.
            "UnsupportedCertVersion" => "it is of X.509 version 1, which cannot say for which host it is".to_owned(),
            "CaUsedAsEndEntity" => {
                "it is the certificate of an authority (CA:TRUE), which plain `openssl req -x509` makes".to_owned()
            }
            other => other.to_owned(),
        },
        other => other.to_string(),
    };
    (text, true)
}

/// A name as users write it; the verifier gives `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> String {
    let inside = name.split_once('(').map_or(name, |(_, inside)| inside.trim_end_matches(')'));
    inside.parse::<IpAddr>().map_or_else(|_| inside.trim_matches('"').to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(reason(&CertificateError::Expired), ("it has expired".to_owned(), true));
    }
}

//! The verifier that looks at who issued a certificate, and at no name in it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{Decode, Encode},
};

use crate::key::{is_name, is_signed_with, verify_tls12, verify_tls13};

/// Accepts what one of the authorities has issued, of any version and with any name, as long as it
/// is valid. That the server has its key is verified.
pub(crate) struct ByIssuer {
    pub(crate) authorities: RootCertStore,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl ByIssuer {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let by_webpki = ParsedCertificate::try_from(end_entity).and_then(|certificate| {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, &self.authorities, intermediates, now, algorithms)
        });
        match by_webpki {
            Err(error) if is_beyond_webpki(&error) => self.verify_issued(end_entity, now),
            other => other,
        }
    }

    /// Looks at what webpki refuses for its kind, whoever issued it.
    fn verify_issued(&self, end_entity: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let broken = |_| Error::from(CertificateError::BadEncoding);
        let certificate = CertificateInner::<Raw>::from_der(end_entity).map_err(broken)?;
        let certificate = certificate.tbs_certificate();
        let issuer = certificate.issuer().to_der().map_err(broken)?;
        let mut named =
            self.authorities.roots.iter().filter(|authority| is_name(&issuer, &authority.subject)).peekable();
        if named.peek().is_none() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        if !named.any(|authority| is_signed_with(end_entity, &authority.subject_public_key_info, &self.algorithms)) {
            return Err(CertificateError::BadSignature.into());
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let validity = certificate.validity();
        if now < validity.not_before.to_system_time() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.to_system_time() {
            return Err(CertificateError::Expired.into());
        }
        Ok(())
    }
}

/// Whether webpki looked at no more of a certificate than of which kind it is: one of version 1, or
/// that of an authority.
fn is_beyond_webpki(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    // Names of the verifier's errors, whose type is not public in rustls.
    matches!(other.0.to_string().as_str(), "UnsupportedCertVersion" | "CaUsedAsEndEntity")
}

impl fmt::Debug for ByIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByIssuer").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for ByIssuer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

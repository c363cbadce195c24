//! A certificate chain and its key.

use std::sync::Arc;

use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::CertifiedKey,
};

use crate::{SettingsError, key::public_key, pem::Pem, reason::reason};

/// The cryptography of all connections.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Loads a chain, the certificate of this node first, and its key.
///
/// Certificates of version 1 load as well: to show one takes no more than its bytes and its key.
/// rustls' own way in refuses them, so what it checks is checked here.
pub(crate) fn load(chain: &Pem, key: &Pem) -> Result<Arc<CertifiedKey>, SettingsError> {
    let certificates = chain.certificates()?;
    let signer = provider().key_provider.load_private_key(key.key()?).map_err(|error| key.unusable(error))?;
    let certified = public_key(&certificates[0]).map_err(|error| chain.unusable(error))?;
    if signer.public_key().is_some_and(|own| own != certified) {
        return Err(SettingsError::Mismatch { certificate: chain.file.clone(), key: key.file.clone() });
    }
    Ok(Arc::new(CertifiedKey::new(certificates, signer)))
}

/// Why every client that verifies will refuse the chain, whatever it trusts and whatever name it
/// asks for.
pub(crate) fn weakness(chain: &[CertificateDer<'static>]) -> Option<String> {
    match check(chain) {
        Err(Error::InvalidCertificate(error)) => Some(reason(&error).0),
        Err(other) => Some(other.to_string()),
        Ok(()) => None,
    }
}

fn check(chain: &[CertificateDer<'static>]) -> Result<(), Error> {
    let [own, intermediates @ ..] = chain else { return Err(Error::NoCertificatesPresented) };
    let parsed = ParsedCertificate::try_from(own)?;

    // The end of the chain stands for an authority. That of a lone certificate is not known, which
    // is no weakness.
    let mut roots = RootCertStore::empty();
    roots.add(intermediates.last().unwrap_or(own).clone())?;
    let algorithms = provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, UnixTime::now(), algorithms) {
        Ok(()) | Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
        Err(error) => return Err(error),
    }

    let any = ServerName::try_from("any.invalid").expect("a valid name");
    match verify_server_name(&parsed, &any) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
            if !presented.is_empty() =>
        {
            Ok(())
        }
        other => other,
    }
}

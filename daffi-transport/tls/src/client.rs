//! Whom a connector trusts, and what it shows.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ClientConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_platform_verifier::Verifier;

use crate::{
    SettingsError,
    identity::{load, provider},
    issued::ByIssuer,
    pem::Pem,
    verify::ByKey,
};

/// Whom a connector trusts, and the certificate it shows when a server asks for one.
///
/// There is no default: choose one of the constructors. All but those called dangerous verify who
/// the server is.
///
/// ```
/// # fn main() -> Result<(), daffi_transport_tls::SettingsError> {
/// use daffi_transport_tls::ClientTls;
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).unwrap();
/// let trusting = ClientTls::ca_file("authority.pem")?;
/// let trusted_too = ClientTls::pin_certificate("v1.pem")?.client_certificate("client.pem", "client.key")?;
/// assert!(ClientTls::ca_file("").unwrap_err().to_string().contains("path of the CA file is empty"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientTls {
    verifier: Arc<dyn ServerCertVerifier>,
    verifies: bool,
    identity: Option<Arc<CertifiedKey>>,
}

impl ClientTls {
    /// Trusts the authorities that the platform trusts: on Linux those of the system's certificate
    /// files, elsewhere by asking the system's own verifier. The certificate must be for the host
    /// of the endpoint.
    ///
    /// # Errors
    /// [`SettingsError::Platform`] when the platform has none.
    pub fn platform_roots() -> Result<Self, SettingsError> {
        let verifier = Verifier::new(provider()).map_err(|source| SettingsError::Platform { source: source.into() })?;
        Ok(Self::with_verifier(Arc::new(verifier)))
    }

    /// Trusts the certificates in this PEM file, and what they have issued, and nobody else. The
    /// certificate must be for the host of the endpoint.
    ///
    /// # Errors
    /// [`SettingsError`] when the file can't be read, holds no certificate, or one that can't be an
    /// authority's.
    pub fn ca_file(path: impl AsRef<Path>) -> Result<Self, SettingsError> {
        Self::authorities(&Pem::read("CA file", path.as_ref())?)
    }

    /// Does the same as [`ca_file`](Self::ca_file) with a PEM text.
    ///
    /// # Errors
    /// [`SettingsError`] when the text holds no certificate, or one that can't be an authority's.
    pub fn ca_pem(text: &[u8]) -> Result<Self, SettingsError> {
        Self::authorities(&Pem::from_text("CA", text))
    }

    /// Trusts the certificates in this PEM file and what they have issued, whatever host that is
    /// for, as long as it has not ended: whoever has the key of any certificate of theirs can
    /// answer in the server's place. One of version 1 will do, and so will that of an authority,
    /// where one in the file has issued it without others between them; of those nothing is looked
    /// at but who issued them, the signature, and when they end.
    ///
    /// This is what daffi 3.0.1 does, for programs that cannot have other certificates yet;
    /// [`pin_certificate`](Self::pin_certificate) trusts one server, and
    /// [`ca_file`](Self::ca_file) the one that is meant.
    ///
    /// # Errors
    /// [`SettingsError`] when the file can't be read, holds no certificate, or one that can't be an
    /// authority's.
    pub fn dangerous_ca_file_for_any_host(path: impl AsRef<Path>) -> Result<Self, SettingsError> {
        let authorities = Pem::read("CA file", path.as_ref())?.authorities()?;
        let algorithms = provider().signature_verification_algorithms;
        Ok(Self::with_verifier(Arc::new(ByIssuer { authorities, algorithms })))
    }

    /// Trusts exactly the certificate in this PEM file, whatever host it is for, whoever issued it
    /// and whenever it expires; one of version 1 will do. That the server has its key is verified.
    ///
    /// # Errors
    /// [`SettingsError`] when the file can't be read, or does not hold one certificate.
    pub fn pin_certificate(path: impl AsRef<Path>) -> Result<Self, SettingsError> {
        Self::pin(&Pem::read("certificate file to pin", path.as_ref())?)
    }

    /// Does the same as [`pin_certificate`](Self::pin_certificate) with a PEM text.
    ///
    /// # Errors
    /// [`SettingsError`] when the text does not hold one certificate.
    pub fn pin_pem(text: &[u8]) -> Result<Self, SettingsError> {
        Self::pin(&Pem::from_text("certificate to pin", text))
    }

    /// Trusts everybody: whoever is on the way to the server can read and change what is sent.
    ///
    /// This is for tests only; [`pin_certificate`](Self::pin_certificate) is as easy.
    #[must_use]
    pub fn dangerous_accept_any_certificate() -> Self {
        let algorithms = provider().signature_verification_algorithms;
        Self { verifies: false, ..Self::with_verifier(Arc::new(ByKey { pinned: None, algorithms })) }
    }

    /// Shows this certificate to a server that asks for one. Both are PEM files.
    ///
    /// # Errors
    /// [`SettingsError`] when a file can't be read or used, or the key belongs to another
    /// certificate.
    pub fn client_certificate(
        self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, SettingsError> {
        let certificate = Pem::read("client certificate file", certificate.as_ref())?;
        self.with_identity(&certificate, &Pem::read("client key file", key.as_ref())?)
    }

    /// Does the same as [`client_certificate`](Self::client_certificate) with PEM texts.
    ///
    /// # Errors
    /// [`SettingsError`] when a text can't be used, or the key belongs to another certificate.
    pub fn client_certificate_pem(self, certificate: &[u8], key: &[u8]) -> Result<Self, SettingsError> {
        self.with_identity(&Pem::from_text("client certificate", certificate), &Pem::from_text("client key", key))
    }

    fn with_verifier(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self { verifier, verifies: true, identity: None }
    }

    fn authorities(authorities: &Pem) -> Result<Self, SettingsError> {
        let roots = Arc::new(authorities.authorities()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|source| SettingsError::Unusable { file: authorities.file.clone(), source: source.into() })?;
        Ok(Self::with_verifier(verifier))
    }

    fn pin(file: &Pem) -> Result<Self, SettingsError> {
        let algorithms = provider().signature_verification_algorithms;
        Ok(Self::with_verifier(Arc::new(ByKey { pinned: Some(file.certificate()?), algorithms })))
    }

    fn with_identity(mut self, certificate: &Pem, key: &Pem) -> Result<Self, SettingsError> {
        self.identity = Some(load(certificate, key)?);
        Ok(self)
    }

    /// Whether the server's certificate is one to rely on.
    pub(crate) fn verifies(&self) -> bool {
        self.verifies
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("ring has cipher suites for every version")
            .dangerous()
            .with_custom_certificate_verifier(self.verifier.clone());
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.clone()))),
            None => builder.with_no_client_auth(),
        };
        // Every connection verifies anew.
        config.resumption = Resumption::disabled();
        config
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("verifies", &self.verifies)
            .field("shows_a_certificate", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

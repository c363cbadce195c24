//! What a listener shows, and whom it lets in.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{
    SettingsError,
    identity::{load, provider, weakness},
    pem::Pem,
};

/// The certificate and key of a listener, and whose clients it lets in.
///
/// ```
/// # fn main() -> Result<(), daffi_transport_tls::SettingsError> {
/// use daffi_transport_tls::ServerTls;
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).unwrap();
/// let open = ServerTls::from_files("localhost.pem", "localhost.key")?;
/// assert_eq!(open.weakness(), None);
/// let closed = ServerTls::from_files("localhost.pem", "localhost.key")?.client_ca_file("authority.pem")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerTls {
    identity: Arc<CertifiedKey>,
    weakness: Option<String>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl ServerTls {
    /// Reads the certificate, with the intermediate ones behind it if there are any, and its
    /// private key from PEM files.
    ///
    /// # Errors
    /// [`SettingsError`] when a file can't be read or used, or the key belongs to another
    /// certificate.
    pub fn from_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, SettingsError> {
        Self::new(&Pem::read("certificate file", certificate.as_ref())?, &Pem::read("key file", key.as_ref())?)
    }

    /// Does the same as [`from_files`](Self::from_files) with PEM texts.
    ///
    /// # Errors
    /// [`SettingsError`] when a text can't be used, or the key belongs to another certificate.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, SettingsError> {
        Self::new(&Pem::from_text("certificate", certificate), &Pem::from_text("key", key))
    }

    fn new(certificate: &Pem, key: &Pem) -> Result<Self, SettingsError> {
        let identity = load(certificate, key)?;
        Ok(Self { weakness: weakness(&identity.cert), identity, clients: None })
    }

    /// Lets only clients in that show a certificate issued by one of the authorities in this PEM
    /// file.
    ///
    /// # Errors
    /// [`SettingsError`] when the file can't be read, holds no certificate, or one that can't be an
    /// authority's.
    pub fn client_ca_file(self, path: impl AsRef<Path>) -> Result<Self, SettingsError> {
        self.client_authorities(&Pem::read("client CA file", path.as_ref())?)
    }

    /// Does the same as [`client_ca_file`](Self::client_ca_file) with a PEM text.
    ///
    /// # Errors
    /// [`SettingsError`] when the text holds no certificate, or one that can't be an authority's.
    pub fn client_ca_pem(self, text: &[u8]) -> Result<Self, SettingsError> {
        self.client_authorities(&Pem::from_text("client CA", text))
    }

    fn client_authorities(mut self, authorities: &Pem) -> Result<Self, SettingsError> {
        let roots = Arc::new(authorities.authorities()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|source| SettingsError::Unusable { file: authorities.file.clone(), source: source.into() })?;
        self.clients = Some(verifier);
        Ok(self)
    }

    /// Why clients that verify will refuse the certificate, if they will: version 1, no
    /// `subjectAltName`, expired, ...
    ///
    /// Binding a listener logs it as a warning, with the `openssl` line of a better one.
    #[must_use]
    pub fn weakness(&self) -> Option<&str> {
        self.weakness.as_deref()
    }

    pub(crate) fn config(self) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("ring has cipher suites for every version");
        let builder = match self.clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(self.identity)));
        // Connections live long, so resuming saves little; and a ticket that a client has not read
        // when it closes would reset the connection, and destroy what the client sent last.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("weakness", &self.weakness)
            .field("demands_client_certificates", &self.clients.is_some())
            .finish_non_exhaustive()
    }
}

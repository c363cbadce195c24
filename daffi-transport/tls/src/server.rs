//! What a listener shows, and whom it lets in.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{
    SettingsError,
    expiry::Expiry,
    identity::{load, provider, weakness},
    pem::{Pem, PemSource},
    rotation,
};

/// The certificate and key of a listener, and whose clients it lets in.
///
/// Clones share what was loaded: [`reload`](Self::reload) of one is that of all, and of every
/// listener that was bound with one.
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
    loaded: Arc<ArcSwap<Loaded>>,
}

/// Where everything is read from.
#[derive(Clone)]
struct PemFiles {
    certificate: PemSource,
    key: PemSource,
    clients: Option<PemSource>,
}

/// What was read from there, and what handshakes take of it.
struct Loaded {
    source: PemFiles,
    texts: Vec<Pem>,
    config: Arc<ServerConfig>,
    weakness: Option<String>,
    expiry: Option<Expiry>,
}

impl ServerTls {
    /// Reads the certificate, with the intermediate ones behind it if there are any, and its
    /// private key from PEM files.
    ///
    /// # Errors
    /// [`SettingsError`] when a file can't be read or used, or the key belongs to another
    /// certificate.
    pub fn from_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, SettingsError> {
        Self::new(
            PemSource::file("certificate file", certificate.as_ref()),
            PemSource::file("key file", key.as_ref()),
            None,
        )
    }

    /// Does the same as [`from_files`](Self::from_files) with PEM texts.
    ///
    /// # Errors
    /// [`SettingsError`] when a text can't be used, or the key belongs to another certificate.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, SettingsError> {
        Self::new(PemSource::text("certificate", certificate), PemSource::text("key", key), None)
    }

    fn new(certificate: PemSource, key: PemSource, clients: Option<PemSource>) -> Result<Self, SettingsError> {
        let loaded = Loaded::new(PemFiles { certificate, key, clients })?;
        Ok(Self { loaded: Arc::new(ArcSwap::from_pointee(loaded)) })
    }

    /// Lets only clients in that show a certificate issued by one of the authorities in this PEM
    /// file.
    ///
    /// # Errors
    /// [`SettingsError`] when the file can't be read, holds no certificate, or one that can't be an
    /// authority's.
    pub fn client_ca_file(self, path: impl AsRef<Path>) -> Result<Self, SettingsError> {
        self.client_authorities(PemSource::file("client CA file", path.as_ref()))
    }

    /// Does the same as [`client_ca_file`](Self::client_ca_file) with a PEM text.
    ///
    /// # Errors
    /// [`SettingsError`] when the text holds no certificate, or one that can't be an authority's.
    pub fn client_ca_pem(self, text: &[u8]) -> Result<Self, SettingsError> {
        self.client_authorities(PemSource::text("client CA", text))
    }

    /// Whether only clients come in that show a certificate.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.loaded.load().source.clients.is_some()
    }

    fn client_authorities(self, authorities: PemSource) -> Result<Self, SettingsError> {
        let PemFiles { certificate, key, .. } = self.loaded.load().source.clone();
        Self::new(certificate, key, Some(authorities))
    }

    /// Reads all files anew: connections accepted from now on meet what is in them, those that are
    /// open stay as they are. Gives whether anything had changed; texts never do.
    ///
    /// This reads files and blocks while it does. Concurrent calls are safe.
    ///
    /// # Errors
    /// [`SettingsError`] as from [`from_files`](Self::from_files). What was loaded before stays in
    /// use then: a certificate whose key has not been written yet does no harm.
    pub fn reload(&self) -> Result<bool, SettingsError> {
        loop {
            let before = self.loaded.load_full();
            let texts = before.source.read()?;
            if texts == before.texts {
                return Ok(false);
            }
            let fresh = Arc::new(Loaded::of(before.source.clone(), texts)?);
            // Reading takes its time. What somebody else loaded meanwhile may be of other files, or
            // newer, and goes before.
            if Arc::ptr_eq(&self.loaded.compare_and_swap(&before, fresh), &before) {
                return Ok(true);
            }
        }
    }

    /// Takes what `other` has loaded, and reads its files from now on: connections accepted from
    /// now on meet that, those that are open stay as they are. Gives whether anything that
    /// handshakes take of it is another than before.
    pub fn replace_by(&self, other: &Self) -> bool {
        let other = other.loaded.load_full();
        let before = self.loaded.swap(Arc::clone(&other));
        before.texts != other.texts
    }

    /// Looks at the files each time `every` has passed, [reloads](Self::reload) them when what they
    /// hold has changed, and logs what comes of it: files that cannot be used, if they still
    /// cannot the next time, and each day that the certificate ends within 14 days or has ended.
    /// Files that were replaced by others, as by a link that points elsewhere, count as changed.
    ///
    /// Never ends: spawn it, and abort the task or drop the future to end it.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub async fn follow_files(self, every: Duration) {
        rotation::follow_files(self, every).await;
    }

    /// When the certificate ends, or one of the intermediate ones if that is earlier. `None` when
    /// none of them says so in a way that can be read.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expiry().map(|expiry| expiry.at)
    }

    pub(crate) fn expiry(&self) -> Option<Expiry> {
        self.loaded.load().expiry.clone()
    }

    /// Why clients that verify will refuse the certificate, if they will: version 1, no
    /// `subjectAltName`, expired, ...
    ///
    /// Binding a listener logs it as a warning, with the `openssl` line of a better one.
    #[must_use]
    pub fn weakness(&self) -> Option<String> {
        self.loaded.load().weakness.clone()
    }

    /// What the next handshake takes.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.loaded.load().config)
    }
}

impl PemFiles {
    /// The certificate, the key and the authorities of clients if there are any.
    fn read(&self) -> Result<Vec<Pem>, SettingsError> {
        [Some(&self.certificate), Some(&self.key), self.clients.as_ref()]
            .into_iter()
            .flatten()
            .map(PemSource::read)
            .collect()
    }
}

impl Loaded {
    fn new(source: PemFiles) -> Result<Self, SettingsError> {
        let texts = source.read()?;
        Self::of(source, texts)
    }

    fn of(source: PemFiles, texts: Vec<Pem>) -> Result<Self, SettingsError> {
        let [certificate, key, clients @ ..] = &texts[..] else { unreachable!("a source has both") };
        let identity = load(certificate, key)?;
        let clients = clients.first().map(verifier).transpose()?;
        Ok(Self {
            weakness: weakness(&identity.cert),
            expiry: Expiry::of(&identity.cert),
            config: Arc::new(config(identity, clients)),
            source,
            texts,
        })
    }
}

fn verifier(authorities: &Pem) -> Result<Arc<dyn ClientCertVerifier>, SettingsError> {
    let roots = Arc::new(authorities.authorities()?);
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|source| SettingsError::Unusable { file: authorities.file.clone(), source: source.into() })
}

fn config(identity: Arc<CertifiedKey>, clients: Option<Arc<dyn ClientCertVerifier>>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("ring has cipher suites for every version");
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    // Connections live long, so resuming saves little; and a ticket that a client has not read
    // when it closes would reset the connection, and destroy what the client sent last.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("weakness", &self.weakness())
            .field("demands_client_certificates", &self.loaded.load().source.clients.is_some())
            .finish_non_exhaustive()
    }
}

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::repository;

/// A certificate, its key, and what verifies it, as PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that signed it.
    pub authority: PathBuf,
}

impl Certificate {
    /// A certificate for `localhost`, `127.0.0.1` and `::1`, valid until 2124.
    #[must_use]
    pub fn localhost() -> Self {
        let fixtures = repository().join("daffi-transport/tls/tests/fixtures");
        Self {
            certificate: fixtures.join("localhost.pem"),
            key: fixtures.join("localhost.key"),
            authority: fixtures.join("authority.pem"),
        }
    }
}

/// An authority that makes certificates for `localhost` and `127.0.0.1`.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut settings = CertificateParams::default();
        settings.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = settings.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(settings, key) }
    }

    /// The certificate that verifies what it makes, as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes a new certificate and its key, each as a whole file in the place of the old one.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, certificate: &Path, key: &Path, valid: Duration) {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut settings = CertificateParams::new(names).expect("names");
        settings.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
        settings.not_after = (SystemTime::now() + valid).into();
        let pair = KeyPair::generate().expect("a key");
        let made = settings.signed_by(&pair, &self.issuer).expect("a certificate");
        for (path, pem) in [(certificate, made.pem()), (key, pair.serialize_pem())] {
            let fresh = path.with_extension("fresh");
            fs::write(&fresh, pem).expect("a place to write to");
            fs::rename(&fresh, path).expect("the same folder");
        }
    }
}

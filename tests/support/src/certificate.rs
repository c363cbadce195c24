use std::path::PathBuf;

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

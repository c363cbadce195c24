//! Certificates and keys out of files, never none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use crate::SettingsError;

/// Where a text in PEM form is read from.
#[derive(Clone)]
pub(crate) enum PemSource {
    File { what: &'static str, path: PathBuf },
    Text { what: &'static str, text: Vec<u8> },
}

impl PemSource {
    pub(crate) fn file(what: &'static str, path: &Path) -> Self {
        Self::File { what, path: path.to_owned() }
    }

    pub(crate) fn text(what: &'static str, text: &[u8]) -> Self {
        Self::Text { what, text: text.to_owned() }
    }

    pub(crate) fn read(&self) -> Result<Pem, SettingsError> {
        match self {
            Self::File { what, path } => Pem::read(what, path),
            Self::Text { what, text } => Ok(Pem::from_text(what, text)),
        }
    }
}

/// A text in PEM form, and where it is from.
#[derive(PartialEq, Eq)]
pub(crate) struct Pem {
    /// What it is called in errors, as in `CA file "ca.pem"`.
    pub(crate) file: String,
    text: Vec<u8>,
}

/// Without the marks that some editors put before UTF-8, and that stand in the middle of files that
/// were joined: the section behind one would not be seen, which may be the certificate itself.
fn strip_marks(text: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let (mut kept, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, behind)) = rest.split_first() {
        match rest.strip_prefix(MARK) {
            Some(unmarked) => rest = unmarked,
            None => {
                kept.push(*first);
                rest = behind;
            }
        }
    }
    kept
}

impl Pem {
    pub(crate) fn read(what: &'static str, path: &Path) -> Result<Self, SettingsError> {
        if path.as_os_str().is_empty() {
            return Err(SettingsError::EmptyPath { file: what });
        }
        let file = format!("{what} {path:?}");
        match fs::read(path) {
            Ok(text) => Ok(Self { file, text: strip_marks(&text) }),
            Err(source) => Err(SettingsError::Read { file, source }),
        }
    }

    pub(crate) fn from_text(what: &'static str, text: &[u8]) -> Self {
        Self { file: format!("given {what}"), text: strip_marks(text) }
    }

    /// All certificates, in order, of which there is at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.missing_bytes("certificate")),
            Ok(found) => Ok(found),
            Err(source) => Err(self.pem_error(source)),
        }
    }

    /// The only certificate.
    pub(crate) fn certificate(&self) -> Result<CertificateDer<'static>, SettingsError> {
        let mut found = self.certificates()?;
        match (found.pop(), found.len()) {
            (Some(only), 0) => Ok(only),
            (_, others) => Err(SettingsError::Several { file: self.file.clone(), count: others + 1 }),
        }
    }

    /// All certificates as authorities; one that can't be one is an error.
    pub(crate) fn authorities(&self) -> Result<RootCertStore, SettingsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.unusable(error))?;
        }
        Ok(roots)
    }

    /// The first private key: PKCS #8, PKCS #1 or SEC 1.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, SettingsError> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|error| match error {
            pem::Error::NoItemsFound => self.missing_bytes("private key without a password"),
            other => self.pem_error(other),
        })
    }

    pub(crate) fn unusable(&self, source: rustls::Error) -> SettingsError {
        SettingsError::Unusable { file: self.file.clone(), source: source.into() }
    }

    fn missing_bytes(&self, wanted: &'static str) -> SettingsError {
        SettingsError::Missing { file: self.file.clone(), wanted }
    }

    fn pem_error(&self, source: pem::Error) -> SettingsError {
        SettingsError::Pem { file: self.file.clone(), source: source.into() }
    }
}

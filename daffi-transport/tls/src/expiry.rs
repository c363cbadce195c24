//! When certificates end.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::Decode,
};

/// The end of a certificate's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) at: SystemTime,
    /// The time as a person reads it.
    pub(crate) date: String,
}

impl Expiry {
    /// The earliest one of a chain. Certificates that cannot be read are passed over: those that
    /// verify look closer than this does.
    pub(crate) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        chain.iter().filter_map(Self::of_one).min_by_key(|expiry| expiry.at)
    }

    fn of_one(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = CertificateInner::<Raw>::from_der(certificate).ok()?;
        let end = certificate.tbs_certificate().validity().not_after;
        Some(Self { at: end.to_system_time(), date: end.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn fixture(name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(format!("{}/tests/fixtures/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn of_a_chain_the_earliest_counts_and_version_1_has_one_too() {
        let [expired, localhost, old] = ["expired", "localhost", "v1"].map(fixture);
        let ended = Expiry::of(&[localhost.clone(), expired.clone()]).unwrap();
        assert_eq!(Some(&ended), Expiry::of(&[expired]).as_ref());
        assert!(ended.at < SystemTime::now(), "{ended:?}");
        let lasting = Expiry::of(&[localhost]).unwrap();
        assert!(lasting.at > SystemTime::now() && lasting.date.starts_with("2124-"), "{lasting:?}");
        assert!(Expiry::of(&[old]).is_some());
        assert_eq!(Expiry::of(&[CertificateDer::from(b"no certificate".to_vec())]), None);
    }
}

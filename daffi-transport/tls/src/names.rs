//! The names that a certificate has.

use daffi_transport::CertificateNames;
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{Decode, Tag, Tagged, asn1::ObjectIdentifier},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// `commonName` of a subject.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Reads the names of a certificate that was verified. One that cannot be read has none.
pub(crate) fn names(certificate: &[u8]) -> CertificateNames {
    let mut names = CertificateNames::default();
    let Ok(certificate) = CertificateInner::<Raw>::from_der(certificate) else { return names };
    let certificate = certificate.tbs_certificate();
    if let Ok(Some((_, SubjectAltName(alternatives)))) = certificate.get_extension::<SubjectAltName>() {
        for alternative in alternatives {
            match alternative {
                GeneralName::UniformResourceIdentifier(uri) => names.uris.push(uri.to_string()),
                // As names are compared.
                GeneralName::DnsName(name) => names.dns.push(name.as_str().to_ascii_lowercase()),
                _ => {}
            }
        }
    }
    let mut common = certificate.subject().iter().filter(|attribute| attribute.oid == COMMON_NAME);
    // Of several nobody could say which is meant.
    if let (Some(attribute), None) = (common.next(), common.next())
        && matches!(attribute.value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String)
    {
        names.common_name = std::str::from_utf8(attribute.value.value()).ok().map(str::to_owned);
    }
    names
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    fn of(fixture: &str) -> CertificateNames {
        let file = format!("{}/tests/fixtures/{fixture}.pem", env!("CARGO_MANIFEST_DIR"));
        names(&CertificateDer::from_pem_file(file).unwrap())
    }

    #[test]
    fn names_of_certificates() {
        let read = of("named");
        assert_eq!(read.uris, ["spiffe://example/worker/1"]);
        assert_eq!(read.dns, ["worker-1.example"]);
        assert_eq!(read.common_name.as_deref(), Some("Worker 1"));
        let old = of("v1");
        assert_eq!((old.uris.len(), old.dns.len(), old.common_name.as_deref()), (0, 0, Some("localhost")));
        assert_eq!(names(b"no certificate"), CertificateNames::default());
    }
}

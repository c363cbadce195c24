//! The public key of a certificate of any version, and signatures made with it.
//!
//! rustls reads certificates through webpki, which refuses those of version 1 before it looks at
//! their key. Only its reader of trust anchors takes them, so keys are read by that one.

use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer},
};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The key of a certificate of any version.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let mut store = RootCertStore::empty();
    store.add(certificate.clone())?;
    let anchor = store.roots.first().ok_or(CertificateError::BadEncoding)?;
    Ok(SubjectPublicKeyInfoDer::from(write(SEQUENCE, &anchor.subject_public_key_info)))
}

/// Checks a signature of a TLS 1.2 handshake.
pub(crate) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = public_key(certificate)?;
    let (algorithm, bits) = parts(&key).ok_or(CertificateError::BadEncoding)?;
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    // In TLS 1.2 a scheme leaves the curve open; the key says which it is.
    candidates
        .iter()
        .find(|candidate| candidate.public_key_alg_id().as_ref() == algorithm)
        .and_then(|candidate| candidate.verify_signature(bits, message, signed.signature()).ok())
        .map(|()| HandshakeSignatureValid::assertion())
        .ok_or_else(|| CertificateError::BadSignature.into())
}

/// Checks a signature of a TLS 1.3 handshake.
pub(crate) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature_with_raw_key(message, &public_key(certificate)?, signed, algorithms)
}

/// Whether a certificate of any version was signed with this key, which is as a trust anchor has
/// it.
pub(crate) fn is_signed_with(
    certificate: &CertificateDer<'_>,
    key: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let key = SubjectPublicKeyInfoDer::from(write(SEQUENCE, key));
    let (Some((message, algorithm, signature)), Some((key, bits))) = (split_signed(certificate), parts(&key)) else {
        return false;
    };
    let made_so = |known: &&&dyn SignatureVerificationAlgorithm| {
        known.signature_alg_id().as_ref() == algorithm && known.public_key_alg_id().as_ref() == key
    };
    let mut candidates = algorithms.all.iter().filter(made_so);
    candidates.any(|known| known.verify_signature(bits, message, signature).is_ok())
}

/// Whether a name is this one, which is as a trust anchor has it.
pub(crate) fn is_name(name: &[u8], anchored: &[u8]) -> bool {
    matches!(read(SEQUENCE, name), Some((inside, [])) if inside == anchored)
}

/// What of a certificate is signed, the algorithm, and the signature (RFC 5280, 4.1).
fn split_signed<'a>(certificate: &'a CertificateDer<'_>) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    let (inside, []) = read(SEQUENCE, certificate)? else { return None };
    let (_, rest) = read(SEQUENCE, inside)?;
    let message = &inside[..inside.len() - rest.len()];
    let (algorithm, rest) = read(SEQUENCE, rest)?;
    let (bits, []) = read(BIT_STRING, rest)? else { return None };
    let (0, signature) = bits.split_first()? else { return None };
    Some((message, algorithm, signature))
}

/// A key's algorithm and its bits (RFC 5280, 4.1: `SEQUENCE { AlgorithmIdentifier, BIT STRING }`).
fn parts<'a>(key: &'a SubjectPublicKeyInfoDer<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let (inside, []) = read(SEQUENCE, key.as_ref())? else { return None };
    let (algorithm, rest) = read(SEQUENCE, inside)?;
    let (bits, []) = read(BIT_STRING, rest)? else { return None };
    // The first byte counts unused bits; keys are whole bytes.
    let (0, bits) = bits.split_first()? else { return None };
    Some((algorithm, bits))
}

/// One DER element with this tag: what is in it, and what follows it.
fn read(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let [first, short, rest @ ..] = input else { return None };
    if *first != tag {
        return None;
    }
    let (length, rest) = match *short {
        0..=0x7f => (usize::from(*short), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (bytes.iter().try_fold(0usize, |sum, byte| Some(sum.checked_mul(256)? | usize::from(*byte)))?, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// One DER element.
fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let used = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut element = vec![tag];
    match *used {
        [] => element.push(0),
        [byte @ 0..=0x7f] => element.push(byte),
        _ => {
            element.push(0x80 | u8::try_from(used.len()).expect("a length has at most eight bytes"));
            element.extend_from_slice(used);
        }
    }
    element.extend_from_slice(content);
    element
}

#[cfg(test)]
mod tests {
    use rustls::{pki_types::pem::PemObject, server::ParsedCertificate};

    use super::*;

    #[test]
    fn elements_survive_a_round_trip() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let mut element = write(SEQUENCE, &content);
            element.push(9);
            assert_eq!(read(SEQUENCE, &element), Some((&content[..], &[9][..])));
            assert_eq!(read(BIT_STRING, &element), None);
            assert_eq!(read(SEQUENCE, &element[..length]), None);
        }
    }

    #[test]
    fn keys_are_those_that_rustls_reads() {
        for name in ["localhost", "plain"] {
            let path = format!("{}/tests/fixtures/{name}.pem", env!("CARGO_MANIFEST_DIR"));
            let certificate = CertificateDer::from_pem_file(path).unwrap();
            let expected = ParsedCertificate::try_from(&certificate).unwrap().subject_public_key_info();
            assert_eq!(public_key(&certificate).unwrap(), expected);
            assert!(parts(&expected).is_some());
        }
    }
}

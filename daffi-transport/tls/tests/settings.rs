//! Settings that would switch a check off, or can't work, are errors.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;

use common::{chain, fixture, server, trusting};
use daffi_transport_tls::{ClientTls, ServerTls, SettingsError};

fn text(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

#[test]
fn empty_paths_are_refused() {
    let pem = fixture("localhost.pem");
    let errors = [
        ServerTls::from_files("", fixture("localhost.key")).unwrap_err(),
        ServerTls::from_files(&pem, "").unwrap_err(),
        server("localhost").client_ca_file("").unwrap_err(),
        ClientTls::ca_file("").unwrap_err(),
        ClientTls::pin_certificate("").unwrap_err(),
        trusting("authority").client_certificate("", fixture("client.key")).unwrap_err(),
        trusting("authority").client_certificate(fixture("client.pem"), "").unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, SettingsError::EmptyPath { .. }), "{error}");
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    let error = ClientTls::ca_file("/nowhere/ca.pem").unwrap_err();
    assert!(chain(&error).starts_with("cannot read the CA file \"/nowhere/ca.pem\": "), "{}", chain(&error));
}

#[test]
fn files_without_certificates_or_keys_are_refused() {
    let key = text("localhost.key");
    for empty in [&b""[..], b"no PEM at all\n", &key] {
        let errors = [
            ClientTls::ca_pem(empty).unwrap_err(),
            ClientTls::pin_pem(empty).unwrap_err(),
            ServerTls::from_pem(empty, &key).unwrap_err(),
            server("localhost").client_ca_pem(empty).unwrap_err(),
            trusting("authority").client_certificate_pem(empty, &key).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, SettingsError::Missing { wanted: "certificate", .. }), "{error}");
        }
    }
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let error = ServerTls::from_pem(&text("localhost.pem"), encrypted).unwrap_err();
    assert_eq!(error.to_string(), "the given key holds no private key without a password in PEM form");
}

#[test]
fn a_mark_of_an_editor_hides_no_certificate() {
    let marked = |name: &str| [b"\xef\xbb\xbf", &text(name)[..]].concat();
    ServerTls::from_pem(&marked("localhost.pem"), &marked("localhost.key")).unwrap();
    ClientTls::ca_pem(&marked("authority.pem")).unwrap();
    // Neither of two.
    let two = [marked("localhost.pem"), marked("elsewhere.pem")].concat();
    assert!(matches!(ClientTls::pin_pem(&two), Err(SettingsError::Several { count: 2, .. })));
}

#[test]
fn damaged_files_are_refused() {
    let cut = &text("authority.pem")[..200];
    assert!(matches!(ClientTls::ca_pem(cut), Err(SettingsError::Pem { .. })));
    let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(ClientTls::ca_pem(nonsense), Err(SettingsError::Unusable { .. })));
    assert!(matches!(ServerTls::from_pem(nonsense, &text("v1.key")), Err(SettingsError::Unusable { .. })));
}

#[test]
fn a_key_must_belong_to_its_certificate() {
    for (certificate, key) in [("v1.pem", "plain.key"), ("localhost.pem", "client.key"), ("v1-ec.pem", "v1.key")] {
        let error = ServerTls::from_files(fixture(certificate), fixture(key)).unwrap_err();
        assert!(matches!(error, SettingsError::Mismatch { .. }), "{error}");
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn only_one_certificate_can_be_pinned() {
    let two = [text("localhost.pem"), text("authority.pem")].concat();
    assert!(matches!(ClientTls::pin_pem(&two), Err(SettingsError::Several { count: 2, .. })));
}

#[test]
fn good_certificates_have_no_weakness() {
    assert_eq!(server("localhost").weakness(), None);
    assert_eq!(server("advised").weakness(), None);
    let whole = [text("localhost.pem"), text("authority.pem")].concat();
    assert_eq!(ServerTls::from_pem(&whole, &text("localhost.key")).unwrap().weakness(), None);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let shown = format!("{:?} {:?}", server("localhost"), trusting("authority"));
    assert_eq!(
        shown,
        "ServerTls { weakness: None, demands_client_certificates: false, .. } \
         ClientTls { verifies: true, shows_a_certificate: false, .. }"
    );
}

//! The recordings as files.

use std::fs;

use conformance::{Session, directory, recordings};

#[test]
fn there_are_enough_and_all_are_read_as_they_are_written() {
    let sessions = recordings().expect("the recordings can be read");
    assert!(sessions.len() >= 40, "{} sessions", sessions.len());
    for session in sessions {
        let text = fs::read_to_string(directory().join(&session.name).with_extension("session"))
            .expect("a session bears the name of its file");
        assert_eq!(session.to_text(), text, "{}", session.name);
        assert_eq!(Session::parse(&text).expect("it was read before"), session);
    }
}

/// What would tell of the machine it was recorded on.
#[test]
fn no_recording_names_a_machine() {
    let user = std::env::var("USER").unwrap_or_default();
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let mut telling = vec!["/home/", "/tmp/", "/root", "/usr/", "site-packages", ".py", "localhost", "Traceback"];
    telling.extend([user.trim(), host.trim()].into_iter().filter(|word| word.len() > 3));
    for session in recordings().expect("the recordings can be read") {
        let text = session.to_text();
        for word in &telling {
            assert!(!text.contains(word), "{} names {word}", session.name);
        }
        for connection in session.connections().collect::<Vec<_>>() {
            for direction in [conformance::Direction::ToServer, conformance::Direction::ToClient] {
                // What is large is a long run between short ends.
                for bytes in session.bytes(connection, direction).filter(|bytes| bytes.len() < 1 << 20) {
                    for word in &telling {
                        let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                        assert!(!found, "{}: a payload names {word}", session.name);
                    }
                }
            }
        }
    }
}

#[test]
fn a_broken_file_is_told_by_its_line() {
    let error =
        Session::parse("session x\n1 > HANDSHAKE uuid 70000 JSON text\n    names \"a\" \"\" \"\"\n").unwrap_err();
    assert_eq!(error.line, 2);
    assert!(error.to_string().contains("70000"), "{error}");
    let error = Session::parse("session x\n1 > RAW\n    bytes 3 sha256 00\n    text ab\n").unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
    assert!(Session::parse("1 connects \"x\"\n").unwrap_err().to_string().contains("session NAME"));
}

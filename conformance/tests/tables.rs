//! The tables of the documentation are what the recordings make them.

use std::fs;

use conformance::{recordings, tables};

#[test]
fn tables_are_current() {
    let sessions = recordings().expect("the recordings can be read");
    for (path, text) in tables(&sessions).expect("every rule is held, and every difference is told once") {
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "{} is not current: cargo run -p conformance --bin tables",
            path.file_name().unwrap_or_default().display()
        );
    }
}

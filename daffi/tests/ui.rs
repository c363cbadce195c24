//! What the macros accept, and the words with which they refuse.
#![cfg(feature = "macros")]

use std::process::Command;

/// The compiler's part of the messages changes from version to version: they are compared on this
/// one.
const PINNED: &str = "rustc 1.95.";

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    if version().is_some_and(|version| version.starts_with(PINNED)) {
        cases.compile_fail("tests/ui/fail/*.rs");
    }
}

fn version() -> Option<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()
}

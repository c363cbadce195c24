//! The part of `scripts/long names` that CI takes.

use std::process::Command;

#[test]
fn memory_stays_flat_however_many_names_there_were() {
    let ran = Command::new(env!("CARGO_BIN_EXE_names")).arg("5000").output().expect("it starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout).lines().count(), 10);
}

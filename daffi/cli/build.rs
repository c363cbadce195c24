//! Finds out which commit the command is built from, which `daffi version` tells.

use std::{fs, process::Command};

fn main() {
    let commit = checked_out_commit().or_else(packaged_commit).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=DAFFI_COMMIT={commit}");
    println!("cargo::rerun-if-changed=build.rs");
    // This file grows with each commit.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| fs::exists(log).unwrap_or(false)) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// The commit of the repository that this is in, if it is the one that tracks it.
fn checked_out_commit() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// The commit that a published package was made of.
fn packaged_commit() -> Option<String> {
    let about = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, from) = about.split_once("\"sha1\": \"")?;
    from.get(..12).filter(|sha| sha.chars().all(|c| c.is_ascii_hexdigit())).map(str::to_owned)
}

fn git(args: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(args).output().ok().filter(|ran| ran.status.success())?;
    Some(String::from_utf8(ran.stdout).ok()?.trim().to_owned())
}

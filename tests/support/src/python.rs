use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// A Python interpreter with daffi 3.0.1: `$DAFFI_PYTHON`, or the one that `scripts/python-env`
/// prints.
///
/// # Panics
/// When there is none; the text says why.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let named = || env::var_os("DAFFI_PYTHON").map(PathBuf::from);
    PYTHON.get_or_init(|| named().unwrap_or_else(|| PathBuf::from(run("scripts/python-env"))))
}

/// Runs a script of this repository and gives the last line that it prints.
///
/// # Panics
/// When it fails; the text has what it complained of.
pub(crate) fn run(script: &str) -> String {
    let script = repository().join(script);
    let run = match Command::new(&script).output() {
        Ok(run) => run,
        Err(error) => panic!("{} cannot be run: {error}", script.display()),
    };
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    match said.lines().last() {
        Some(line) if run.status.success() => line.to_owned(),
        _ => panic!("{} failed, {}:\n{complained}", script.display(), run.status),
    }
}

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
    here.parent().unwrap_or(here)
}

/// A Python interpreter with daffi 3.0.1: `$DAFFI_PYTHON`, or the one that `scripts/python-env` prints.
///
/// # Panics
/// When there is none; the text says why.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| env::var_os("DAFFI_PYTHON").map_or_else(made_by_script, PathBuf::from))
}

fn made_by_script() -> PathBuf {
    let script = repository().join("scripts/python-env");
    let run = match Command::new(&script).output() {
        Ok(run) => run,
        Err(error) => panic!("{} cannot be run: {error}; DAFFI_PYTHON may name an interpreter", script.display()),
    };
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    match said.lines().last() {
        Some(python) if run.status.success() => PathBuf::from(python),
        _ => panic!("{} made no Python environment, {}:\n{complained}", script.display(), run.status),
    }
}

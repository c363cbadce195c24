use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::Session;

/// Where the recordings are.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sessions")
}

fn bad(path: &Path, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

/// All recorded sessions, by name.
///
/// # Errors
/// A file that cannot be read, with its name and the line at fault.
pub fn recordings() -> io::Result<Vec<Session>> {
    let mut paths: Vec<_> = fs::read_dir(directory())?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "session"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The recorded session of this name.
///
/// # Errors
/// As [`recordings`].
pub fn recording(name: &str) -> io::Result<Session> {
    read(&directory().join(name).with_extension("session"))
}

fn read(path: &Path) -> io::Result<Session> {
    let text = fs::read_to_string(path).map_err(|error| bad(path, &error))?;
    Session::parse(&text).map_err(|error| bad(path, &error))
}

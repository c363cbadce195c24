//! Addresses saved under names.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, parse_address},
    failure::Failure,
    input::text,
};

/// Only the user who saved an address may read it, because it may tell more than others should
/// know.
const MODE: u32 = 0o600;

/// The file of saved addresses.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The name of the one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// URLs by their names.
    pub(crate) contexts: BTreeMap<String, String>,
}

/// Where the file is: `$XDG_CONFIG_HOME/daffi`, else `~/.config/daffi`.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CONFIG_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("daffi/contexts.json"))
        .ok_or_else(|| Failure::Usage("there is no place for contexts: set HOME or XDG_CONFIG_HOME".to_owned()))
}

/// Whether this user may read the file, as far as it is there.
pub(crate) fn may_be_read(path: &Path) -> bool {
    fs::File::open(path).err().is_none_or(|error| error.kind() != io::ErrorKind::PermissionDenied)
}

/// Whether there is no such file: a home may also be no directory, as that of many system users.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The right to change the file, which one process has at a time, until this is dropped. The lock
/// is a file of its own, because each change puts another file in the place of the saved one.
fn turn(path: &Path) -> io::Result<fs::File> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let lock = path.with_extension("lock");
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(lock)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let text = "set XDG_CONFIG_HOME to a directory that you can write to";
    Failure::Failed(format!("{} cannot be written: {error}; {text}", path.display()))
}

impl Contexts {
    /// Reads the file. There are none as long as it is not there.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::Usage(format!(
                "the contexts in {} cannot be read: {error}; mend the file or remove it",
                path.display()
            ))
        };
        match fs::read(path) {
            Ok(bytes) => {
                let text = text(&bytes).map_err(|error| unusable(&error))?;
                serde_json::from_str(text).map_err(|error| unusable(&error))
            }
            Err(error) if is_absent(&error) => Ok(Self::default()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Failure::Usage(format!(
                "the contexts in {} may not be read by this user: name an endpoint, or set HOME or XDG_CONFIG_HOME to a \
                 directory of this user's",
                path.display()
            ))),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Reads the file, changes what is in it and writes it, while others who do so wait.
    pub(crate) fn change(path: &Path, change: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<(), Failure> {
        let _turn = turn(path).map_err(|error| unwritable(path, &error))?;
        let mut saved = Self::load(path)?;
        change(&mut saved)?;
        saved.save(path)
    }

    /// Writes the file anew: whoever reads it meanwhile sees the old one whole or the new one.
    fn save(&self, path: &Path) -> Result<(), Failure> {
        let unusable = |error| unwritable(path, &error);
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from).map_err(unusable)?;
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(|error| {
            let _not_there = fs::remove_file(&new);
            unusable(error)
        })
    }

    /// The address saved under a name.
    pub(crate) fn address(&self, name: &str) -> Result<Address, Failure> {
        let advice = || format!("; `daffi context add {name} URL` saves one");
        let url = self.contexts.get(name).ok_or_else(|| self.unknown(name, &advice()))?;
        parse_address(url).map_err(|error| Failure::Usage(format!("the context {name}: {error}")))
    }

    pub(crate) fn unknown(&self, name: &str, advice: &str) -> Failure {
        let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
        let known =
            if known.is_empty() { "none is saved".to_owned() } else { format!("saved are {}", known.join(", ")) };
        Failure::Usage(format!("there is no context {name}: {known}{advice}"))
    }
}

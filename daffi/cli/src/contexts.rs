//! Addresses saved under names.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Writes the file anew: whoever reads it meanwhile sees the old one whole or the new one.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let unusable = |error| {
            let text = "set XDG_CONFIG_HOME to a directory that you can write to";
            Failure::Failed(format!("{} cannot be written: {error}; {text}", path.display()))
        };
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from).map_err(unusable)?;
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
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

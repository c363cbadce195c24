use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use libtest_mimic::Failed;

/// In which language a program is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Rust,
    Python,
}

/// What there is: programs from the directories, what they print from README.md.
pub(crate) struct Catalogue {
    programs: BTreeMap<String, BTreeSet<Source>>,
    /// What the client of a pair prints by the name of its server, and what programs that stand alone print.
    prints: BTreeMap<String, Vec<String>>,
}

/// A server, a client of it, and in which languages.
pub(crate) struct Pairing {
    pub(crate) name: String,
    pub(crate) server: Source,
    pub(crate) client: Source,
    /// What the client prints.
    pub(crate) prints: Vec<String>,
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}_called_from_{}", self.name, self.server, self.client)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "rust",
            Self::Python => "python",
        })
    }
}

pub(crate) fn examples() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The client that belongs to a server: `rpc_client` to `rpc_service`, `events_client` to `events_router`.
pub(crate) fn client_of(server: &str) -> Option<String> {
    let name = server.strip_suffix("_service").or_else(|| server.strip_suffix("_router"))?;
    Some(format!("{name}_client"))
}

impl Catalogue {
    pub(crate) fn read() -> Self {
        let mut programs = BTreeMap::<_, BTreeSet<_>>::new();
        for (directory, extension, source) in [("src/bin", "rs", Source::Rust), ("python", "py", Source::Python)] {
            for name in names(&examples().join(directory), extension) {
                programs.entry(name).or_default().insert(source);
            }
        }
        programs.remove("addresses"); // what the Python programs share
        Self { programs, prints: tables(&examples().join("README.md")) }
    }

    fn sources(&self, program: &str) -> impl Iterator<Item = Source> + '_ {
        self.programs.get(program).into_iter().flatten().copied()
    }

    /// Every server with its client, in all languages that both are written in.
    pub(crate) fn pairings(&self) -> Vec<Pairing> {
        let mut pairings = vec![];
        for name in self.programs.keys() {
            let (Some(client), Some(prints)) = (client_of(name), self.prints.get(name)) else { continue };
            for server in self.sources(name) {
                for client in self.sources(&client) {
                    pairings.push(Pairing { name: name.clone(), server, client, prints: prints.clone() });
                }
            }
        }
        pairings
    }

    /// The programs that are no part of a pair, and what they print.
    pub(crate) fn alone(&self) -> Vec<(String, Vec<String>)> {
        let alone = self.programs.keys().filter(|name| !name.ends_with("_client") && client_of(name).is_none());
        alone.filter_map(|name| Some((name.clone(), self.prints.get(name)?.clone()))).collect()
    }

    /// Every program is run: it has a row, or is the client of one that has; and every row has a program.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        let clients: BTreeSet<_> = self.programs.keys().filter_map(|name| client_of(name)).collect();
        let named: BTreeSet<_> = self.prints.keys().cloned().chain(clients).collect();
        let there: BTreeSet<_> = self.programs.keys().cloned().collect();
        let (unnamed, missing): (Vec<_>, Vec<_>) =
            (there.difference(&named).collect(), named.difference(&there).collect());
        if unnamed.is_empty() && missing.is_empty() {
            return Ok(());
        }
        Err(format!("README.md has no row for the programs {unnamed:?}, and rows for {missing:?}, which do not exist")
            .into())
    }
}

fn names(directory: &Path, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map_while(Result::ok).map(|entry| entry.path());
    let programs = paths.filter(|path: &PathBuf| path.extension().is_some_and(|found| found == extension));
    programs.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

/// The rows of all tables: the program, or the pair, of the first column, and the lines of the last one.
fn tables(readme: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(readme).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
    let mut prints = BTreeMap::new();
    let mut of_pairs = false;
    for line in text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
        match *first {
            "example" => of_pairs = true,
            "program" => of_pairs = false,
            _ if line.starts_with("| `") => {
                // "`events`", "`events` with `events_router`"
                let name = first.rsplit(' ').next().unwrap_or(first).trim_matches('`').to_owned();
                let name = if of_pairs && !first.contains(' ') { name + "_service" } else { name };
                let lines = last.split("<br>").map(|line| line.trim_matches('`').to_owned());
                prints.insert(name, lines.collect());
            }
            _ => {}
        }
    }
    prints
}

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use libtest_mimic::Failed;

use crate::readme::{self, Row, Table};

/// In which language a program is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Rust,
    Python,
}

/// What there is: programs from the directories, what they print from README.md.
pub(crate) struct Catalogue {
    programs: BTreeMap<String, BTreeSet<Source>>,
    rows: Vec<Row>,
    /// The text of README.md.
    readme: String,
}

/// A server, a client of it, and in which languages.
pub(crate) struct Pairing {
    title: String,
    pub(crate) server: (String, Source),
    pub(crate) client: (String, Source),
    /// What the client prints.
    pub(crate) prints: Vec<String>,
}

/// A router, workers behind it, and a caller.
pub(crate) struct Routing {
    title: String,
    pub(crate) name: String,
    pub(crate) router: Source,
    pub(crate) workers: Vec<Worker>,
    pub(crate) caller: Source,
    /// What the caller prints.
    pub(crate) prints: Vec<String>,
}

pub(crate) struct Worker {
    /// What it is told to be called; `None`: it has one name only.
    pub(crate) app_name: Option<String>,
    pub(crate) source: Source,
}

/// The example behind a router that is run in all mixes of languages.
const IN_ALL_LANGUAGES: &str = "rpc";

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}_called_from_{}", self.title, self.server.1, self.client.1)
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers: BTreeSet<_> = self.workers.iter().map(|worker| worker.source.to_string()).collect();
        let workers = Vec::from_iter(workers).join("_and_");
        write!(f, "{}::{}_with_{workers}_called_from_{}", self.title, self.router, self.caller)
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

/// Where programs are, by their purpose.
const FOLDERS: [&str; 3] = ["pairs", "router", "standalone"];

/// The file of a program of one language. It may not exist.
pub(crate) fn file(program: &str, source: Source) -> PathBuf {
    let extension = match source {
        Source::Rust => "rs",
        Source::Python => "py",
    };
    let in_folder = |folder| examples().join(folder).join(program).with_extension(extension);
    FOLDERS.map(in_folder).into_iter().find(|file| file.exists()).unwrap_or_else(|| in_folder(FOLDERS[0]))
}

fn examples() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Catalogue {
    /// Those written in Rust.
    pub(crate) fn of_rust(&self) -> Vec<String> {
        let of_rust = self.programs.iter().filter(|(_, sources)| sources.contains(&Source::Rust));
        of_rust.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn read() -> Self {
        let mut programs = BTreeMap::<_, BTreeSet<_>>::new();
        for folder in FOLDERS {
            for (extension, source) in [("rs", Source::Rust), ("py", Source::Python)] {
                for name in names(&examples().join(folder), extension) {
                    programs.entry(name).or_default().insert(source);
                }
            }
        }
        programs.remove("addresses"); // what the Python programs share
        let readme = examples().join("README.md");
        let text = fs::read_to_string(&readme).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
        Self { programs, rows: readme::rows(&text), readme: text }
    }

    /// A program, in each language it is written in.
    fn versions(&self, program: &str) -> impl Iterator<Item = (String, Source)> {
        let sources = self.programs.get(program).into_iter().flatten();
        sources.map(|source| (program.to_owned(), *source)).collect::<Vec<_>>().into_iter()
    }

    /// Every server with its client, in all languages that both are written in.
    pub(crate) fn pairings(&self) -> Vec<Pairing> {
        let mut pairings = vec![];
        for row in self.rows.iter().filter(|row| row.table == Table::Pairs) {
            let [server, client] = row.pair();
            for server in self.versions(&server) {
                for client in self.versions(&client) {
                    let (title, server, prints) = (row.title(), server.clone(), row.prints.clone());
                    pairings.push(Pairing { title, server, client, prints });
                }
            }
        }
        pairings
    }

    /// Every worker and its caller with the router. Of the eight mixes of languages the main
    /// example takes all, the others four, in which any two of router, worker and caller meet in
    /// any two languages.
    pub(crate) fn routings(&self) -> Vec<Routing> {
        const BOTH: [Source; 2] = [Source::Rust, Source::Python];
        let mut routings = vec![];
        for row in self.rows.iter().filter(|row| row.table == Table::BehindRouter) {
            for (router, caller) in BOTH.into_iter().flat_map(|router| BOTH.map(|caller| (router, caller))) {
                let four_of_eight = if router == caller { &BOTH[..1] } else { &BOTH[1..] };
                let fixed = row.workers.iter().all(|worker| worker.language.is_some());
                let languages = match row.name.as_str() {
                    _ if fixed => &BOTH[..1], // whichever
                    IN_ALL_LANGUAGES => &BOTH[..],
                    _ => four_of_eight,
                };
                for &language in languages {
                    let several = row.workers.len() > 1;
                    let workers = row.workers.iter().map(|worker| Worker {
                        app_name: (several && worker.language.is_none()).then(|| worker.app_name.clone()),
                        source: worker.language.unwrap_or(language),
                    });
                    routings.push(Routing {
                        title: row.title(),
                        name: row.name.clone(),
                        router,
                        workers: workers.collect(),
                        caller,
                        prints: row.prints.clone(),
                    });
                }
            }
        }
        routings
    }

    /// The files of all programs, below the folder of the examples.
    fn files(&self) -> impl Iterator<Item = String> {
        let versions = self.programs.keys().flat_map(|program| self.versions(program));
        let files = versions.map(|(program, source)| file(&program, source));
        files.filter_map(|file| Some(file.strip_prefix(examples()).ok()?.to_str()?.to_owned()))
    }

    /// The programs that are no part of a pair, and what they print.
    pub(crate) fn alone(&self) -> Vec<(String, Vec<String>)> {
        self.listed_in(Table::Alone)
    }

    /// The programs that serve a web page, and what the page writes.
    pub(crate) fn pages(&self) -> Vec<(String, Vec<String>)> {
        self.listed_in(Table::Pages)
    }

    fn listed_in(&self, table: Table) -> Vec<(String, Vec<String>)> {
        let rows = self.rows.iter().filter(|row| row.table == table);
        rows.map(|row| (row.name.clone(), row.prints.clone())).collect()
    }

    /// Every program is run, because a row speaks of it; what the rows speak of exists; and a link
    /// leads to each file.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        let unlinked: Vec<_> = self.files().filter(|file| !self.readme.contains(&format!("]({file})"))).collect();
        if !unlinked.is_empty() {
            return Err(format!("README.md has no link to {unlinked:?}").into());
        }
        let named: BTreeSet<_> = self.rows.iter().flat_map(Row::programs).collect();
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

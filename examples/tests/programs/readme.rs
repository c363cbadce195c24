//! The tables of README.md: what programs there are for, and what they print.

use crate::catalogue::Source;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// A service, or another server that is named in the row, and its client.
    Pairs,
    /// Workers and a caller, which need a router.
    BehindRouter,
    Alone,
    /// A program that serves a web page.
    Pages,
}

/// A row of a table.
pub(crate) struct Row {
    pub(crate) table: Table,
    pub(crate) name: String,
    /// The server of a pair, if it is another than the example's own service.
    server: Option<String>,
    /// Behind a router.
    pub(crate) workers: Vec<NamedWorker>,
    /// The lines of the last column.
    pub(crate) prints: Vec<String>,
}

pub(crate) struct NamedWorker {
    pub(crate) app_name: String,
    /// If it is written in one only.
    pub(crate) language: Option<Source>,
}

impl Row {
    /// What tells it from all other rows.
    pub(crate) fn title(&self) -> String {
        match (&self.server, self.table) {
            (Some(server), _) => format!("{}_at_{server}", self.name),
            (None, Table::BehindRouter) => format!("{}_behind_router", self.name),
            (None, _) => self.name.clone(),
        }
    }

    /// The server and the client of a pair.
    pub(crate) fn pair(&self) -> [String; 2] {
        let service = || format!("{}_service", self.name);
        [self.server.clone().unwrap_or_else(service), format!("{}_client", self.name)]
    }

    /// The programs it is about.
    pub(crate) fn programs(&self) -> Vec<String> {
        match self.table {
            Table::Pairs => self.pair().into(),
            Table::BehindRouter => {
                vec!["router".to_owned(), format!("{}_worker", self.name), format!("{}_caller", self.name)]
            }
            Table::Alone | Table::Pages => vec![self.name.clone()],
        }
    }
}

/// The rows of all tables. The heading of the first column tells which table it is.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let mut rows = vec![];
    let mut table = None;
    for line in text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        match (cells[0], table) {
            ("example", _) => table = Some(Table::Pairs),
            ("example behind a router", _) => table = Some(Table::BehindRouter),
            ("program", _) => table = Some(Table::Alone),
            ("page", _) => table = Some(Table::Pages),
            (_, Some(table)) if line.starts_with("| `") => rows.push(row(table, &cells)),
            _ => {}
        }
    }
    rows
}

fn row(table: Table, cells: &[&str]) -> Row {
    // "`events`", "`events` at `router`", each before links to the programs.
    let (name, _links) = cells[0].split_once("<br>").unwrap_or((cells[0], ""));
    let (name, server) = match name.split_once(" at ") {
        Some((name, server)) => (name, Some(unquoted(server))),
        None => (name, None),
    };
    let workers = match table {
        Table::BehindRouter => cells[1].split(", ").map(worker).collect(),
        Table::Pairs | Table::Alone | Table::Pages => vec![],
    };
    let prints = cells[cells.len() - 1].split("<br>").map(unquoted).collect();
    Row { table, name: unquoted(name), server, workers, prints }
}

/// "`east`", "`rust-worker` in Rust"
fn worker(text: &str) -> NamedWorker {
    let (name, language) = match text.split_once(" in ") {
        Some((name, "Rust")) => (name, Some(Source::Rust)),
        Some((name, "Python")) => (name, Some(Source::Python)),
        _ => (text, None),
    };
    NamedWorker { app_name: unquoted(name), language }
}

fn unquoted(text: &str) -> String {
    text.trim_matches('`').to_owned()
}

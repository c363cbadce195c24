//! The two tables of this crate's documentation, made of the recordings and of `rules.txt`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Difference, NodeKind, Only, Session};

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The tables as they should be: the file and its text.
///
/// # Errors
/// A rule that nothing holds, a test or a rule that is named and does not exist, a difference that
/// is told in two ways.
pub fn tables(sessions: &[Session]) -> io::Result<[(PathBuf, String); 2]> {
    Ok([(here("DIFFERENCES.md"), differences(sessions)?), (here("RULES.md"), rules(sessions)?)])
}

fn wrong(text: String) -> io::Error {
    io::Error::other(text)
}

/// Every difference, the steps that bear it, and the sessions they are in.
fn differences(sessions: &[Session]) -> io::Result<String> {
    let mut known: BTreeMap<&str, (&Difference, BTreeSet<&str>)> = BTreeMap::new();
    for session in sessions {
        for difference in &session.differences {
            let (first, names) = known.entry(&difference.key).or_insert_with(|| (difference, BTreeSet::new()));
            if *first != difference {
                return Err(wrong(format!("{}: {} is told in another way elsewhere", session.name, difference.key)));
            }
            names.insert(&session.name);
        }
        for step in &session.steps {
            if let Some(Only::Ours(key) | Only::Theirs(key)) = &step.only
                && session.differences.iter().all(|difference| difference.key != *key)
            {
                return Err(wrong(format!("{}: its head does not tell the difference {key}", session.name)));
            }
        }
    }
    let mut text = String::from(
        "| difference | nodes | daffi 3.0.1 | nodes of this project | the promise that asks for it | sessions |\n\
         |---|---|---|---|---|---|\n",
    );
    for (key, (difference, names)) in known {
        let Difference { kinds, theirs, ours, promise, .. } = difference;
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
        line(&mut text, &[&code(key), &kinds.join(", "), theirs, ours, promise, &join_names(&names)]);
    }
    Ok(text)
}

/// So many sessions are listed by name.
const LISTED: usize = 6;

fn join_names(names: &BTreeSet<&str>) -> String {
    if names.len() > LISTED {
        return format!("{} of them", names.len());
    }
    names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Writing to a String never fails.
fn line(text: &mut String, cells: &[&str]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

struct Rule {
    number: String,
    text: String,
    tests: Vec<(String, String)>,
}

fn read_rules() -> io::Result<Vec<Rule>> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in fs::read_to_string(here("rules.txt"))?.lines() {
        let inner = line.trim_start();
        if inner.is_empty() || inner.starts_with('#') {
            continue;
        }
        let (first, rest) = inner.split_once(' ').ok_or_else(|| wrong(format!("rules.txt: {line}")))?;
        if inner.len() == line.len() {
            rules.push(Rule { number: first.to_owned(), text: rest.to_owned(), tests: Vec::new() });
            continue;
        }
        let test = rest.split_once(' ').filter(|_| first == "test");
        match (rules.last_mut(), test) {
            (Some(rule), Some((file, function))) => rule.tests.push((file.to_owned(), function.to_owned())),
            _ => return Err(wrong(format!("rules.txt: {line}"))),
        }
    }
    Ok(rules)
}

/// Every rule of the protocol, and the sessions and tests that hold it.
fn rules(sessions: &[Session]) -> io::Result<String> {
    let rules = read_rules()?;
    let mut holding: BTreeMap<&str, Vec<&Session>> = BTreeMap::new();
    for session in sessions {
        for number in &session.holds {
            if rules.iter().all(|rule| rule.number != *number) {
                return Err(wrong(format!("{}: there is no rule {number}", session.name)));
            }
            holding.entry(number).or_default().push(session);
        }
    }
    let mut text = String::from(
        "| rule | what it says | sessions, and nodes that replay them | further tests |\n|---|---|---|---|\n",
    );
    for rule in &rules {
        let sessions = holding.remove(rule.number.as_str()).unwrap_or_default();
        if sessions.is_empty() && rule.tests.is_empty() {
            return Err(wrong(format!("nothing holds rule {}: {}", rule.number, rule.text)));
        }
        for (file, function) in &rule.tests {
            test_exists(file, function).map_err(|error| wrong(format!("rules.txt: {error}")))?;
        }
        let kinds: BTreeSet<NodeKind> =
            sessions.iter().flat_map(|session| session.parts()).map(|part| part.kind).collect();
        let names = sessions.iter().map(|session| code(&session.name)).collect::<Vec<_>>().join(", ");
        let kinds = kinds.into_iter().map(NodeKind::word).collect::<Vec<_>>().join(", ");
        let sessions = if names.is_empty() { String::new() } else { format!("{names} ({kinds})") };
        let tests: Vec<_> = rule.tests.iter().map(|(file, function)| format!("`{file}` {function}")).collect();
        line(&mut text, &[&rule.number, &rule.text, &sessions, &tests.join("; ")]);
    }
    Ok(text)
}

/// Sees that a test stands where a page says, and is one.
///
/// # Errors
/// There is no such file below the root of the repository, or no such test in it.
pub fn test_exists(file: &str, function: &str) -> io::Result<()> {
    let path = daffi_testing::repository().join(file);
    let source = fs::read_to_string(&path).map_err(|error| wrong(format!("{file}: {error}")))?;
    if is_test(&source, function) {
        return Ok(());
    }
    Err(wrong(format!("{file} has no test {function}")))
}

/// A function below `#[test]`, or a name at the front of a line in a macro's list.
fn is_test(source: &str, name: &str) -> bool {
    let written = source.split_once(&format!("fn {name}(")).is_some_and(|(before, _)| {
        let attributes = before.rsplit("\n\n").next().unwrap_or_default();
        attributes.contains("test]") || attributes.contains("test(") || attributes.contains("proptest!")
    });
    let starts =
        |line: &str| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', ':', ',']));
    let mut lists = source.split("! {\n").skip(1).filter_map(|after| after.split("\n}").next());
    written || lists.any(|list| list.lines().any(starts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_other_functions() {
        let source = "fn helper() {}\n\n#[tokio::test]\nasync fn real() {}\n\nall! {\n    made = x,\n    listed,\n}\n";
        assert!(["real", "made", "listed"].iter().all(|name| is_test(source, name)));
        assert!(!["helper", "gone", "mad"].iter().any(|name| is_test(source, name)));
    }
}

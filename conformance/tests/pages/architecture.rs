use std::fs;

use conformance::test_exists;
use daffi_testing::repository;

use crate::files::outside_of_code;

const HOUSE: &str = "ARCHITECTURE.md";
const INVARIANTS: &str = "docs/invariants.md";

fn page(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The paths that a text names in code spans; `a/{b,c}` stands for two.
fn paths(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2).filter(|span| span.contains('/') && !span.contains("//"));
    let each = spans.flat_map(|span| match span.strip_suffix('}').and_then(|span| span.split_once('{')) {
        Some((before, names)) => names.split(',').map(|name| format!("{before}{name}")).collect(),
        None => vec![span.to_owned()],
    });
    each.collect()
}

#[test]
fn files_that_are_named_exist() {
    for name in [HOUSE, INVARIANTS] {
        let page = page(name);
        let named = paths(&outside_of_code(&page).collect::<Vec<_>>().join("\n"));
        let missing: Vec<_> = named.iter().filter(|path| !repository().join(path).exists()).collect();
        assert!(missing.is_empty(), "{name} names {missing:#?}, which do not exist");
        assert!(named.len() > 80, "{} files were found in {name}, and more are named", named.len());
    }
}

#[test]
fn invariants_are_held_by_tests() {
    let page = page(INVARIANTS);
    let (_, table) = page.split_once("| invariant |").expect("there is a table of invariants");
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 15, "{} rows were found, and there are more", rows.len());
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [statement, _, held] = cells[..] else { panic!("three cells: {row}") };
        let (file, test) = held.split_once(' ').unwrap_or_else(|| panic!("{statement}: a file and a test"));
        test_exists(file.trim_matches('`'), test).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[test]
fn faults_that_were_seen_have_tests() {
    let page = page(INVARIANTS);
    let (_, table) = page.split_once("| seen |").expect("there is a table of faults");
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 18, "{} rows were found, and there are more", rows.len());
    for row in rows {
        let (fault, tests) = row.trim_matches('|').split_once('|').expect("two cells");
        for named in tests.split(';') {
            let (file, test) = named.trim().split_once(' ').unwrap_or_else(|| panic!("{fault}: a file and a test"));
            test_exists(file.trim_matches('`'), test).unwrap_or_else(|error| panic!("{fault}: {error}"));
        }
    }
}

#[test]
fn paths_are_told_from_other_code() {
    let text = "`a/b.rs`, `daffi/{x,y}`, `cargo`, `tcp://127.0.0.1:5000`";
    assert_eq!(paths(text), ["a/b.rs", "daffi/x", "daffi/y"]);
}

use std::{collections::BTreeSet, fs};

use conformance::recordings;
use daffi_testing::repository;

use crate::files::{anchors, texts};

fn page() -> String {
    fs::read_to_string(repository().join("docs/protocol.md")).expect("the page of the wire is there")
}

fn page_of_level_four() -> String {
    fs::read_to_string(repository().join("daffi-wire/LEVEL_FOUR.md")).expect("the page of level 4 is there")
}

/// The sections that a text cites, in a comment as `docs/protocol.md#5.3` and in docs as a link to
/// the module.
fn cited(text: &str) -> impl Iterator<Item = &str> {
    let after = ["protocol.md#", "::protocol#"].into_iter().flat_map(|mark| text.split(mark).skip(1));
    after.filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        Some(rest[..end].trim_end_matches('.')).filter(|section| !section.is_empty())
    })
}

#[test]
fn cited_sections_exist() {
    let sections = anchors(&page());
    let (mut citations, mut wrong) = (0, vec![]);
    for (path, text) in texts(&["rs", "md", "py", "txt", "toml"]) {
        for section in cited(&text) {
            citations += 1;
            if !sections.iter().any(|known| known == section) {
                wrong.push(format!("{}: {section}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/protocol.md has no sections {wrong:#?}");
    assert!(citations > 70, "{citations} citations were found, and there are more");
}

#[test]
fn every_rule_belongs_to_a_section() {
    let (sections, headings) = (anchors(&page()), anchors(&page_of_level_four()));
    let rules = fs::read_to_string(repository().join("conformance/rules.txt")).expect("the rules are there");
    let (rules, of_level_four): (Vec<_>, Vec<_>) = rules
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()))
        .partition(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    assert!(rules.len() > 50 && of_level_four.len() > 40, "{} and {}", rules.len(), of_level_four.len());
    for rule in of_level_four {
        let heading = rule.split_once('/').map(|(heading, _)| heading);
        let is_known = heading.is_some_and(|heading| headings.iter().any(|known| known == heading));
        assert!(is_known, "daffi-wire/LEVEL_FOUR.md has no such heading: {rule}");
    }
    for rule in rules {
        let section = rule.find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rule, |end| &rule[..end]);
        let section = section.trim_end_matches('.');
        assert!(sections.iter().any(|known| known == section), "docs/protocol.md has no section {section}: {rule}");
    }
}

/// Each page names the recordings that show what it says; none is left out, and none is made up.
#[test]
fn every_recording_is_named() {
    let all = recordings().expect("the recordings can be read");
    for (page, is_level_four) in [(page(), false), (page_of_level_four(), true)] {
        let page = page.replace('\n', " ");
        let listed = page.split("Recorded:").skip(1).filter_map(|rest| rest.split('.').next());
        let named: BTreeSet<_> = listed.flat_map(|list| list.split('`').skip(1).step_by(2)).collect();
        let there = all.iter().filter(|session| session.is_level_four() == is_level_four);
        assert_eq!(named, there.map(|session| session.name.as_str()).collect::<BTreeSet<_>>());
    }
}

#[test]
fn citations_are_found() {
    let text = "// As docs/protocol.md#5.3.\n/// ([protocol, 10.5](daffi_wire::protocol#10.5)) protocol.md#x";
    assert_eq!(cited(text).collect::<Vec<_>>(), ["5.3", "10.5"]);
}

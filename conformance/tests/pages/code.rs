//! Rules of the style that a look at the source can hold.

use std::collections::BTreeMap;

use daffi_testing::repository;

use crate::files::texts;

/// Columns that a line of a comment takes at most.
const COLUMNS: usize = 100;

/// Lines that a file has at most.
const LINES: usize = 500;

/// What is wrong with the errors of this source: `Display` repeats the words of its `source`.
fn repeats(source: &str) -> Vec<String> {
    let mut found = vec![];
    for rest in source.split("#[error(").skip(1) {
        let Some((text, rest)) = rest.split_once(")]") else { continue };
        // The fields of this variant, or of this type: up to the next attribute or the end.
        let fields = rest.split("\n}").next().unwrap_or_default();
        let has_source = ["#[source]", "#[from]", " source:"].iter().any(|mark| fields.contains(mark));
        let shows = ["{0", "{source", "(.0", " .0"].iter().any(|mark| text.contains(mark));
        if has_source && shows {
            found.push(text.trim().to_owned());
        }
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Comments that are longer than they should be and could be wrapped.
fn too_wide(source: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    source.lines().filter(move |line| {
        let text = line.trim_start().trim_start_matches(['/', '!']).trim_start();
        code ^= is_comment(line) && text.starts_with("```");
        let can_wrap = text.contains(' ') && !code && !text.starts_with(['|', '$', '[']);
        is_comment(line) && can_wrap && line.chars().count() > COLUMNS
    })
}

#[test]
fn errors_do_not_repeat_their_source() {
    let faults: Vec<_> = texts(&["rs"])
        .into_iter()
        .filter(|(path, _)| !path.ends_with("pages/code.rs"))
        .flat_map(|(path, text)| repeats(&text).into_iter().map(move |error| format!("{}: {error}", path.display())))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The public errors that this source defines: types of that name, and what calls itself an error.
fn errors(source: &str) -> impl Iterator<Item = &str> {
    let mut is_error = false;
    source.lines().filter_map(move |line| {
        is_error |= line.contains("derive(") && line.contains("thiserror::Error");
        let item = line.strip_prefix("pub enum ").or_else(|| line.strip_prefix("pub struct "));
        let private = line.starts_with("pub(") || line.starts_with("enum ") || line.starts_with("struct ");
        if item.is_none() && !private {
            return None;
        }
        let was_error = std::mem::take(&mut is_error);
        let name = item?.split(|c: char| !c.is_alphanumeric()).next()?;
        (was_error || name.ends_with("Error")).then_some(name)
    })
}

#[test]
fn the_facade_exports_every_error() {
    let (mut found, mut missing) = (0, vec![]);
    let facade = std::fs::read_to_string(repository().join("daffi/src/lib.rs")).unwrap();
    let exports = |name: &str| facade.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
    for (path, text) in texts(&["rs"]) {
        let is_below = ["daffi-wire/", "daffi-serde/", "daffi-transport/", "daffi-core/"];
        let path = path.to_string_lossy();
        if path.contains("/src/") && is_below.iter().any(|folder| path.contains(folder)) {
            for error in errors(&text) {
                found += 1;
                // It comes with the module of values.
                if !exports(error) && error != "NotInCalendar" {
                    missing.push(format!("{path}: {error}"));
                }
            }
        }
    }
    assert!(found > 15 && missing.is_empty(), "{found} errors; not in the facade: {}", missing.join(", "));
}

/// The types that this source defines beside its functions and tests.
fn types(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let item = match line.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
            Some(rest) => rest.trim_start(),
            None => line,
        };
        let name = ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|kind| item.strip_prefix(kind))?;
        name.split(|c: char| !c.is_alphanumeric()).next()
    })
}

/// In what moves frames one name is one thing, private types included.
#[test]
fn no_type_name_stands_for_two_things() {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for (path, text) in texts(&["rs"]) {
        let path = path.to_string_lossy().into_owned();
        let is_searched = ["daffi-wire/", "daffi-transport/", "daffi-core/"].iter().any(|folder| path.contains(folder));
        if is_searched && path.contains("/src/") && !path.ends_with("tests.rs") {
            for name in types(&text) {
                found.entry(name.to_owned()).or_default().push(path.clone());
            }
        }
    }
    let twice: Vec<_> = found.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(found.len() > 200 && twice.is_empty(), "{} types; twice: {twice:#?}", found.len());
}

#[test]
fn comments_are_wrapped() {
    let faults: Vec<_> = texts(&["rs"])
        .into_iter()
        .flat_map(|(path, text)| too_wide(&text).map(|line| format!("{}: {line}", path.display())).collect::<Vec<_>>())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_are_short() {
    let long = texts(&["rs"]).into_iter().map(|(path, text)| (path, text.lines().count()));
    let faults: Vec<_> = long.filter(|(_, lines)| *lines > LINES).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn faults_are_found() {
    let repeated = "#[error(\"no: {0}\")]\n    Io(#[from] io::Error),\n}";
    assert_eq!(repeats(repeated), ["\"no: {0}\""]);
    assert!(repeats(&repeated.replace(": {0}", "")).is_empty());
    let errors_of = |source| errors(source).collect::<Vec<_>>();
    assert_eq!(errors_of("pub struct BadError;\nstruct OwnError;\npub enum Kind {}"), ["BadError"]);
    assert_eq!(errors_of("#[derive(Debug, thiserror::Error)]\npub struct Missing;\npub struct Kind;"), ["Missing"]);
    let defined = "pub(crate) struct A<T>;\nenum B {}\npub trait C: Send {}\n    struct Inside;\nlet enum_like = 1;";
    assert_eq!(types(defined).collect::<Vec<_>>(), ["A", "B", "C"]);
    let wide = format!("/// {}", "word ".repeat(20));
    assert_eq!(too_wide(&wide).count(), 1);
    assert_eq!(too_wide(&format!("/// ```\n{wide}\n/// ```")).count(), 0);
}

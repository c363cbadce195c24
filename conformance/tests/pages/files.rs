use std::{
    fs,
    path::{Path, PathBuf},
};

use daffi_testing::repository;

/// Neither read nor descended into: what is built, and what belongs to somebody else.
const SKIPPED: [&str; 4] = ["target", "node_modules", "__pycache__", "cargo-package"];

/// The text files of the repository whose names end in one of `extensions`, with their text.
pub(crate) fn texts(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    collect(repository(), extensions, &mut found);
    found.sort();
    assert!(found.len() > 10, "the repository has many {extensions:?}");
    found
}

fn collect(directory: &Path, extensions: &[&str], found: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let entry = entry.expect("a directory of the repository can be read");
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !name.starts_with('.') && !SKIPPED.contains(&&*name) {
                collect(&path, extensions, found);
            }
        } else if extensions.iter().any(|extension| path.extension().is_some_and(|its| its == *extension)) {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path, text));
        }
    }
}

/// What a page can be linked by, as both rustdoc and the usual viewers of Markdown have it: the
/// `id`s that are written in it, and its headings in lower case with hyphens.
pub(crate) fn anchors(markdown: &str) -> Vec<String> {
    let written = markdown.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    let headings = outside_of_code(markdown)
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    written.chain(headings.map(slug)).collect()
}

/// The lines of a page that are not code to show.
pub(crate) fn outside_of_code(markdown: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn headings_and_ids_are_anchors() {
    let page = "# <a id=\"5.1\"></a>5.1 The body\n```sh\n# no heading\n```\n## The bar, as measured\n";
    let anchors = anchors(page);
    assert!(["5.1", "the-bar-as-measured"].iter().all(|anchor| anchors.iter().any(|found| found == anchor)));
    assert!(!anchors.iter().any(|anchor| anchor == "no-heading"));
}

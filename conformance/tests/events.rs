//! Events of the log are texts that stay the same, and those that a router logs are documented.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where a router logs what its operator sees unless he asks for more.
const SOURCES: [&str; 8] = [
    "daffi-core/src/server",
    "daffi-core/src/router",
    "daffi-core/src/conn",
    "daffi-transport/tls/src",
    "daffi/cli/src/commands/router",
    "daffi/cli/src/descriptors.rs",
    "daffi/cli/src/server.rs",
    "daffi/cli/src/signals.rs",
];

/// What only a fault of this project, or of the machine it runs on, brings about.
const UNDOCUMENTED: [&str; 8] = [
    "the task that takes connections panicked",
    "clients have found no other server",
    "a notice does not fit into a frame",
    "refused what a member wants to watch",
    "a callback held up a connection",
    "fewer files may be open",
    "this is no option of",
    "the certificate's files were read again",
];

fn files(at: &Path, all: &mut Vec<PathBuf>) {
    if at.is_dir() {
        fs::read_dir(at).unwrap().for_each(|entry| files(&entry.unwrap().path(), all));
    } else if at.extension().is_some_and(|extension| extension == "rs") {
        all.push(at.to_owned());
    }
}

/// The texts of the lines at the usual level in a source: the last literal of each.
fn events(source: &str) -> Vec<String> {
    let levels = ["tracing::info!(", "tracing::warn!(", "tracing::error!("];
    let starts = levels.iter().flat_map(|level| source.match_indices(level).map(|(at, level)| at + level.len()));
    starts.filter_map(|start| literal(&source[start..])).collect()
}

/// The last literal before the parenthesis that ends a call.
fn literal(call: &str) -> Option<String> {
    let (mut depth, mut last, mut rest) = (1, None, call.char_indices());
    while let Some((_, sign)) = rest.next() {
        match sign {
            '(' => depth += 1,
            ')' => depth -= 1,
            '"' => {
                let mut text = String::new();
                while let Some((_, sign)) = rest.next() {
                    match sign {
                        '"' => break,
                        // The line goes on behind its blanks.
                        '\\' => match rest.next()?.1 {
                            '\n' => rest = after_blanks(call, rest),
                            escaped => text.push(escaped),
                        },
                        sign => text.push(sign),
                    }
                }
                last = Some(text);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    last
}

fn after_blanks<'a>(call: &'a str, rest: std::str::CharIndices<'a>) -> std::str::CharIndices<'a> {
    let begins = rest.offset();
    let blanks = call[begins..].len() - call[begins..].trim_start().len();
    let mut rest = rest;
    for _ in 0..blanks {
        rest.next();
    }
    rest
}

#[test]
fn events_stay_the_same_and_are_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let documented: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|text| text.len() > 3).collect();
    let mut all = Vec::new();
    SOURCES.iter().for_each(|source| files(&root.join(source), &mut all));
    let mut count = 0;
    for file in all {
        for event in events(&fs::read_to_string(&file).unwrap()) {
            count += 1;
            assert!(!event.contains('{'), "what differs belongs into a field: {event:?} in {}", file.display());
            let is_known = documented.iter().any(|text| event.starts_with(text))
                || UNDOCUMENTED.iter().any(|text| event.starts_with(text));
            assert!(is_known, "docs/operating.md does not say what this means: {event:?} in {}", file.display());
        }
    }
    assert!(count > 30, "{count}");
}

//! The engine is built in one direction: a module imports only from those below it, and from the
//! folder that defines a thing. The lowest of them are functions of what they are given.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules that everything may use. Among themselves they are ordered too.
const LEAVES: &[&str] =
    &["trace", "config", "keyed", "stats", "lanes", "events", "scratch", "deadline", "error", "refusal", "recent"];

/// Each other module, and which others it may import from beside the leaves. Two within `serve`
/// that know each other stand in the list of both; nobody else imports from one that stands below
/// it here.
const ABOVE: &[(&str, &[&str])] = &[
    ("session", &[]),
    ("conn", &["session"]),
    ("data", &["session", "conn"]),
    ("serve::lifecycle", &[]),
    ("serve::pace", &["conn"]),
    ("serve::node", &["conn", "serve::lifecycle"]),
    ("serve::extensions", &[]),
    ("serve::caller", &["conn", "serve::node"]),
    ("serve::last_word", &["conn", "serve::node", "serve::caller"]),
    ("serve::invocation", &["data", "serve::caller", "serve::last_word"]),
    ("serve::read_extensions", &[]),
    (
        "serve::context",
        &[
            "session",
            "conn",
            "serve::extensions",
            "serve::caller",
            "serve::invocation",
            "serve::read_extensions",
            "serve::node",
            "serve::incoming",
        ],
    ),
    // A context gives the arguments that come one by one, until nobody waits for its call any more.
    ("serve::incoming", &["conn", "data", "serve::context"]),
    ("serve::open_data", &["conn", "data", "serve::context", "serve::read_extensions"]),
    (
        "serve::arriving",
        &[
            "data",
            "serve::caller",
            "serve::context",
            "serve::invocation",
            "serve::open_data",
            "serve::read_extensions",
            "serve::reply",
        ],
    ),
    // A reply may be one of many parts, which end as any reply does.
    ("serve::reply", &["conn", "serve::context", "serve::items", "serve::large", "serve::span"]),
    ("serve::large", &["conn", "data", "serve::context", "serve::open_data", "serve::reply"]),
    ("serve::items", &["conn", "data", "serve::context", "serve::reply", "serve::request", "serve::span"]),
    // A span ends with the reply, or with the items that it has.
    ("serve::span", &["serve::reply", "serve::request"]),
    // A request is on its way to a callback, and a callback is a function of requests.
    (
        "serve::request",
        &["session", "conn", "serve::context", "serve::extensions", "serve::large", "serve::reply", "serve::callback"],
    ),
    ("serve::answering", &["serve::reply", "serve::request"]),
    (
        "serve::callback",
        &["serve::answering", "serve::pace", "serve::context", "serve::items", "serve::reply", "serve::request"],
    ),
    ("serve::registry", &["serve::callback"]),
    (
        "serve::dispatch",
        &[
            "conn",
            "data",
            "serve::caller",
            "serve::invocation",
            "serve::context",
            "serve::reply",
            "serve::request",
            "serve::callback",
            "serve::span",
        ],
    ),
    ("serve::layers", &["conn", "serve::reply", "serve::request", "serve::callback", "serve::dispatch"]),
    ("serve::run", &["conn", "data", "serve"]),
    // A node without sockets, for tests.
    ("serve::bare", &["conn", "serve"]),
    ("serve", &["serve"]),
    ("client", &["session", "conn", "data", "serve"]),
    ("call", &["session", "conn", "data", "client"]),
    ("server", &["session", "conn", "serve"]),
    ("service", &["session", "conn", "serve", "server"]),
    ("router", &["session", "conn", "data", "serve", "server"]),
    ("internals", &["session", "conn", "serve", "client", "call", "server", "service", "router"]),
];

/// What may import from the crate root: it only names what the crate exports.
const ROOT: &str = "lib.rs";

#[test]
fn modules_import_downwards_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = BTreeSet::new();
    let mut imports = 0;
    for file in sources(&root) {
        let name = file.strip_prefix(&root).unwrap().with_extension("");
        if file.ends_with(ROOT) {
            continue;
        }
        let path: Vec<_> = name.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        let module: Vec<_> = path.iter().filter(|part| *part != "mod").cloned().collect();
        for import in imported(&fs::read_to_string(&file).unwrap(), &module) {
            imports += 1;
            if !is_allowed(&module, &import) {
                wrong.insert(format!("{} imports {}", module.join("::"), import.join("::")));
            }
        }
    }
    assert!(imports > 200, "the sources were not read as expected: {imports} imports");
    assert!(wrong.is_empty(), "against the direction of the crate:\n{}", Vec::from_iter(wrong).join("\n"));
}

/// What a state machine that is given frames and the time has no use for.
const NOT_IN_SESSIONS: &[&str] = &[
    "Mutex",
    "RwLock",
    "Atomic",
    "Condvar",
    "Notify",
    "Instant::now",
    "SystemTime",
    "async ",
    ".await",
    "tokio",
    "thread",
];

#[test]
fn sessions_have_no_lock_no_task_and_no_clock() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session")) {
        if file.to_string_lossy().ends_with("_tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code =
            text.split("#[cfg(test)]").next().unwrap().lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            lines += 1;
            if NOT_IN_SESSIONS.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(lines > 1000, "the sources were not read as expected: {lines} lines");
    assert!(wrong.is_empty(), "not of a state machine:\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_seen() {
    let module = ["client".to_owned(), "credit".to_owned()];
    let source = "use super::{ClientConn, inner::{A, B as C}, super::scratch::Scratch};\nuse crate::session::Owed;\n// use crate::no::No;\n\
                  fn f() { crate::call::later(); }\nmod tests { use super::*; }";
    let seen: Vec<_> = imported(source, &module).into_iter().map(|import| import.join("::")).collect();
    assert_eq!(
        seen,
        [
            "client::ClientConn",
            "client::inner::A",
            "client::inner::B as C",
            "scratch::Scratch",
            "session::Owed",
            "call::later",
        ]
    );
    let of = |path: &str| path.split("::").map(ToOwned::to_owned).collect::<Vec<_>>();
    assert!(is_allowed(&of("client::credit"), &of("session::Owed")));
    assert!(!is_allowed(&of("client::credit"), &of("call::later")), "upwards");
    assert!(!is_allowed(&of("client::credit"), &of("Client")), "through the crate root");
    assert!(!is_allowed(&of("serve::node"), &of("serve::request::Request")));
    assert!(!is_allowed(&of("error"), &of("refusal::Refusal")));
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// All paths within this crate that a source names, from the crate root. Only tests import all of a
/// module, their own.
fn imported(source: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]).collect();
    let mut all = Vec::new();
    let mut rest = &code[..];
    while let Some(at) = ["crate::", "super::"].iter().filter_map(|root| rest.find(root)).min() {
        let is_new = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
        let parent = &module[..module.len().saturating_sub(1)];
        let from = if rest[at..].starts_with("crate") { Vec::new() } else { parent.to_vec() };
        rest = &rest[at + "crate::".len()..];
        if is_new && !rest.starts_with('*') {
            let end = rest.find([';', '(', ')', '>', '<', ' ', '\n', ',']).unwrap_or(rest.len());
            let tree = if rest[..end].contains('{') { &rest[..rest.find(';').unwrap()] } else { &rest[..end] };
            rest = &rest[tree.len()..];
            expand(tree, &from, &mut all);
        }
    }
    all
}

/// Writes an import tree out as single paths.
fn expand(tree: &str, from: &[String], all: &mut Vec<Vec<String>>) {
    let Some((path, branches)) = tree.split_once('{') else {
        return all.push(below(from, tree));
    };
    let from = below(from, path);
    let branches = branches.trim().strip_suffix('}').unwrap();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in branches.char_indices().chain([(branches.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !branches[start..at].trim().is_empty() {
                    expand(branches[start..at].trim(), &from, all);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The path that `path` is, seen from `from`.
fn below(from: &[String], path: &str) -> Vec<String> {
    let mut whole = from.to_vec();
    for part in path.split("::").map(str::trim).filter(|part| !part.is_empty()) {
        if part == "super" {
            whole.pop();
        } else {
            whole.push(part.to_owned());
        }
    }
    whole
}

fn is_allowed(module: &[String], import: &[String]) -> bool {
    let to = import.join("::");
    let within = |path: &str, of: &str| path == of || path.starts_with(&format!("{of}::"));
    let leaf = |path: &str| LEAVES.iter().position(|leaf| within(path, leaf));
    let from = module.join("::");
    if let Some(own) = leaf(&from) {
        return leaf(&to).is_some_and(|other| other <= own);
    }
    let Some((own, below)) = ABOVE.iter().find(|(above, _)| within(&from, above)) else { return false };
    leaf(&to).is_some() || within(&to, own) || below.iter().any(|below| within(&to, below))
}

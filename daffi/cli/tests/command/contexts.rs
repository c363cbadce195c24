//! `context`: addresses saved under names, and which of all is meant.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use daffi_testing::SocketPath;
use serde_json::json;

use crate::support::{Ran, Running, command, finished, run};

#[test]
fn addresses_are_saved_and_used() {
    let (one, two) = (Running::demo(), Running::start(&["demo", "-l", "tcp://127.0.0.1:0", "--name", "two"]));
    let home = SocketPath::new();
    let folder = home.path().to_owned();
    let with = |args: &[&str]| -> Ran { finished(at(&folder, args).spawn().unwrap()) };
    assert!(with(&["members"]).failure(2).contains("save one with `daffi context add`"));
    with(&["context", "add", "one", &one.endpoint()]).answer();
    with(&["context", "add", "two", &two.endpoint()]).answer();
    let file = folder.join("daffi/contexts.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let list = format!("* one  {}\n  two  {}\n", one.endpoint(), two.endpoint());
    assert_eq!(with(&["context", "list"]).answer(), list);

    let who =
        |args: &[&str]| with(&[&["members", "--json"], args].concat()).json()[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(who(&[]), "demo", "the one in use");
    assert_eq!(who(&["--context", "two"]), "two");
    assert_eq!(who(&["--context", "one", &two.endpoint()]), "two", "a URL goes before all");
    let environment = |args: &[&str]| finished(at(&folder, args).env("DAFFI_ADDR", two.endpoint()).spawn().unwrap());
    assert!(environment(&["members"]).answer().contains("two"), "the environment goes before the one in use");
    assert!(environment(&["members", "--context", "one"]).answer().contains("demo"), "and behind --context");
    assert_eq!(with(&["call", "--context", "two", "add", "3", "4"]).answer(), "7\n");

    let marked = [b"\xef\xbb\xbf", &fs::read(&file).unwrap()[..]].concat();
    fs::write(&file, marked).unwrap();
    with(&["context", "use", "two"]).answer();
    assert_eq!(who(&[]), "two");
    assert_eq!(
        with(&["context", "list", "--json"]).json()[1],
        json!({"name": "two", "url": two.endpoint(), "in_use": true})
    );
    with(&["context", "remove", "two"]).answer();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let none = with(&["members"]);
    assert!(none.failure(2).starts_with("no endpoint") && none.stderr.contains("`daffi context use NAME`"), "{none:?}");
    let unknown = with(&["call", "--context", "two", "add"]);
    assert!(unknown.failure(2).starts_with("there is no context two: saved are one; "), "{unknown:?}");
    assert_eq!(with(&["context", "add", "a b", &one.endpoint()]).code, Some(2));
    assert_eq!(with(&["context", "add", "three", "nowhere"]).code, Some(2));
    fs::write(&file, "{").unwrap();
    assert!(with(&["members"]).failure(2).contains("mend the file or remove it"));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn nothing_is_lost_when_many_are_saved_at_once() {
    let home = SocketPath::new();
    let folder = home.path().to_owned();
    let names: Vec<_> = (10..30).map(|number| format!("n{number}")).collect();
    let add = |name: &String| at(&folder, &["context", "add", name, "tcp://127.0.0.1:1"]).spawn().unwrap();
    let adding: Vec<_> = names.iter().map(add).collect();
    adding.into_iter().for_each(|child| assert_eq!(finished(child).answer(), ""));
    let list = finished(at(&folder, &["context", "list", "--json"]).spawn().unwrap()).json();
    let saved: Vec<_> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(saved, names);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn contexts_that_cannot_be_there_are_none() {
    let mut members = command(&["members"]);
    members.env_remove("XDG_CONFIG_HOME").env("HOME", "/dev/null");
    let none = finished(members.spawn().unwrap());
    assert!(none.failure(2).starts_with("no endpoint: "), "{none:?}");
}

fn at(folder: &std::path::Path, args: &[&str]) -> Command {
    let mut command = command(args);
    command.env("XDG_CONFIG_HOME", folder);
    command
}

#[test]
fn a_version_names_its_commit_and_its_protocol() {
    let version = run(&["version", "--json"]).json();
    assert_eq!((&version["version"], &version["levels"]), (&json!(env!("CARGO_PKG_VERSION")), &json!([3, 4])));
    let commit = version["commit"].as_str().unwrap();
    assert!(commit == "unknown" || commit.len() == 12 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{commit}");
    let text = run(&["version"]);
    assert!(text.answer().contains(&format!("commit {commit}\nwire levels 3")), "{text:?}");
}

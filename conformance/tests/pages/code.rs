//! Rules of the style that a look at the source can hold.

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
    let wide = format!("/// {}", "word ".repeat(20));
    assert_eq!(too_wide(&wide).count(), 1);
    assert_eq!(too_wide(&format!("/// ```\n{wide}\n/// ```")).count(), 0);
}

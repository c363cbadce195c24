use std::{fs, path::Path};

use crate::files::{anchors, outside_of_code, texts};

/// The targets of the links of a page, without those that rustdoc resolves and those that lead out
/// of the repository.
fn links(markdown: &str) -> Vec<String> {
    let prose = outside_of_code(markdown).collect::<Vec<_>>().join("\n");
    // Between two backticks stands code; a link's text may hold some.
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let ours = targets.filter(|target| !target.contains("::") && !target.contains("//") && !target.contains(' '));
    ours.map(str::to_owned).collect()
}

/// What is wrong with a link of the page at `path`.
fn fault(path: &Path, text: &str, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = path.parent()?.join(file);
    if !file.is_empty() && !target.exists() {
        return Some(format!("{}: there is no {link}", path.display()));
    }
    let anchor = anchor?;
    let there = if file.is_empty() { text.to_owned() } else { fs::read_to_string(target).unwrap_or_default() };
    (!anchors(&there).iter().any(|known| known == anchor))
        .then(|| format!("{}: {link} leads to no heading", path.display()))
}

#[test]
fn links_lead_somewhere() {
    let (mut count, mut faults) = (0, vec![]);
    for (path, text) in texts(&["md"]) {
        // A link of the file system to a page: its links are those of where the page is.
        let path = fs::canonicalize(path).expect("a file that was read has a path");
        for link in links(&text) {
            count += 1;
            faults.extend(fault(&path, &text, &link));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 150, "{count} links were found, and there are more");
}

#[test]
fn a_wrong_link_is_a_fault() {
    let page = Path::new("/nowhere/page.md");
    assert_eq!(links("[a](b.md#c), [d](daffi_wire::protocol#5), [e](https://f)\n```\n[g](h)\n```"), ["b.md#c"]);
    assert!(fault(page, "# Here\n", "gone.md").is_some_and(|fault| fault.contains("there is no gone.md")));
    assert!(fault(page, "# Here\n", "#there").is_some_and(|fault| fault.contains("no heading")));
    assert_eq!(fault(page, "# Here\n", "#here"), None);
}

//! The page, and what it may do in a browser.

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// All of it.
pub(crate) const HTML: &str = include_str!("page.html");

/// Its own script and style run, and nothing else; it asks nobody but this node, and nobody frames
/// it.
pub(crate) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag| BASE64_STANDARD.encode(Sha256::digest(inside(tag)));
    format!(
        "default-src 'none'; connect-src 'self'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
});

/// What stands between the tags of the page.
fn inside(tag: &str) -> &'static str {
    let behind = HTML.split_once(&format!("<{tag}>")).map_or("", |(_, behind)| behind);
    behind.split_once(&format!("</{tag}>")).map_or("", |(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_nobody_else() {
        assert!(inside("script").len() > 1000 && inside("style").len() > 500);
        for foreign in ["http://", "https://", "//cdn", "@import", "url(", "innerHTML", "onclick=", "style=\""] {
            assert!(!HTML.contains(foreign), "{foreign}");
        }
    }
}

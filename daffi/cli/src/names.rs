//! Names that peers chose, where no quotes are around them: in tables, lists and sentences.

use daffi::Shown;

/// A name, in which no blank is lost.
pub(crate) fn shown_name(name: &str) -> String {
    Shown::name(name).to_string()
}

/// Such a name among others, between which commas stand.
pub(crate) fn listed_name(name: &str) -> String {
    shown_name(name).replace(',', "\\u{2c}")
}

/// [`shown_name`], of which so many bytes are shown.
pub(crate) fn shown_start(name: &str, most: usize) -> String {
    Shown::name(name).at_most(most).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_names_is_in_none() {
        assert_eq!(listed_name("x, y "), r"x\u{2c} y\u{20}");
        assert_eq!(shown_start("a bcd", 2), "a ... (5 bytes)");
    }
}

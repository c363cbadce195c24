//! What a replay found, and how it is shown.

use std::{fmt, time::Duration};

use crate::{
    Comparison, Item,
    text::write::{item_title, write_item},
};

/// What a node did that a recording does not say.
#[derive(Debug)]
pub struct Mismatch {
    /// The session.
    pub session: String,
    /// The node whose place was taken.
    pub part: String,
    /// The step, counted from 1; one more than there are when something came behind the last.
    pub step: usize,
    /// What it should have been, in the notation of the file.
    pub title: String,
    /// What differs.
    pub why: Why,
}

/// What differs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Why {
    /// Something else came.
    Differs(Comparison),
    /// Nothing came.
    Missing(Duration),
    /// The stream ended or failed.
    Ended(String),
    /// Something came that the recording does not have.
    Unexpected(u32, Item),
    /// The node could not be started, or does not open its connection.
    NotStarted(String),
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, part, step, title, why } = self;
        writeln!(f, "{session}, in place of {part:?}, step {step}: {title}")?;
        match why {
            Why::Differs(comparison) => {
                if let Some(first) = comparison.first() {
                    writeln!(f, "the first field that differs is {}:", first.name)?;
                }
                write!(f, "{comparison}")
            }
            Why::Missing(after) => writeln!(f, "nothing came within {after:?}"),
            Why::Ended(how) => writeln!(f, "instead the stream {how}"),
            Why::NotStarted(error) => writeln!(f, "{error}"),
            Why::Unexpected(connection, item) => {
                let mut text = String::new();
                write_item(item, &mut text);
                writeln!(f, "on connection {connection} came: {}\n{text}", item_title(item))
            }
        }
    }
}

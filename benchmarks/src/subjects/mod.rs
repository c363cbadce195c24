//! Who is measured.

pub(crate) mod daffi;
mod multiplexer;
mod raw;
pub(crate) mod socket;

use crate::Subject;

/// The subjects that need nothing but this crate.
#[must_use]
pub fn all() -> Vec<Box<dyn Subject>> {
    vec![Box::new(raw::Raw), Box::new(multiplexer::Multiplexer), Box::new(daffi::Daffi)]
}

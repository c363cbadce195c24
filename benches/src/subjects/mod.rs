//! Who is measured.

mod daffi;
mod multiplexer;
mod python;
mod raw;
mod socket;

use self::daffi::Functions;
use crate::Subject;

/// The part between clients and workers, whoever plays it.
pub const ROUTER: &str = "router";

/// The subjects that need nothing but this crate.
#[must_use]
pub fn all() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(raw::Raw),
        Box::new(multiplexer::Multiplexer),
        Box::new(daffi::Daffi(Functions::Async)),
        Box::new(daffi::Daffi(Functions::Inline)),
        Box::new(daffi::Daffi(Functions::Plain)),
        Box::new(python::Python { ours: false }),
        Box::new(python::Python { ours: true }),
    ]
}

//! The macros of daffi.

//! The postcard payload format of daffi, for Rust nodes among themselves.

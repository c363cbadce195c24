//! The Unix socket transport of daffi.

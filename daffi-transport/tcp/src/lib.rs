//! The TCP transport of daffi.

//! The JSON payload format of daffi.

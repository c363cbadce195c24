//! The TLS transport of daffi, on rustls.

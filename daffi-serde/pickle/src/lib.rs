//! The PICKLE payload format of daffi: plain data only, read without executing anything.

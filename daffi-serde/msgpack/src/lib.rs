//! The MSGPACK payload format of daffi.

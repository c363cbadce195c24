//! The engine of daffi: sessions, in-flight table, registry, membership, tower dispatch. Generic over formats and transports.

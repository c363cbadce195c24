//! What carries daffi's frames: Listener, Connector, Link, Endpoint, byte-stream links and an in-memory transport.

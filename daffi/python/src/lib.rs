//! The Python package `daffi-rs`: the interface of the Python library daffi on this engine.
//!
//! Rust has the connections, Python what users see. A thread of the engine never takes Python's
//! lock: what arrives waits at a `desk` until a thread of Python, or its event loop, takes it and
//! reads it there. So a callback that holds the lock holds up no connection, and an interpreter
//! that ends leaves no thread of the engine inside of it.

mod calls;
mod client;
mod command;
mod desk;
mod ending;
mod endpoints;
mod engine;
mod failures;
mod feed;
mod formats;
mod incoming;
mod job;
mod keys;
mod log;
mod open;
mod options;
mod outlet;
mod payload;
mod results;
mod server;
mod serving;
mod values;
mod waiting;

use pyo3::prelude::*;

/// What the Python modules of the package are made of.
#[pymodule]
mod _daffi_rs {
    use super::*;

    #[pymodule_export]
    use super::{
        client::{ClientNode, connect, connect_later},
        command::command,
        desk::Desk,
        ending::forked,
        ending::leave,
        engine::shut_down,
        feed::Feed,
        incoming::ItemsIn,
        job::Job,
        log::log_to,
        options::CallSettings,
        outlet::Outlet,
        payload::{decode_arguments, decode_result, encode_arguments, encode_result},
        results::ResultsOut,
        server::{RouterNode, ServiceNode, serve, serve_later, serve_router, serve_router_later},
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

//! What the tests of this workspace share: nodes of daffi 3.0.1 as child processes, certificates,
//! paths for sockets, a browser.
//!
//! When a piece is missing a test fails with a text that names it. Nothing here skips a test.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use daffi_testing::Peer;
//! use serde_json::json;
//!
//! let service = Peer::service().start().await;
//! let client = Peer::client(&service.endpoint()).start().await;
//! assert_eq!(client.call("add", json!([3, 4])).serde("JSON").ok().await, 7);
//! # });
//! ```

mod browser;
mod call;
mod certificate;
mod error;
mod launch;
mod page;
mod peer;
mod process;
mod python;
mod socket_path;
mod stopped;
mod told;

pub use crate::{
    browser::Browser,
    call::Call,
    certificate::{Authority, Certificate},
    error::PyError,
    launch::Launch,
    page::Page,
    peer::Peer,
    python::{python, repository},
    socket_path::SocketPath,
    stopped::{go_on, stand_still},
};

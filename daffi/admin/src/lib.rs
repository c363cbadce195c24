#![doc = include_str!("../README.md")]

mod builder;
mod guard;
mod metrics;
mod page;
mod routes;
mod server;
mod snapshot;

pub use crate::builder::{Admin, AdminBuilder, AdminError};

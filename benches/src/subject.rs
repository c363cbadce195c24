//! What every subject of a measurement can do.

use std::{any::Any, time::Duration};

use futures::future::BoxFuture;

use crate::{Job, Outcome, Result};

/// Something that answers calls, and a client of it.
///
/// Its processes are started one after another: each of [`parts`](Self::parts), then the client.
pub trait Subject: Send + Sync {
    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;

    /// Whether it is measured in single scenarios without being named.
    fn is_usual(&self) -> bool {
        true
    }

    /// Whether it can do that.
    fn does(&self, job: &Job) -> bool;

    /// The processes beside the client, in the order in which they start.
    fn parts(&self, _job: &Job) -> Vec<&'static str> {
        vec!["server"]
    }

    /// Starts one part in this process; `addresses` are those of the parts before it.
    fn start<'a>(&'a self, part: &'a str, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Part>>;

    /// Connects the client in this process. `addresses` are those of all parts, in order.
    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>>;
}

/// A part that runs.
#[derive(Debug)]
pub struct Part {
    /// Where it listens.
    pub address: String,
    /// The process that does the work, when it is not the one that started it.
    pub process: Option<u32>,
    /// What ends the part when dropped.
    pub keep: Box<dyn Any + Send>,
}

impl Part {
    /// A part of this process.
    pub fn new(address: impl Into<String>, keep: impl Any + Send) -> Self {
        Self { address: address.into(), process: None, keep: Box::new(keep) }
    }
}

/// The calling end.
pub trait Client: Send {
    /// Does the job's work for that long.
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>>;

    /// The process that does the work, when it is not this one.
    fn process(&self) -> Option<u32> {
        None
    }
}

//! What a router tells of itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// What it counted so far.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) age: f64,
    pub(crate) members: usize,
    pub(crate) unheard_members: usize,
    pub(crate) open_calls: usize,
    pub(crate) held_bytes: f64,
    pub(crate) budget_bytes: f64,
    pub(crate) refused_calls: u64,
    pub(crate) held_requests: usize,
    pub(crate) dropped_requests: u64,
    pub(crate) cut_connections: u64,
    pub(crate) refused_by_class: BTreeMap<String, u64>,
    pub(crate) callbacks: Vec<ToldCallback>,
    pub(crate) nodes: Vec<ToldNode>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ToldCallback {
    pub(crate) name: String,
    pub(crate) calls: u64,
    pub(crate) open: u64,
    pub(crate) errors: u64,
    pub(crate) times: ToldTimes,
}

/// How long calls took: the end of each bucket in seconds, `None` for the last, and how many.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ToldTimes {
    pub(crate) buckets: Vec<(Option<f64>, u64)>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ToldNode {
    pub(crate) name: String,
    pub(crate) level: u8,
    pub(crate) address: String,
    pub(crate) age: f64,
    pub(crate) is_stopped: bool,
    pub(crate) is_held_back: bool,
    pub(crate) requests: u64,
    pub(crate) open_calls: usize,
    pub(crate) refused_calls: u64,
    pub(crate) held_requests: usize,
    pub(crate) answers: u64,
    pub(crate) timed_answers: u64,
    pub(crate) answering: f64,
    pub(crate) asked: usize,
    pub(crate) queued_bytes: f64,
    pub(crate) takeovers: u64,
}

pub(crate) fn read(told: Value) -> Result<Told, Failure> {
    serde_json::from_value(told).map_err(|error| {
        Failure::Failed(format!(
            "what the router tells cannot be read, as it may be newer: {error}; update this command"
        ))
    })
}

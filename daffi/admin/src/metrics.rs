//! What a node counted, as Prometheus reads it.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use crate::snapshot::{Numbers, RouterNumbers, Watched};

/// The type of what [`text`] gives.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What `node` counted so far. The names of series are fixed: no peer makes one.
pub(crate) fn text(node: &Watched) -> String {
    let mut registry = Registry::with_prefix("daffi");
    registry.register("build", "The version of this node", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    registry.register_collector(Box::new(Counted { numbers: node.numbers(), is_ready: node.is_ready() }));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing into a text does not fail");
    text
}

#[derive(Debug)]
struct Counted {
    numbers: Numbers,
    is_ready: bool,
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = To(&mut encoder);
        to.now("ready", "Whether it takes calls: 0 when it stops", None, u64::from(self.is_ready))?;
        match &self.numbers {
            Numbers::Router(router) => router.encode(&mut to),
            Numbers::Service { clients } => to.now("clients", "Clients that are connected", None, *clients as u64),
        }
    }
}

impl RouterNumbers {
    fn encode(&self, to: &mut To<'_, '_>) -> fmt::Result {
        to.now("members", "Members that are connected", None, self.members as u64)?;
        to.now("stopped_members", "Members that give no sign of life", None, self.stopped_members as u64)?;
        to.now("open_calls", "Calls that were passed on and not answered yet", None, self.open_calls as u64)?;
        to.now("held_requests", "Nowait requests that wait for their receiver", None, self.held_requests as u64)?;
        let held = "Memory of the budget that members make the router hold";
        to.now("held", held, Some(&Unit::Bytes), self.held_bytes as u64)?;
        to.so_far("refused_calls", "Calls that were answered with an error of the router", self.refused_calls)?;
        let unanswered = "Calls that a node of daffi 3.0.1 did not answer in time";
        to.so_far("unanswered_calls", unanswered, self.unanswered_calls)?;
        to.so_far("dropped_requests", "Nowait requests that could not be passed on", self.dropped_requests)?;
        to.so_far("dropped_replies", "Answers to calls that were not open", self.dropped_replies)?;
        to.so_far("skipped_frames", "Frames of kinds without a meaning here", self.skipped_frames)
    }
}

/// Where metrics are written.
struct To<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl To<'_, '_> {
    fn now(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        let gauge = ConstGauge::<f64>::new(value as f64);
        let encoder = self.0.encode_descriptor(name, help, unit, EncodeMetric::metric_type(&gauge))?;
        gauge.encode(encoder)
    }

    fn so_far(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::<u64>::new(value);
        let encoder = self.0.encode_descriptor(name, help, None, EncodeMetric::metric_type(&counter))?;
        counter.encode(encoder)
    }
}

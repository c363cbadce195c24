//! OpenMetrics text of numbers that were counted elsewhere.

use std::{collections::BTreeSet, fmt, time::Duration};

use daffi_wire::Shown;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};

use crate::Durations;

/// Bytes of a name that a label shows.
const LONGEST_LABEL: usize = 200;

/// The buckets of durations end at powers of four, in nanoseconds: the first after about a
/// microsecond, the last after a minute.
const FIRST_END: u32 = 10;
const LAST_END: u32 = 36;

type Written = Box<dyn Fn(&mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync>;

/// What is to be written.
pub(super) struct Text {
    all: Vec<Written>,
}

/// A name that a peer chose, as a label.
pub(super) fn label(name: &str) -> String {
    Shown::new(name).at_most(LONGEST_LABEL).to_string()
}

/// Of those with the same labels, which long names may have, the first.
pub(super) fn unlike<L: Clone + Ord, T>(all: impl Iterator<Item = (L, T)>) -> Vec<(L, T)> {
    let mut known = BTreeSet::new();
    all.filter(|(labels, _)| known.insert(labels.clone())).collect()
}

fn of(prefix: &str, name: &str) -> String {
    if name.starts_with("rpc_") { name.to_owned() } else { format!("{prefix}_{name}") }
}

impl Text {
    pub(super) fn new() -> Self {
        Self { all: Vec::new() }
    }

    pub(super) fn finish(self) -> String {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("daffi_build", "The version of this node", build);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing into a text does not fail");
        text
    }

    /// How things stand.
    pub(super) fn now(&mut self, name: &str, help: &'static str, value: impl TryInto<u64>) {
        self.gauge(name, help, None, value.try_into().unwrap_or(u64::MAX));
    }

    pub(super) fn bytes(&mut self, name: &str, help: &'static str, value: usize) {
        self.gauge(name, help, Some(Unit::Bytes), value as u64);
    }

    fn gauge(&mut self, name: &str, help: &'static str, unit: Option<Unit>, value: u64) {
        let name = of("daffi", name);
        self.all.push(Box::new(move |to| {
            let gauge = ConstGauge::<f64>::new(value as f64);
            gauge.encode(to.encode_descriptor(&name, help, unit.as_ref(), EncodeMetric::metric_type(&gauge))?)
        }));
    }

    /// What was counted so far.
    pub(super) fn so_far(&mut self, name: &str, help: &'static str, value: u64) {
        let name = of("daffi", name);
        self.all.push(Box::new(move |to| {
            let counter = ConstCounter::<u64>::new(value);
            counter.encode(to.encode_descriptor(&name, help, None, EncodeMetric::metric_type(&counter))?)
        }));
    }

    pub(super) fn so_far_by<L>(&mut self, name: &str, help: &'static str, all: impl Iterator<Item = (L, u64)>)
    where
        L: EncodeLabelSet + Send + Sync + 'static,
    {
        self.family(name, help, None, MetricType::Counter, all, |value, encoder| {
            ConstCounter::<u64>::new(*value).encode(encoder)
        });
    }

    pub(super) fn now_by<L>(&mut self, name: &str, help: &'static str, all: impl Iterator<Item = (L, u64)>)
    where
        L: EncodeLabelSet + Send + Sync + 'static,
    {
        self.family(name, help, None, MetricType::Gauge, all, |value, encoder| {
            ConstGauge::<f64>::new(*value as f64).encode(encoder)
        });
    }

    pub(super) fn durations<'a, L>(
        &mut self,
        name: &str,
        help: &'static str,
        all: impl Iterator<Item = (L, &'a Durations)>,
    ) where
        L: EncodeLabelSet + Send + Sync + 'static,
    {
        let all = all.map(|(labels, times)| (labels, times.clone()));
        self.family(name, help, Some(Unit::Seconds), MetricType::Histogram, all, |times, mut encoder| {
            let buckets = buckets(times);
            encoder.encode_histogram::<NoLabelSet>(times.total().as_secs_f64(), times.count(), &buckets, None)
        });
    }

    /// Numbers of one name with labels. Without any, nothing is written.
    fn family<L, T>(
        &mut self,
        name: &str,
        help: &'static str,
        unit: Option<Unit>,
        kind: MetricType,
        all: impl Iterator<Item = (L, T)>,
        write: fn(&T, MetricEncoder<'_>) -> fmt::Result,
    ) where
        L: EncodeLabelSet + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let (name, all) = (of("daffi", name), all.collect::<Vec<_>>());
        if all.is_empty() {
            return;
        }
        self.all.push(Box::new(move |to| {
            let mut encoder = to.encode_descriptor(&name, help, unit.as_ref(), kind)?;
            all.iter().try_for_each(|(labels, value)| write(value, encoder.encode_family(labels)?))
        }));
    }
}

/// The counts between one end and the next; the last has no end.
fn buckets(times: &Durations) -> Vec<(f64, u64)> {
    let ends = (FIRST_END..=LAST_END).step_by(2).map(|power| Duration::from_nanos(1 << power));
    let mut rest = times.buckets().iter().peekable();
    let mut counted = |within: &dyn Fn(Duration) -> bool| {
        let mut count = 0;
        while let Some(bucket) = rest.next_if(|bucket| within(bucket.up_to)) {
            count += bucket.count;
        }
        count
    };
    let mut all: Vec<_> = ends.map(|end| (end.as_secs_f64(), counted(&|up_to| up_to <= end))).collect();
    all.push((f64::INFINITY, counted(&|_| true)));
    all
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("all", &self.all.len()).finish()
    }
}

impl Collector for Text {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.all.iter().try_for_each(|write| write(&mut encoder))
    }
}

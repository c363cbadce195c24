//! How times are written for others to read: in seconds.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::durations::Durations;

pub(crate) fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

/// The buckets as pairs of an end in seconds, `null` for the last, and a count.
impl Serialize for Durations {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let pairs: Vec<_> = self.buckets().iter().map(|bucket| (bucket.end_seconds(), bucket.count)).collect();
        let mut fields = to.serialize_struct("Durations", 2)?;
        fields.serialize_field("total", &self.total().as_secs_f64())?;
        fields.serialize_field("buckets", &pairs)?;
        fields.end()
    }
}

//! Lines of the log as JSON, for programs.

use std::{error::Error, fmt};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{LONGEST, now};
use crate::{escaped, failure::with_causes};

/// One object a line: `time`, `severity`, `module`, `event`, which is what a person reads, and the
/// event's own fields by their names.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let Fields(fields) = &mut fields;
        fields.insert("time".to_owned(), now().into());
        fields.insert("severity".to_owned(), event.metadata().level().as_str().into());
        fields.insert("module".to_owned(), event.metadata().target().into());
        let mut line = Vec::new();
        escaped::write_json(fields, false, &mut line).map_err(|_| fmt::Error)?;
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)?;
        writer.write_char('\n')
    }
}

/// A line that is no event: why the command ends, or a note.
pub(crate) fn line(severity: &str, event: &str, exit_code: Option<u8>) -> Vec<u8> {
    let mut fields = Map::new();
    fields.insert("event".to_owned(), event.into());
    fields.insert("time".to_owned(), now().into());
    fields.insert("severity".to_owned(), severity.into());
    fields.insert("module".to_owned(), env!("CARGO_CRATE_NAME").into());
    fields.extend(exit_code.map(|code| ("exit_code".to_owned(), code.into())));
    let mut line = Vec::new();
    let _infallible = escaped::write_json(&fields, false, &mut line);
    line.push(b'\n');
    line
}

struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        let name = if name == "message" { "event" } else { name };
        self.0.insert(name.to_owned(), value);
    }

    /// Many fields hold what a peer sent, as much as it liked.
    fn set_text(&mut self, field: &Field, text: &str) {
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = if end < text.len() { format!("{}..", &text[..end]) } else { text.to_owned() };
        self.set(field.name(), text.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set_text(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.set_text(field, &with_causes(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set_text(field, &format!("{value:?}"));
    }
}

//! Lines of the engine's log, for Python's `logging`.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use pyo3::prelude::*;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    subscriber::set_global_default,
};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    layer::{Context, SubscriberExt},
    registry::Registry,
};

use crate::desk::{Desk, Inbox, Work};

/// Where lines go. A child that was forked has a desk of its own: nobody takes from its parent's.
static LINES: Mutex<Option<Arc<Inbox>>> = Mutex::new(None);

struct ToPython;

/// The message, and behind it the fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String never fails.
        let _written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

/// Where the engine says how long its callbacks take. Here they only ask Python, so it says how
/// busy the machine is, and no user can mend that.
const PACE: &str = "daffi_core::serve::callback";

impl<S: Subscriber> Layer<S> for ToPython {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = match *event.metadata().level() {
            _ if event.metadata().target() == PACE => 10,
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        let lines = LINES.lock().clone();
        if let Some(lines) = lines {
            lines.push(Work::Line(level, line.message + &line.fields));
        }
    }
}

/// Has lines of the engine's log put in at the desk, from this level of `logging` on, or the one
/// that it was called with before. `False`: they go elsewhere already.
#[pyfunction]
pub(crate) fn log_to(desk: &Desk, level: u8) -> bool {
    let before = LINES.lock().replace(Arc::clone(&desk.inbox));
    if before.is_some() {
        return true;
    }
    let least = match level {
        ..=10 => LevelFilter::DEBUG,
        11..=20 => LevelFilter::INFO,
        21..=30 => LevelFilter::WARN,
        _ => LevelFilter::ERROR,
    };
    let taken = set_global_default(Registry::default().with(ToPython.with_filter(least))).is_ok();
    if !taken {
        LINES.lock().take();
    }
    taken
}

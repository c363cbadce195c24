//! What is logged, to stderr.

mod json;

use std::{error::Error, fmt, sync::OnceLock, time::SystemTime};

use clap::{ArgAction, Args, ValueEnum};
use daffi::Shown;
use tracing::{
    Level,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{FormatFields, format::Writer, time::FormatTime},
    layer::SubscriberExt,
    reload::Handle,
    util::SubscriberInitExt,
};

use self::json::Json;
pub(crate) use self::json::line as json_line;
use crate::{failure::with_causes, output, seldom::Seldom};

/// Bytes of a field that are written.
const LONGEST: usize = 2 * Shown::MOST;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// How much is logged, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct Logging {
    /// Log more; -vv still more. RUST_LOG chooses by module. Of lines of one kind 200 are written
    /// at once and 20 a second, the others counted, unless they are those of -vv.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log for people, or an object of JSON a line: time, severity, module, event, and its fields.
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

impl Logging {
    /// Logs from `usual` on unless told otherwise. Gives what knows which lines were left out, if
    /// any are.
    pub(crate) fn start(&self, usual: Level) -> Option<Seldom> {
        // Nothing is left out when there is no thread to tell of it.
        let seldom = Seldom::new().ok();
        let log = tracing_subscriber::fmt()
            .with_env_filter(self.filter(usual))
            .with_writer(output::stderr)
            .log_internal_errors(false);
        output::set_log_in_json(self.log_format == LogFormat::Json);
        match self.log_format {
            LogFormat::Text => {
                let log =
                    log.with_timer(WallClock).with_target(false).with_ansi(output::is_coloured()).fmt_fields(Fields);
                let log = log.with_filter_reloading();
                keep(log.reload_handle());
                log.finish().with(seldom.clone()).init();
            }
            LogFormat::Json => {
                let log = log.with_ansi(false).event_format(Json).with_filter_reloading();
                keep(log.reload_handle());
                log.finish().with(seldom.clone()).init();
            }
        }
        seldom
    }

    /// Logs as much as this says from now on. How a line looks stays as it is.
    pub(crate) fn change(&self, usual: Level) {
        if let Some(change) = CHANGE.get() {
            change(self.filter(usual));
        }
    }

    fn filter(&self, usual: Level) -> EnvFilter {
        let level = match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::from_level(usual),
            (false, 1) => LevelFilter::from_level(usual.max(Level::INFO)),
            (false, 2) => LevelFilter::DEBUG,
            (false, _) => LevelFilter::TRACE,
        };
        EnvFilter::builder().with_default_directive(level.into()).from_env_lossy()
    }
}

/// Changes how much the log of this process has. There is one, as there is one log.
static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

fn keep<S: 'static>(handle: Handle<EnvFilter, S>) {
    let change = move |filter| {
        if let Err(error) = handle.reload(filter) {
            tracing::error!(%error, "how much is logged stays as it is");
        }
    };
    drop(CHANGE.set(Box::new(change)));
}

/// The message and the fields of a line, each `name=value`.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_begun: false, written: Ok(()) };
        fields.record(&mut line);
        line.written
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    is_begun: bool,
    written: fmt::Result,
}

impl Line<'_> {
    /// Many fields hold what a peer sent, and other libraries do not escape theirs.
    fn write(&mut self, field: &Field, text: &str) -> fmt::Result {
        let text = Shown::new(text).at_most(LONGEST);
        let space = if std::mem::replace(&mut self.is_begun, true) { " " } else { "" };
        match field.name() {
            "message" => write!(self.writer, "{space}{text}"),
            name => write!(self.writer, "{space}{name}={text}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.written = self.written.and_then(|()| self.write(field, &format!("{value:?}")));
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.written = self.written.and_then(|()| self.write(field, &with_causes(error)));
    }
}

/// The time to the second, which is what a person reads.
struct WallClock;

impl FormatTime for WallClock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", humantime::format_rfc3339_seconds(SystemTime::now()))
    }
}

/// The time as programs read it.
fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

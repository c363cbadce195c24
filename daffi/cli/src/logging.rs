//! What is logged, to stderr.

use std::{fmt, time::SystemTime};

use clap::{ArgAction, Args};
use daffi::Shown;
use tracing::{Level, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt,
    fmt::{
        format::{self, Writer},
        time::FormatTime,
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{output, seldom::Seldom};

/// How much is logged.
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
}

impl Logging {
    /// Logs from `usual` on unless told otherwise. Gives what knows which lines were left out, if
    /// any are.
    pub(crate) fn start(&self, usual: Level) -> Option<Seldom> {
        let level = match (self.quiet, self.verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::from_level(usual),
            (false, 1) => LevelFilter::from_level(usual.max(Level::INFO)),
            (false, 2) => LevelFilter::DEBUG,
            (false, _) => LevelFilter::TRACE,
        };
        let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_timer(Seconds)
            .with_target(false)
            .with_ansi(output::coloured())
            .fmt_fields(format::debug_fn(field).delimited(" "))
            .with_writer(output::stderr)
            .log_internal_errors(false)
            .finish();
        // Without a thread to tell what is left out, nothing is.
        let seldom = Seldom::new().ok();
        log.with(seldom.clone()).init();
        seldom
    }
}

/// Many fields hold what a peer sent, and those of other libraries are not escaped by who logs
/// them.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let text = Shown::new(&text).at_most(2 * Shown::MOST);
    if field.name() == "message" { write!(writer, "{text}") } else { write!(writer, "{}={text}", field.name()) }
}

/// Time to the second: what a person reads.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", humantime::format_rfc3339_seconds(SystemTime::now()))
    }
}

//! The command line.

use clap::{Parser, Subcommand};
use tracing::Level;

use crate::{commands, logging::Logging};

/// What `daffi --help` teaches behind the list of commands. clap wraps each line by itself, so
/// those of a list are short.
const FIRST_STEPS: &str = "\
First steps, in two terminals:
  daffi demo --listen URL
  daffi call URL add 3 4

Call a callback of a running network:
  daffi members URL
    lists who is there, what they expose
  daffi call URL METHOD [ARG]...
    calls it; ARGs are JSON, else text
  daffi help call
    tells all of arguments and answers

URL, such as tcp://127.0.0.1:5001, is
  tcp://HOST:PORT, tls://HOST:PORT,
  ws://HOST:PORT, wss://HOST:PORT or
  unix:///PATH; left out: $DAFFI_ADDR,
  or what `daffi context` saved

Exit codes:
  0  done
  1  an error came back, or nobody
     exposes the callback
  2  wrong usage
  3  no connection, or it was lost
  4  no answer in time, or not sent
     in time where none is awaited
  5  cannot listen there
  6  calls were cut off by --grace
  130, 143  a call was ended by Ctrl-C
     or SIGTERM; what runs until then
     ends with 0
With --json errors are JSON, too:
  {\"error\": .., \"exit_code\": ..}";

/// Call, watch and measure a network of daffi nodes, or be its router.
///
/// Speaks the wire of the Python library daffi 3.0.1 and of the Rust crate daffi: nodes of both, in
/// any mix.
#[derive(Debug, Parser)]
#[command(name = "daffi", version, after_help = FIRST_STEPS, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) logging: Logging,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Call(commands::call::Call),
    Cast(commands::cast::Cast),
    Nowait(commands::nowait::Nowait),
    Stream(commands::stream::Stream),
    Members(commands::members::Members),
    Top(commands::top::Top),
    Events(commands::events::Events),
    Ping(commands::ping::Ping),
    Bench(commands::bench::Bench),
    Router(commands::router::Router),
    Demo(commands::demo::Demo),
    Config(commands::config::Config),
    Context(commands::context::Context),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
    Version(commands::version::Version),
}

impl Command {
    /// Whether the command serves others, whether or not somebody reads what it says.
    pub(crate) const fn is_node(&self) -> bool {
        matches!(self, Self::Router(_) | Self::Demo(_))
    }

    /// Whether the command answers in JSON, and tells errors in it.
    pub(crate) const fn json(&self) -> bool {
        match self {
            Self::Call(call) => call.json,
            Self::Cast(cast) => cast.json,
            Self::Stream(stream) => stream.json,
            Self::Members(members) => members.json,
            Self::Top(top) => top.json,
            Self::Events(events) => events.json,
            Self::Ping(ping) => ping.json,
            Self::Bench(bench) => bench.json,
            Self::Context(context) => context.json(),
            Self::Version(version) => version.json,
            _ => false,
        }
    }

    /// What is logged unless something else is asked for.
    pub(crate) const fn log_level(&self) -> Level {
        match self {
            Self::Router(_) | Self::Demo(_) | Self::Events(_) => Level::INFO,
            // For these nobody answers that what they sent arrived.
            Self::Nowait(_) | Self::Stream(_) => Level::WARN,
            // What goes wrong with these is in the one sentence they end with.
            _ => Level::ERROR,
        }
    }
}

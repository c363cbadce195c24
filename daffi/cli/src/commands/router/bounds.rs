//! What a router holds, and for how long it waits.

use std::{convert::Infallible, num::NonZeroUsize, thread::available_parallelism};

use clap::{Args, ValueEnum};
use daffi::{Limits, NamePolicy, NodeConfig};

use crate::{
    quantity::{Count, Seconds, Size, Wait, more_than_none},
    server::Stopping,
};

/// Which of two nodes keeps a name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Names {
    Newest,
    First,
}

/// What a router holds, and for how long it waits: fields of [`NodeConfig`] by their names.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Bounds {
    /// Connections; further ones are closed at once
    #[arg(long, value_name = "N", default_value_t = Count(NodeConfig::server().max_connections))]
    pub(super) max_connections: Count,
    /// Connections that have not finished their handshake; the oldest is closed for a new one
    #[arg(long, value_name = "N", default_value_t = Count(NodeConfig::server().max_pending_handshakes))]
    max_pending_handshakes: Count,
    /// Bytes of one call or answer, names included
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().max_frame_bytes), value_parser = frame)]
    max_frame_bytes: Size,
    /// Bytes of the callbacks' names of one node
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().max_control_bytes), value_parser = frame)]
    max_control_bytes: Size,
    /// Bytes of the list of all members and their callbacks; who takes more than its share of it is
    /// refused
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().max_list_bytes), value_parser = frame)]
    max_list_bytes: Size,
    /// Threads; connections spread over more than one only when that one is busy. Default: as many
    /// as there are cores
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<Count>,
    /// Time from a connection to its handshake
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(NodeConfig::server().handshake_timeout), value_parser = more_than_none)]
    handshake_timeout: Seconds,
    /// A node that takes or goes on with less than a KiB a second in such a time is disconnected
    #[arg(long, value_name = "SECONDS", default_value_t = Seconds(NodeConfig::server().slow_peer_timeout), value_parser = more_than_none)]
    slow_peer_timeout: Seconds,
    /// A call that a node of daffi 3.0.1 leaves without an answer for so long is ended with an
    /// error (it may have run): such a node cannot be asked whether it still lives
    #[arg(long, value_name = "SECONDS", default_value = "none")]
    level3_call_limit: Wait,
    /// Who keeps a name that a second connection asks for: the newest, as with daffi 3.0.1, or the
    /// first as long as it lives
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Names::Newest)]
    name_policy: Names,
    #[command(flatten)]
    stopping: Stopping,
    /// Memory that all nodes together can make the router hold; what each may hold of it depends on
    /// what is free
    #[arg(long, value_name = "SIZE", default_value_t = Size(NodeConfig::server().budget_bytes))]
    budget_bytes: Size,
    /// How many times what is still free of that one node may hold in each direction
    #[arg(long, value_name = "FACTOR", default_value_t = NodeConfig::server().share, value_parser = share)]
    share: f64,
    #[command(flatten)]
    replaced: Replaced,
}

/// Options that there are no more. Each says what took its place.
#[derive(Debug, Args)]
struct Replaced {
    #[arg(long, hide = true, value_parser = refuse_replaced)]
    outbox_bytes: Option<Infallible>,
    #[arg(long, hide = true, value_parser = refuse_replaced)]
    inbound_bytes: Option<Infallible>,
    #[arg(long, hide = true, value_parser = refuse_replaced)]
    inbound_frames: Option<Infallible>,
    #[arg(long, hide = true, value_parser = refuse_replaced)]
    spool_bytes: Option<Infallible>,
    #[arg(long, hide = true, value_parser = refuse_replaced)]
    unwritten_bytes: Option<Infallible>,
}

fn refuse_replaced(_: &str) -> Result<Infallible, &'static str> {
    Err(
        "this option is gone: --budget-bytes bounds all that the nodes make the router hold, and --share what one of them may",
    )
}

fn threads(text: &str) -> Result<Count, String> {
    match text.parse()? {
        Count(count) if count <= NodeConfig::MOST_THREADS => Ok(Count(count)),
        _ => Err(format!("a node has {} threads at most: one for each core is plenty", NodeConfig::MOST_THREADS)),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share.is_finite() && share > 0.0 => Ok(share),
        _ => Err("a share is a number above 0, as 0.5".into()),
    }
}

/// A size that the wire can announce.
fn frame(text: &str) -> Result<Size, String> {
    let (size, most) = (text.parse::<Size>()?, Limits::default().max_frame_bytes);
    if size.0 > most { Err(format!("the wire announces at most {most} bytes: choose less")) } else { Ok(size) }
}

impl Bounds {
    /// Whether whoever bears a name keeps it.
    pub(super) const fn keeps_names(&self) -> bool {
        matches!(self.name_policy, Names::First)
    }

    pub(super) fn apply(&self, config: &mut NodeConfig) {
        config.max_connections = self.max_connections.0;
        config.max_pending_handshakes = self.max_pending_handshakes.0;
        config.limits.max_frame_bytes = self.max_frame_bytes.0;
        config.limits.max_control_bytes = self.max_control_bytes.0;
        config.limits.max_list_bytes = self.max_list_bytes.0;
        config.handshake_timeout = self.handshake_timeout.0;
        config.slow_peer_timeout = self.slow_peer_timeout.0;
        config.level3_call_limit = self.level3_call_limit.0;
        config.grace = self.stopping.grace.0;
        config.name_policy = match self.name_policy {
            Names::Newest => NamePolicy::Newest,
            Names::First => NamePolicy::First,
        };
        config.budget_bytes = self.budget_bytes.0;
        config.share = self.share;
        let threads = self.threads.and_then(|threads| NonZeroUsize::new(threads.0));
        config.threads = threads.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    }
}

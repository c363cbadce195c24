//! What goes wrong in a simulation, and when.

use std::{fmt, io, time::Duration};

use fastrand::Rng;

use crate::{
    network::End,
    times::{CALLS_FROM, CALLS_UNTIL, KEEPALIVE, LONGEST_FAULT},
};

/// The host that all others connect to.
pub const SERVER: &str = "server";

/// The host of the node that takes another's name.
pub const TWIN: &str = "twin";

/// Of other faults, how long an honest node stands still that is not to be taken for one that takes
/// nothing.
const MOMENT: f64 = 0.25;

/// Bytes that the handshakes and several small calls take.
const EVERY_BYTE: u64 = 800;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The process ends; its system closes its connections. It is started again.
    Crash {
        /// Which host.
        host: String,
        /// Until it is started again.
        down: Duration,
    },
    /// The machine ends without a word. It is started again.
    PowerLoss {
        /// Which host.
        host: String,
        /// Until it is started again.
        down: Duration,
    },
    /// Both ends of a host's connections see them broken.
    Cut {
        /// Who connected.
        host: String,
    },
    /// The connecting end gives up, and the other hears nothing of it until much later.
    HalfOpen {
        /// Who connected.
        host: String,
    },
    /// Nothing passes between a host and the server. What was sent arrives later, if the connection
    /// lives so long.
    Partition {
        /// Which host.
        host: String,
        /// For how long.
        time: Duration,
    },
    /// The next connection breaks when an end has read so many bytes.
    BreakNext {
        /// Who connects.
        host: String,
        /// Which end reads.
        end: End,
        /// How many bytes.
        bytes: u64,
    },
    /// Another node takes the name, and has it until it is evicted.
    Twin {
        /// Whose name.
        host: String,
    },
    /// An end reads nothing for a while.
    Freeze {
        /// Who connected.
        host: String,
        /// Which end.
        end: End,
        /// For how long.
        time: Duration,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Which kinds of fault a simulation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Weather {
    /// Delays only: every call must be answered.
    Delay,
    /// Connections break, some of them after a given number of bytes.
    Loss,
    /// Partitions, short and long, that heal.
    Partition,
    /// The server crashes and comes back.
    ServerCrash,
    /// Workers crash and come back.
    WorkerCrash,
    /// Ends that stop reading for a while.
    SlowReader,
    /// A node connects anew while the server still holds its dead connection.
    HalfOpen,
    /// A second node takes a name for a while.
    Twin,
    /// All of it.
    Storm,
    /// Hosts that do on purpose what no node does, and honest ones that stand still for a moment.
    Adversaries,
    /// The first connection of one node breaks at one end after a number of bytes, which the seed
    /// counts up.
    EveryByte,
}

impl Weather {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Delay,
        Self::Loss,
        Self::Partition,
        Self::ServerCrash,
        Self::WorkerCrash,
        Self::SlowReader,
        Self::HalfOpen,
        Self::Twin,
        Self::Storm,
        Self::Adversaries,
        Self::EveryByte,
    ];

    /// What a storm is made of.
    const STORM: [Self; 7] = [
        Self::Loss,
        Self::Partition,
        Self::ServerCrash,
        Self::WorkerCrash,
        Self::SlowReader,
        Self::HalfOpen,
        Self::Twin,
    ];

    /// What goes wrong, and when, in order.
    pub fn plan(self, seed: u64, rng: &mut Rng, workers: &[String], clients: &[String]) -> Vec<(Duration, Fault)> {
        if self == Self::EveryByte {
            // The first and the last of the clients: behind a Router a worker and a caller.
            let host = if seed.is_multiple_of(2) { clients.first() } else { clients.last() };
            let end = if (seed / 2).is_multiple_of(2) { End::Client } else { End::Server };
            let host = host.cloned().unwrap_or_default();
            return vec![(Duration::ZERO, Fault::BreakNext { host, end, bytes: seed / 4 % EVERY_BYTE })];
        }
        let mut plan: Vec<_> = (0..rng.usize(1..8))
            .filter_map(|_| {
                let kind = match self {
                    Self::Storm => *rng.choice(&Self::STORM)?,
                    kind => kind,
                };
                let at = duration(rng, CALLS_FROM, CALLS_UNTIL);
                Some((at, kind.fault(rng, workers, clients)?))
            })
            .collect();
        plan.sort_by_key(|(at, _)| *at);
        plan
    }

    fn fault(self, rng: &mut Rng, workers: &[String], clients: &[String]) -> Option<Fault> {
        let host = rng.choice(clients)?.clone();
        let time = Duration::from_millis(rng.u64(1..LONGEST_FAULT));
        let end = if rng.bool() { End::Client } else { End::Server };
        Some(match self {
            Self::Delay | Self::Storm | Self::EveryByte => return None,
            Self::Twin => Fault::Twin { host },
            Self::Loss if rng.bool() => Fault::Cut { host },
            Self::Loss => Fault::BreakNext { host, end, bytes: rng.u64(0..400) },
            Self::Partition => Fault::Partition { host, time },
            Self::ServerCrash if rng.bool() => Fault::PowerLoss { host: SERVER.into(), down: time },
            Self::ServerCrash => Fault::Crash { host: SERVER.into(), down: time },
            Self::WorkerCrash => {
                let host = rng.choice(workers)?.clone();
                if rng.bool() { Fault::PowerLoss { host, down: time } } else { Fault::Crash { host, down: time } }
            }
            Self::SlowReader => Fault::Freeze { host, end, time },
            Self::Adversaries => Fault::Freeze { host, end: End::Client, time: time.mul_f64(MOMENT) },
            Self::HalfOpen => Fault::HalfOpen { host },
        })
    }
}

fn duration(rng: &mut Rng, from: Duration, until: Duration) -> Duration {
    from + (until - from).mul_f64(rng.f64())
}

/// How an end of a connection sees that the other is gone without a word.
pub(crate) const SILENT: io::ErrorKind = io::ErrorKind::TimedOut;

/// When an end notices; the two ends do at different times.
pub(crate) fn noticed(rng: &mut Rng) -> Duration {
    KEEPALIVE.mul_f64(0.5 + rng.f64() / 2.0)
}

//! What is measured: a subject, the work it does, and where it runs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One subject at one kind of work. Travels to the child processes as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The name of the subject.
    pub subject: String,
    /// What it does.
    pub work: Work,
    /// What lies between its ends.
    pub transport: Transport,
    /// The tokio runtime of each process.
    pub runtime: Runtime,
    /// The one CPU that all processes share; none: wherever the scheduler puts them.
    pub cpu: Option<usize>,
}

/// What a client does over and over, or once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Calls that answer with the bytes they were given.
    Echo {
        /// Bytes of the argument.
        payload: usize,
        /// Connections, each with calls of its own.
        connections: usize,
        /// Calls open at any time on each connection.
        in_flight: usize,
    },
    /// Calls through a Router, from one caller to workers in turn.
    Routed {
        /// Bytes of the argument.
        payload: usize,
        /// Calls open at any time.
        in_flight: usize,
        /// Processes that answer.
        workers: usize,
    },
    /// Calls through a Router that all of so many workers answer, one after another.
    Cast {
        /// Bytes of the argument.
        payload: usize,
        /// Processes that answer.
        workers: usize,
    },
    /// Typed calls of `add(i64, i64)`.
    Add {
        /// How arguments and results travel.
        format: Format,
        /// Calls open at any time.
        in_flight: usize,
    },
    /// Calls that nobody answers; one at the end shows that all arrived.
    Nowait {
        /// Bytes of the argument.
        payload: usize,
    },
    /// One stream of chunks, each acknowledged.
    Stream {
        /// Bytes of a chunk.
        payload: usize,
        /// Chunks on their way at any time.
        window: usize,
    },
    /// Results of one call that come one by one.
    Results {
        /// Bytes of each.
        payload: usize,
    },
    /// Results of one call that come one by one and are four numbers of 64 bits each.
    Rows {
        /// How results travel.
        format: Format,
    },
    /// Opens connections, makes one call on each and lets them stand.
    Idle {
        /// How many.
        connections: usize,
    },
    /// Members join a Router, make one call each to a worker behind it and stay.
    Members {
        /// How many.
        members: usize,
    },
    /// Opens a connection, makes one call and closes it, over and over.
    Connect,
}

impl Work {
    /// Calls of 32 bytes on one connection.
    #[must_use]
    pub const fn echo(in_flight: usize) -> Self {
        Self::Echo { payload: 32, connections: 1, in_flight }
    }

    /// How many processes answer behind a Router, when there is one.
    #[must_use]
    pub const fn workers(self) -> Option<usize> {
        match self {
            Self::Routed { workers, .. } | Self::Cast { workers, .. } => Some(workers),
            Self::Members { .. } => Some(1),
            _ => None,
        }
    }

    /// Whether processes must start anew for each measurement.
    #[must_use]
    pub const fn is_memory(self) -> bool {
        matches!(self, Self::Idle { .. } | Self::Members { .. })
    }

    /// Payload bytes of one call, both ways counted once.
    #[must_use]
    pub const fn payload(self) -> usize {
        match self {
            Self::Echo { payload, .. }
            | Self::Routed { payload, .. }
            | Self::Cast { payload, .. }
            | Self::Nowait { payload }
            | Self::Stream { payload, .. }
            | Self::Results { payload } => payload,
            Self::Add { .. } | Self::Rows { .. } | Self::Idle { .. } | Self::Members { .. } | Self::Connect => 0,
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$what:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $type { $($(#[$what])* $value,)* }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$value),)*
                    _ => Err(format!("{text:?} is none of {}", [$($word),*].join(", "))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$value => $word,)* })
            }
        }
    };
}

words! {
    /// What lies between the ends.
    Transport {
        /// TCP over loopback.
        Tcp = "tcp",
        /// A Unix socket.
        Unix = "unix",
        /// TLS over TCP.
        Tls = "tls",
        /// Both ends in one process.
        Mem = "mem",
    }
}

words! {
    /// The tokio runtime of a process.
    Runtime {
        /// A thread per CPU.
        Multi = "multi",
        /// One thread.
        Current = "current",
    }
}

words! {
    /// How typed arguments and results travel.
    Format {
        /// MSGPACK.
        Msgpack = "msgpack",
        /// JSON.
        Json = "json",
        /// PICKLE.
        Pickle = "pickle",
        /// postcard.
        Postcard = "postcard",
    }
}

impl Runtime {
    pub(crate) fn build(self) -> std::io::Result<tokio::runtime::Runtime> {
        match self {
            Self::Multi => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
            Self::Current => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Echo { payload, connections: 1, in_flight: 1 } => write!(f, "echo {}, one at a time", Size(payload)),
            Self::Echo { payload, connections: 1, in_flight } => {
                write!(f, "echo {}, {in_flight} in flight", Size(payload))
            }
            Self::Echo { payload, connections, in_flight } => {
                write!(f, "echo {}, {connections} connections x {in_flight}", Size(payload))
            }
            Self::Routed { payload, in_flight, workers } => {
                write!(f, "routed echo {}, {in_flight} in flight, {workers} workers", Size(payload))
            }
            Self::Cast { payload, workers } => write!(f, "cast {} to {workers} workers", Size(payload)),
            Self::Add { format, in_flight } => write!(f, "add in {format}, {in_flight} in flight"),
            Self::Nowait { payload } => write!(f, "nowait {}", Size(payload)),
            Self::Stream { payload, window } => write!(f, "stream of {}, window {window}", Size(payload)),
            Self::Results { payload } => write!(f, "results of {}, one by one", Size(payload)),
            Self::Rows { format } => write!(f, "results of four numbers in {format}, one by one"),
            Self::Idle { connections } => write!(f, "{connections} idle connections"),
            Self::Members { members } => write!(f, "{members} idle members of a Router"),
            Self::Connect => f.write_str("connect, call, close"),
        }
    }
}

struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

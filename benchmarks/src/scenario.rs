//! What is measured.

use std::{fmt, str::FromStr, time::Duration};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A loop that writes back what it reads.
    Raw,
    /// A daffi Service with a callback that returns its argument.
    Daffi,
}

/// What lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

/// The tokio runtime of each of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Multi,
    Current,
}

impl Runtime {
    pub(crate) fn build(self) -> std::io::Result<tokio::runtime::Runtime> {
        match self {
            Self::Multi => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
            Self::Current => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        }
    }
}

/// One row of the table: so many calls in flight on one connection, with payloads of that size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) in_flight: usize,
    pub(crate) payload: usize,
}

impl Scenario {
    pub(crate) const ALL: [Self; 4] = [
        Self { in_flight: 1, payload: 32 },
        Self { in_flight: 64, payload: 32 },
        Self { in_flight: 512, payload: 32 },
        Self { in_flight: 1, payload: 1024 * 1024 },
    ];

    /// Bytes of a call on the wire: header and names of the request, then the payload.
    pub(crate) const fn wire_bytes(self) -> usize {
        9 + "bench|echo|echo".len() + self.payload
    }
}

/// What one run gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) calls: u64,
    pub(crate) time: Duration,
    /// Of client and server together.
    pub(crate) cpu: Duration,
    /// Of single calls; empty where a call can't be told apart.
    pub(crate) latencies: Vec<Duration>,
}

macro_rules! words {
    ($type:ident: $($word:literal => $value:ident),*) => {
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
                f.write_str(match self { $(Self::$value => $word,)* })
            }
        }
    };
}

words!(Subject: "raw" => Raw, "daffi" => Daffi);
words!(Transport: "tcp" => Tcp, "unix" => Unix);
words!(Runtime: "multi" => Multi, "current" => Current);

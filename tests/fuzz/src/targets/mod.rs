//! The targets.

mod bodies;
mod client;
mod door;
mod formats;
mod frames;
mod node;
mod opening;
mod peer;
mod servers;

use crate::Target;

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "frames", about: "a stream of frames, whole and in pieces", seeds: frames::seeds, run: frames::run },
    Target {
        name: "bodies",
        about: "handshakes, events and what level 4 adds",
        seeds: bodies::seeds,
        run: bodies::run,
    },
    Target { name: "formats", about: "payloads of each format", seeds: formats::seeds, run: formats::run },
    Target { name: "opening", about: "the first bytes of a connection", seeds: opening::seeds, run: opening::run },
    Target {
        name: "service",
        about: "frames and API calls against a Service beside an honest client",
        seeds: servers::seeds,
        run: servers::service,
    },
    Target {
        name: "router",
        about: "frames and API calls against a Router beside an honest worker and caller",
        seeds: servers::seeds,
        run: servers::router,
    },
    Target {
        name: "client",
        about: "frames of a server and API calls against a Client",
        seeds: client::seeds,
        run: client::run,
    },
];

//! Recorded wire sessions of daffi 3.0.1, and their replay against any node.
//!
//! `cargo test -p conformance` shows whether a node speaks daffi. The recordings in `sessions/`
//! were made between real nodes of 3.0.1, or between one and a peer written by hand for what no
//! real node sends. A replay puts another node in the place of one of them, plays everybody else
//! from the file, and compares what it sends, byte for byte. No Python is needed for that.
//!
//! Frames are read and written here without this project's codec, so that a fault of the codec
//! shows.
//!
//! # Testing a node of your own
//!
//! A [`Node`] is whatever can be connected to, or connects itself. It may live in this process or
//! another, be written in any language, and speak over any stream of bytes. It exposes the
//! callbacks that the session's [`NodeSpec`] names.
//!
//! ```
//! use std::io;
//!
//! use conformance::{Action, Node, NodeSpec, Outcome, Replay, Started, Stream, recording};
//! use daffi::{Service, prelude::*};
//! use futures::future::BoxFuture;
//! use tokio::net::TcpStream;
//!
//! #[callback]
//! fn fail(message: String) -> Result<(), RemoteError> {
//!     Err(RemoteError::new("ValueError", message))
//! }
//!
//! struct Mine(Service);
//!
//! impl Node for Mine {
//!     fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
//!         let address = self.0.endpoints()[0].address().to_owned();
//!         Box::pin(async { Ok(Box::new(TcpStream::connect(address).await?) as Stream) })
//!     }
//!
//!     fn act(&mut self, action: &Action) -> BoxFuture<'static, Outcome> {
//!         let outcome = Outcome::Failed(format!("{} is for clients", action.verb));
//!         Box::pin(async { outcome })
//!     }
//!
//!     fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
//!         Box::pin(async move { self.0.stop().await })
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let session = recording("errors")?;
//! let start = |spec: &NodeSpec| -> Started {
//!     let builder = Service::builder(&spec.name).callbacks(callbacks![fail]);
//!     Box::pin(async {
//!         let service = builder.bind("tcp://127.0.0.1:0").await.map_err(io::Error::other)?;
//!         Ok(Box::new(Mine(service)) as Box<dyn Node>)
//!     })
//! };
//! Replay::of(&session, "svc").run(start).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Mismatch`] shows the frame that should have come beside the one that came, decoded, with the
//! first field that differs marked. [`nodes`] has this project's nodes; for a transport of your own
//! take [`nodes::callbacks`] and give the builders your listener. A port that wants to be like
//! 3.0.1 in everything is held to [`Like::Original`]: see `examples/another_node.rs`, which starts
//! a node by its command line, and shows that 3.0.1 itself passes.
//!
//! # A recording
//!
//! ```text
//! session rpc-json                                        the head: what was run, what is compared how
//! about Calls in JSON to a Service: ..
//! recorded-with daffi 3.0.1, CPython 3.11.7
//! volatile recorded-with
//! holds 7.json                                            a rule of `rules.txt`
//! free json-form                                          what a comparison may overlook
//! node "svc" service 3.0.1 workers 1 add echo
//! node "cli" client 3.0.1 workers 1
//! difference offers-level client                          where our nodes differ on purpose
//!     theirs a client's handshake carries the type `client`
//!     ours it carries `client/4`, ..
//!     promise Wire levels: ..
//!
//! 1 connects "cli"                                        connection 1
//! 1 > SYN                                                 client to server
//! 1 > HANDSHAKE uuid 1 JSON text wants-reply
//!     only-3.0.1 offers-level                             our node does not; it does the step marked only-ours
//!     names "cli" "" ""
//!     text {"meta":{"type":"client","error":null},"members":[{"name":"cli","methods":null}]}
//!
//! "cli" does 1 rpc "add"                                  what the program around a node asks of it
//!     args [3,4]
//! "cli" gets 1
//!     value 7
//! ```
//!
//! [`Free`] lists what a recording may leave free. Everything else is compared byte for byte, and
//! what comes without being recorded is a mismatch too. [`Session::bytes`] gives what went over a
//! connection, as seeds for fuzzing.
//!
//! # Sessions of level 4
//!
//! What nodes of this project speak among themselves (`daffi-wire/LEVEL_FOUR.md`) was recorded
//! between them: such a session has nodes marked `level-4` in place of `3.0.1`, and no differences.
//! Extensions of a call stand in lines of their own, in front of its payload:
//!
//! ```text
//! node "svc" service level-4 workers 1 rows
//!
//! 1 > REQUEST uuid 2 MSGPACK bytes wants-reply big-endian
//!     names "cli" "svc" "rows"
//!     extension TIME_LEFT 88130000  # 5000 ms
//!     extension STREAM 02
//!     hex 92910380
//! ```
//!
//! # Recording
//!
//! `cargo run -p conformance --bin record` runs the scenarios in `scenarios/`, small Python
//! scripts, with the interpreter of `scripts/python-env`, and stands between the nodes; with
//! `--check` it only tells what would change. A session of level 4 is its own scenario: what its
//! programs do and what a peer by hand sends is taken from the file, and the rest is recorded.
//! [`record`] says why recording again gives the same file.
//!
//! # Differences on purpose
//!
//! This table is made of the recordings by `cargo run -p conformance --bin tables`, after all of
//! them were replayed.
//!
#![doc = include_str!("../DIFFERENCES.md")]
//!
//! # The rules of the protocol, and what holds them
//!
//! The rules are ordered by the sections of `docs/protocol.md`; the same command makes this table.
//!
#![doc = include_str!("../RULES.md")]

mod compare;
mod cut;
mod extension;
mod forms;
mod frame;
mod node;
#[cfg(feature = "nodes")]
pub mod nodes;
pub mod record;
mod recordings;
mod replay;
mod session;
mod tables;
mod text;
mod value;

pub use crate::{
    compare::{Comparison, Field},
    extension::Extension,
    forms::{from_form, to_form},
    frame::{Format, Frame, Kind},
    node::{ByteStream, Node, Stream},
    recordings::{directory, recording, recordings},
    replay::{Like, Mismatch, Replay, Started, Why},
    session::{Action, By, Difference, Direction, Free, Item, NodeKind, NodeSpec, Only, Outcome, Session, Step, What},
    tables::{tables, test_exists},
    text::ParseError,
};

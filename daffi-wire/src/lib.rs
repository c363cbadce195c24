//! The wire protocol of daffi as types: frames and their header, the codec, the first bytes of a
//! connection, the bodies of handshakes and events, levels, format numbers and limits. It has no
//! sockets, no runtime and no clock.
//!
//! Use this crate alone to read or write daffi's bytes, for a proxy, a recorder, or a port to
//! another runtime. To call or serve, use the crate `daffi`, which stands on it.
//!
//! The protocol is the one of the Python library daffi 3.0.1; [`protocol`] describes it, and
//! numbers in these pages are those of its sections. What nodes of this project add between each
//! other stands in [`level_four`].
//!
//! ```
//! use bytes::BytesMut;
//! use daffi_wire::{CallId, FormatId, Frame, FrameDecoder, Header, Kind, Limits, SYN};
//!
//! let limits = Limits::default();
//! let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true);
//! let call = Frame::new(header, "cli", "svc", "add", br#"{"args":[3,4],"kwargs":{}}"#, &limits)?;
//!
//! let mut stream = BytesMut::from(&SYN[..]);
//! stream.extend_from_slice(call.as_bytes());
//!
//! let mut rest = stream.split_off(SYN.len());
//! let frame = FrameDecoder::new(limits).decode(&mut rest)?.expect("a whole frame is there");
//! assert_eq!((frame.receiver(), frame.method()), ("svc", "add"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | use |
//! |---|---|
//! | read frames from a stream | [`FrameDecoder`] |
//! | write frames | [`Frame::new`], or [`FrameWriter`] into a buffer of yours |
//! | tell the first bytes | [`Opening`], [`SYN`] |
//! | read and write handshakes and events | [`Handshake`], [`EventBody`] |
//! | check names where they enter | [`NodeName`], [`MethodName`] |
//! | show a peer's text in a log or on a terminal | [`Shown`] |
//! | account for nowait traffic through a Router | [`credit_cost`], [`Credit`], [`Grant`] |
//! | ask whether the other end lives | [`Ping`] |
//! | say what travels beside a call, or send it in parts | [`Extensions`], [`Data`], [`BodyParts`], [`CallCredit`], [`Cancel`], [`CallerLeft`] |

#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}

#[doc = include_str!("../LEVEL_FOUR.md")]
pub mod level_four {}

mod attempt;
mod body_parts;
mod call_credit;
mod cancel;
mod codec;
mod credit;
mod data;
mod error;
mod event;
mod extensions;
mod format_id;
mod frame;
mod frame_writer;
mod handshake;
mod header;
mod identified;
mod level;
mod limits;
mod marked;
mod name;
mod opening;
mod ping;
mod shown;
mod trace_parent;
mod varint;
mod watch;

pub use crate::{
    attempt::Attempt,
    body_parts::{BODY_PART_BYTES, BodyParts, SPLIT_FROM},
    call_credit::{CallCredit, FIRST_CALL_WINDOW, MAX_CALL_WINDOW, data_cost},
    cancel::{CallerLeft, Cancel, CancelReason},
    codec::FrameDecoder,
    credit::{Credit, FIRST_WINDOW, FlowId, Grant, MAX_WINDOW, credit_cost},
    data::{Data, DataEnd, InData, MAX_DATA_BYTES, PackedItems},
    error::{BodyError, DecodeError, EncodeError, ExtensionError, NameError},
    event::{EventBody, EventKind},
    extensions::{
        EXTENSION_ROOM, Extensions, ExtensionsBuilder, MAX_EXTENSION_BYTES, MAX_HEADER_BYTES, MAX_TRACE_STATE_BYTES,
        StreamFlags,
    },
    format_id::FormatId,
    frame::Frame,
    frame_writer::FrameWriter,
    handshake::{Handshake, Member},
    header::{CallId, Header, Kind, UnknownKind},
    identified::MAX_IDENTITY_BYTES,
    level::{Level, NodeType, Role},
    limits::{
        DEFAULT_MAX_CONTROL_BYTES, DEFAULT_MAX_LIST_BYTES, DEFAULT_MAX_NAME_BYTES, Limits, MAX_MESSAGE_BYTES,
        MAX_METADATA_BYTES,
    },
    name::{MethodName, NodeName},
    opening::{Foreign, Opening, SYN},
    ping::Ping,
    shown::Shown,
    trace_parent::TraceParent,
    watch::Watch,
};

/// The program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct WireReadme;

//! Payload formats of daffi: what a call's arguments and results are written as, and read from.
//!
//! Take the facade crate `daffi` to call and serve. Take this one to write a format of your own,
//! which a node then takes beside the built-in ones, or to read and write payloads without a node:
//! in a proxy, a test, a recorder. The formats themselves are small crates, `daffi-serde-json`,
//! `-msgpack`, `-pickle` and `-postcard`; only OPAQUE, which is no more than bytes and text, is in
//! this crate.
//!
//! ```
//! use bytes::BytesMut;
//! use daffi_serde::{Binding, Body, Codec, Opaque, Output};
//!
//! // The caller writes its arguments.
//! let mut frame = BytesMut::new();
//! let mut out = Output::new(&mut frame);
//! Opaque::default().encode_args(&("world",), &mut out)?;
//! let text = out.is_text();
//!
//! // The callback reads them into its parameters.
//! let mut call = Binding::<(String,)>::new("greet", &["name"]);
//! Opaque::default().decode_args(&Body { bytes: frame.freeze(), text }, &mut call)?;
//! let (name,) = call.finish().expect("one argument for one parameter");
//! assert_eq!(name, "world");
//! # Ok::<(), daffi_serde::SerdeError>(())
//! ```
//!
//! # Map
//!
//! - [`Codec`] is what a format implements; every `Codec` is a [`Format`], which fits behind a
//!   pointer. A [`FormatSet`] is what a node holds.
//! - [`Args`] is what a call is made with: a tuple, or [`args!`] with keywords. [`Binding`] fits
//!   them to [`Params`] with Python's rules and Python's `TypeError`s.
//! - [`Value`] is data without a Rust type, [`RemoteError`] the failure of a callback.
//! - [`guard`] keeps a format's library safe from strangers, and from changing data silently;
//!   [`envelope`] reads what self-describing formats put around arguments and results. A format
//!   made of these and a serde library is about a hundred lines: see `daffi-serde-msgpack`.

#[macro_use]
mod refuse;

mod args;
mod buffered;
mod bytes_like;
pub mod envelope;
pub mod erased;
mod error;
mod format;
pub mod guard;
mod limits;
mod opaque;
mod params;
mod remote_error;
mod single;
pub mod value;
mod within;

pub use crate::{
    args::{Args, ArgsVisitor, DynArgs, Keyword, KeywordList, Keywords, Mixed, Owned, Positional},
    bytes_like::BytesLike,
    error::{SerdeError, bound_reason},
    format::{Body, Codec, Format, FormatSet, Output},
    limits::ValueLimits,
    opaque::Opaque,
    params::{ArgsSink, Binding, Defaulted, Param, Params, ResultSink, Returned},
    remote_error::RemoteError,
    single::Single,
    value::{Value, from_value, to_value},
    within::BytesWithin,
};

/// The program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct SerdeReadme;

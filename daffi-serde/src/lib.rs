//! Payload formats of daffi.
mod args;
mod bytes_like;
pub mod erased;
mod error;
mod format;
pub mod guard;
mod limits;
mod params;
mod remote_error;
pub mod value;

pub use crate::{
    args::{Args, ArgsVisitor, DynArgs, Keyword, KeywordList, Keywords, Mixed, Positional},
    bytes_like::BytesLike,
    error::SerdeError,
    format::{Body, Codec, Format, FormatSet, Output},
    limits::ValueLimits,
    params::{ArgsSink, Binding, Defaulted, Param, Params, ResultSink},
    remote_error::RemoteError,
    value::{Value, from_value, to_value},
};

//! Payload formats of daffi.
mod args;
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

pub use crate::{
    args::{Args, ArgsVisitor, DynArgs, Keyword, KeywordList, Keywords, Mixed, Positional},
    bytes_like::BytesLike,
    error::SerdeError,
    format::{Body, Codec, Format, FormatSet, Output},
    limits::ValueLimits,
    opaque::Opaque,
    params::{ArgsSink, Binding, Defaulted, Param, Params, ResultSink},
    remote_error::RemoteError,
    single::Single,
    value::{Value, from_value, to_value},
};

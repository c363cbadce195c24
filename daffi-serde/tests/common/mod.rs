//! What the tests of all formats share.
#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

use std::fmt::Debug;

use bytes::BytesMut;
use daffi_serde::{
    Args, ArgsSink, Body, Codec, Format, Output, RemoteError, ResultSink, SerdeError, erased::ErasedArgs,
};
use serde::{Serialize, de::DeserializeOwned};

/// A format, or a pointer to one: what both must do alike.
pub(crate) trait Subject: Debug {
    fn args<A: Args>(&self, args: &A) -> Result<Body, SerdeError>;
    fn result<T: Serialize + 'static>(&self, value: &T) -> Result<Body, SerdeError>;
    fn read_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError>;
    fn read<T: DeserializeOwned + 'static>(&self, body: &Body) -> Result<T, SerdeError>;
    fn read_error(&self, body: &Body) -> Result<RemoteError, SerdeError>;
}

fn written(write: impl FnOnce(&mut Output<'_>) -> Result<(), SerdeError>) -> Result<Body, SerdeError> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    write(&mut out)?;
    let (text, shared) = (out.is_text(), out.take_shared());
    Ok(Body { bytes: shared.unwrap_or_else(|| buffer.freeze()), text })
}

#[derive(Debug)]
pub(crate) struct Direct<C>(pub(crate) C);

impl<C: Codec> Subject for Direct<C> {
    fn args<A: Args>(&self, args: &A) -> Result<Body, SerdeError> {
        written(|out| self.0.encode_args(args, out))
    }

    fn result<T: Serialize + 'static>(&self, value: &T) -> Result<Body, SerdeError> {
        written(|out| self.0.encode_return(value, out))
    }

    fn read_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        self.0.decode_args(body, sink)
    }

    fn read<T: DeserializeOwned + 'static>(&self, body: &Body) -> Result<T, SerdeError> {
        let mut slot = None;
        self.0.decode_result(body, &mut slot)?;
        Ok(slot.expect("a codec that succeeds fills the sink"))
    }

    fn read_error(&self, body: &Body) -> Result<RemoteError, SerdeError> {
        self.0.decode_error(body)
    }
}

#[derive(Debug)]
pub(crate) struct Pointer(pub(crate) std::sync::Arc<dyn Format>);

impl Subject for Pointer {
    fn args<A: Args>(&self, args: &A) -> Result<Body, SerdeError> {
        written(|out| self.0.encode_args(args, out))
    }

    fn result<T: Serialize + 'static>(&self, value: &T) -> Result<Body, SerdeError> {
        written(|out| self.0.encode_result(&daffi_serde::BytesLike(value), out))
    }

    fn read_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        self.0.decode_args(body, sink)
    }

    fn read<T: DeserializeOwned + 'static>(&self, body: &Body) -> Result<T, SerdeError> {
        let mut slot = None;
        self.0.decode_result(body, &mut slot)?;
        Ok(slot.expect("a codec that succeeds fills the sink"))
    }

    fn read_error(&self, body: &Body) -> Result<RemoteError, SerdeError> {
        self.0.decode_error(body)
    }
}

/// Runs a generic function over every format that carries any value, and over pointers to them.
macro_rules! for_each_format {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            use std::sync::Arc;

            use crate::common::{Direct, Pointer};

            #[test]
            fn json() {
                super::check::$test(&Direct(daffi_serde_json::Json::default()));
                super::check::$test(&Pointer(Arc::new(daffi_serde_json::Json::default())));
            }

            #[test]
            fn msgpack() {
                super::check::$test(&Direct(daffi_serde_msgpack::Msgpack::default()));
                super::check::$test(&Pointer(Arc::new(daffi_serde_msgpack::Msgpack::default())));
            }

            #[test]
            fn pickle() {
                super::check::$test(&Direct(daffi_serde_pickle::Pickle::default()));
                super::check::$test(&Pointer(Arc::new(daffi_serde_pickle::Pickle::default())));
            }

            #[test]
            fn postcard() {
                super::check::$test(&Direct(daffi_serde_postcard::Postcard::default()));
                super::check::$test(&Pointer(Arc::new(daffi_serde_postcard::Postcard::default())));
            }
        }
    )*};
}
pub(crate) use for_each_format;

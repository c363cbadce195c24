//! Each format, writing and reading values that are small and values of about 1 MiB.

use std::{hint::black_box, sync::Arc};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Args, Binding, Body, Codec, Format, FormatSet, Opaque, Output, Params, Single, Value};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use gungraun::{library_benchmark, library_benchmark_group};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    case::Case,
    values::{self, Record},
};

/// The arguments of a call, as a caller writes them.
fn write_args(format: impl Codec, args: impl Args + 'static) -> Case {
    let mut buffer = BytesMut::new();
    Case::new(move || {
        buffer.clear();
        let mut out = Output::new(&mut buffer);
        Codec::encode_args(&format, black_box(&args), &mut out).expect("the format holds them");
        black_box(out.take_shared());
    })
}

/// What a callback returned, as a worker writes it.
fn write(format: impl Codec, value: impl Serialize + 'static) -> Case {
    let mut buffer = BytesMut::new();
    Case::new(move || {
        buffer.clear();
        let mut out = Output::new(&mut buffer);
        format.encode_return(black_box(&value), &mut out).expect("the format holds it");
        black_box(out.take_shared());
    })
}

/// The arguments of a call into the parameters of a callback.
fn read_args<P: Params + Args>(format: impl Codec, args: P, params: &'static [&'static str]) -> Case {
    let body = body(|out| Codec::encode_args(&format, &args, out));
    Case::new(move || {
        let mut call = Binding::<P>::new("add", params);
        Codec::decode_args(&format, black_box(&body), &mut call).expect("what was written can be read");
        assert!(black_box(call.finish()).is_ok());
    })
}

/// A result into the type that the caller asks for.
fn read<T: DeserializeOwned + 'static>(format: impl Codec, value: impl Serialize + 'static) -> Case {
    let body = body(|out| format.encode_return(&value, out));
    let (id, formats) = (Codec::id(&format), Single::new(format));
    Case::new(move || {
        let read: T = formats.decode_result(id, black_box(&body)).expect("what was written can be read");
        black_box(&read);
    })
}

/// Writes a value by a format that stands behind a pointer.
fn write_erased(value: impl Serialize + 'static) -> Case {
    let format: Arc<dyn Format> = Arc::new(Msgpack::default());
    let mut buffer = BytesMut::new();
    Case::new(move || {
        buffer.clear();
        format.encode_result(black_box(&value), &mut Output::new(&mut buffer)).expect("the format holds it");
        black_box(&buffer);
    })
}

/// Reads a value by a format that stands behind a pointer.
fn read_erased<T: DeserializeOwned + 'static>(value: impl Serialize + 'static) -> Case {
    let body = body(|out| Msgpack::default().encode_return(&value, out));
    let format: Arc<dyn Format> = Arc::new(Msgpack::default());
    Case::new(move || {
        let mut read = None::<T>;
        format.decode_result(black_box(&body), &mut read).expect("what was written can be read");
        assert!(black_box(read).is_some());
    })
}

fn body<E: std::fmt::Debug>(write: impl FnOnce(&mut Output<'_>) -> Result<(), E>) -> Body {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    write(&mut out).expect("the format holds it");
    let (text, shared) = (out.is_text(), out.take_shared());
    Body { bytes: shared.unwrap_or_else(|| buffer.freeze()), text }
}

/// A format with containers; what only some have is given beside it.
macro_rules! measure {
    ($name:ident, $format:expr, [$($write:tt)*], [$($read:tt)*]) => {
        pub(crate) mod $name {
            use super::*;

            library_benchmark_group!(name = group, benchmarks = [encode, decode]);

            #[library_benchmark]
            #[bench::args_pair(1000, write_args($format, values::pair()))]
            #[bench::pair(1000, write($format, values::pair()))]
            #[bench::record(1000, write($format, values::record()))]
            #[bench::record_untyped(1000, write($format, values::to_untyped(values::record())))]
            #[bench::integers_1mib(1, write($format, values::integers()))]
            #[bench::texts_1mib(1, write($format, values::texts()))]
            #[bench::records_1mib(1, write($format, values::records()))]
            #[bench::records_1mib_untyped(1, write($format, values::to_untyped(values::records())))]
            $($write)*
            fn encode(times: usize, case: Case) -> Case {
                case.run(times)
            }

            #[library_benchmark]
            #[bench::args_pair(1000, read_args($format, values::pair(), &["a", "b"]))]
            #[bench::pair(1000, read::<(i64, i64)>($format, values::pair()))]
            #[bench::record(1000, read::<Record>($format, values::record()))]
            #[bench::record_untyped(1000, read::<Value>($format, values::to_untyped(values::record())))]
            #[bench::integers_1mib(1, read::<Vec<i64>>($format, values::integers()))]
            #[bench::texts_1mib(1, read::<Vec<String>>($format, values::texts()))]
            #[bench::records_1mib(1, read::<Vec<Record>>($format, values::records()))]
            #[bench::records_1mib_untyped(1, read::<Value>($format, values::to_untyped(values::records())))]
            $($read)*
            fn decode(times: usize, case: Case) -> Case {
                case.run(times)
            }
        }
    };
    ($name:ident, $format:expr, with bytes) => {
        measure!(
            $name,
            $format,
            [#[bench::bytes_1mib(1, write($format, values::bytes()))]],
            [#[bench::bytes_1mib(1, read::<Bytes>($format, values::bytes()))]]
        );
    };
}

measure!(json, Json::default(), [], []);
measure!(msgpack, Msgpack::default(), with bytes);
measure!(pickle, Pickle::default(), with bytes);
measure!(postcard, Postcard::default(), with bytes);

/// OPAQUE has no containers.
pub(crate) mod opaque {
    use super::*;

    library_benchmark_group!(name = group, benchmarks = [encode, decode]);

    #[library_benchmark]
    #[bench::args_text_32(1000, write_args(Opaque::default(), (values::word(),)))]
    #[bench::integer(1000, write(Opaque::default(), 1_234_567_i64))]
    #[bench::text_32(1000, write(Opaque::default(), values::word()))]
    #[bench::text_32_untyped(1000, write(Opaque::default(), values::to_untyped(values::word())))]
    #[bench::text_1mib(1, write(Opaque::default(), values::text()))]
    #[bench::bytes_1mib(1, write(Opaque::default(), values::bytes()))]
    fn encode(times: usize, case: Case) -> Case {
        case.run(times)
    }

    #[library_benchmark]
    #[bench::args_text_32(1000, read_args(Opaque::default(), (values::word(),), &["text"]))]
    #[bench::integer(1000, read::<i64>(Opaque::default(), 1_234_567_i64))]
    #[bench::text_32(1000, read::<String>(Opaque::default(), values::word()))]
    #[bench::text_32_untyped(1000, read::<Value>(Opaque::default(), values::word()))]
    #[bench::text_1mib(1, read::<String>(Opaque::default(), values::text()))]
    #[bench::bytes_1mib(1, read::<Bytes>(Opaque::default(), values::bytes()))]
    fn decode(times: usize, case: Case) -> Case {
        case.run(times)
    }
}

/// MSGPACK as a format of a user's own is held.
pub(crate) mod erased {
    use super::*;

    library_benchmark_group!(name = group, benchmarks = [encode, decode]);

    #[library_benchmark]
    #[bench::pair(1000, write_erased(values::pair()))]
    #[bench::records_1mib(1, write_erased(values::records()))]
    fn encode(times: usize, case: Case) -> Case {
        case.run(times)
    }

    #[library_benchmark]
    #[bench::pair(1000, read_erased::<(i64, i64)>(values::pair()))]
    #[bench::records_1mib(1, read_erased::<Vec<Record>>(values::records()))]
    fn decode(times: usize, case: Case) -> Case {
        case.run(times)
    }
}

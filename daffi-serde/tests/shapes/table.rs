//! What becomes of a value in each format, and by which way.

use std::fmt::Debug;

use bytes::BytesMut;
use daffi_serde::{Binding, Body, BytesLike, Codec, Format, Output, SerdeError};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use serde::{Serialize, de::DeserializeOwned};

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It comes back as it was.
    Same,
    /// The writer refuses it.
    NotWritten,
    /// The reader refuses it.
    NotRead,
    /// Another value comes back.
    Changed,
}
pub(crate) use Outcome::{Changed, NotRead, NotWritten, Same};

/// What can be sent and compared.
pub(crate) trait Shape: Serialize + DeserializeOwned + PartialEq + Debug + Send + 'static {}
impl<T: Serialize + DeserializeOwned + PartialEq + Debug + Send + 'static> Shape for T {}

/// What was written, or the error in the words of its writer.
pub(crate) type Written = Result<Body, String>;

fn try_write(write: impl FnOnce(&mut Output<'_>) -> Result<(), SerdeError>) -> Written {
    let mut buffer = BytesMut::new();
    match write(&mut Output::new(&mut buffer)) {
        Ok(()) => Ok(Body::new(buffer)),
        Err(error) => Err(error.to_string()),
    }
}

fn judge<T: Shape>(
    value: &T,
    written: &Written,
    read: impl FnOnce(&Body, &mut Option<T>) -> Result<(), String>,
) -> (Outcome, String) {
    let body = match written {
        Ok(body) => body,
        Err(error) => return (NotWritten, error.clone()),
    };
    let mut found = None::<T>;
    match read(body, &mut found) {
        Err(error) => (NotRead, error),
        Ok(()) if found.as_ref() == Some(value) => (Same, String::new()),
        Ok(()) => (Changed, format!("{found:?}")),
    }
}

/// As the result of a call.
fn as_result<C: Codec, T: Shape>(format: &C, value: &T) -> (Outcome, String) {
    judge(value, &try_write(|out| Codec::encode_return(format, value, out)), |body, found| {
        Codec::decode_result(format, body, found).map_err(|error| error.to_string())
    })
}

/// As an argument.
fn as_argument<C: Codec, T: Shape>(format: &C, value: &T) -> (Outcome, String) {
    judge(value, &try_write(|out| Codec::encode_args(format, &(value,), out)), |body, found| {
        let mut call = Binding::<(T,)>::new("f", &["a"]);
        Codec::decode_args(format, body, &mut call).map_err(|error| call.explain(&error).message)?;
        *found = Some(call.finish().map_err(|error| error.to_string())?.0);
        Ok(())
    })
}

/// As the result of a call in a format behind a pointer.
fn behind_a_pointer<T: Shape>(format: &dyn Format, value: &T) -> (Outcome, String) {
    judge(value, &try_write(|out| format.encode_result(&BytesLike(value), out)), |body, found| {
        format.decode_result(body, found).map_err(|error| error.to_string())
    })
}

/// Rows of expectations, in JSON, MSGPACK, PICKLE and postcard.
#[derive(Default)]
pub(crate) struct Table {
    wrong: Vec<String>,
    pub(crate) rows: usize,
}

impl Table {
    pub(crate) fn row<T: Shape>(&mut self, name: &str, value: T, expected: [Outcome; 4]) {
        self.row_and_erased(name, value, expected, expected);
    }

    /// A row of what a format behind a pointer is told less of.
    pub(crate) fn row_and_erased<T: Shape>(
        &mut self,
        name: &str,
        value: T,
        expected: [Outcome; 4],
        erased: [Outcome; 4],
    ) {
        self.rows += 1;
        let both = |at: usize| (expected[at], erased[at]);
        self.cell(name, &value, &Json::default(), both(0));
        self.cell(name, &value, &Msgpack::default(), both(1));
        self.cell(name, &value, &Pickle::default(), both(2));
        self.cell(name, &value, &Postcard::default(), both(3));
    }

    fn cell<C: Codec, T: Shape>(&mut self, name: &str, value: &T, format: &C, expected: (Outcome, Outcome)) {
        let ways = [
            ("as a result", expected.0, as_result(format, value)),
            ("as an argument", expected.0, as_argument(format, value)),
            ("behind a pointer", expected.1, behind_a_pointer(format, value)),
        ];
        for (way, expected, (found, why)) in ways {
            if found != expected {
                let id = Codec::id(format);
                self.wrong.push(format!("{name} in {id} {way}: {found:?}, expected {expected:?}: {why}"));
            }
        }
    }

    /// What every format carries.
    pub(crate) fn all<T: Shape>(&mut self, name: &str, value: T) {
        self.row(name, value, [Same; 4]);
    }

    /// What needs a format that describes itself.
    pub(crate) fn described<T: Shape>(&mut self, name: &str, value: T, postcard: Outcome) {
        self.row(name, value, [Same, Same, Same, postcard]);
    }

    #[track_caller]
    pub(crate) fn check(self) {
        assert!(self.wrong.is_empty(), "{} cells:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

/// What the writer says who refuses a value.
#[track_caller]
pub(crate) fn refusal<C: Codec, T: Serialize + 'static>(format: &C, value: &T) -> String {
    try_write(|out| Codec::encode_return(format, value, out)).unwrap_err()
}

/// The payload of a result.
#[track_caller]
pub(crate) fn written<C: Codec, T: Serialize + 'static>(format: &C, value: &T) -> Body {
    let mut buffer = BytesMut::new();
    Codec::encode_return(format, value, &mut Output::new(&mut buffer)).unwrap();
    Body::new(buffer)
}

/// A result that is read as whatever type.
pub(crate) fn read<C: Codec, T: DeserializeOwned + 'static>(format: &C, body: &Body) -> Result<T, SerdeError> {
    let mut found = None;
    Codec::decode_result(format, body, &mut found)?;
    Ok(found.unwrap())
}

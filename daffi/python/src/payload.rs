//! Arguments and results, written and read in the four formats that nodes of Python have.

use bytes::Bytes;
use daffi_serde::{Body, Codec, DynArgs, Output, Value, ValueLimits};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::{Pickle, ReadError};
use daffi_wire::FormatId;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    pybacked::PyBackedBytes,
    sync::PyOnceLock,
    types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple},
};

use crate::{
    ending::{self, Visit},
    failures,
    formats::{Received, Written, format_of},
    values::{from_python, to_python},
};

/// From here on bytes of Python are shared with the engine rather than copied.
const SHARE_FROM: usize = 64 * 1024;

/// From here on reading and writing a payload releases Python's lock.
const DETACH_FROM: usize = 4 * 1024;

/// What of writing and reading is written in Python: `daffi_rs._plain`.
fn python<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("daffi_rs._plain").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

macro_rules! functions {
    ($($function:ident: $name:literal)*) => {$(
        fn $function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
            static CELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            Ok(CELL.get_or_try_init(py, || python(py, $name).map(Bound::unbind))?.bind(py))
        }
    )*};
}

functions! {
    pickled: "pickled"
    unpickled: "unpickled"
    json_text: "json_text"
    json_parsed: "json_parsed"
    plain: "plain"
}

fn require_format(number: u8) -> PyResult<FormatId> {
    format_of(number).ok_or_else(|| {
        PyValueError::new_err(format!(
            "Unknown serde format: {number} (serde must be SerdeFormat.OPAQUE, JSON, PICKLE or MSGPACK)"
        ))
    })
}

/// Bytes of Python as bytes of the engine.
fn share_bytes(bytes: &Bound<'_, PyBytes>) -> Bytes {
    if bytes.as_bytes().len() < SHARE_FROM {
        return Bytes::copy_from_slice(bytes.as_bytes());
    }
    Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
}

/// Containers inside of containers that daffi 3.0.1 writes and reads as MSGPACK.
const TRUSTED_DEPTH: usize = 512;

/// Whether a policy has Python read as it does by itself.
fn is_trusting(policy: &Bound<'_, PyAny>) -> bool {
    policy.is_instance_of::<PyString>()
}

/// What reading a payload may come to, by the policy of its node.
#[derive(Clone, Copy)]
struct Allowed {
    limits: ValueLimits,
    trusting: bool,
}

impl Allowed {
    /// Where everybody is trusted the length of a payload, which is held anyway, is its only limit.
    fn by(policy: &Bound<'_, PyAny>, len: usize) -> PyResult<Self> {
        let trusting = is_trusting(policy);
        let limits = if trusting {
            ValueLimits::DEFAULT.max_values(len.max(ValueLimits::DEFAULT.max_values)).max_depth(TRUSTED_DEPTH)
        } else {
            let values = policy.getattr(intern!(policy.py(), "max_values"))?.extract()?;
            ValueLimits::DEFAULT.max_values(values)
        };
        Ok(Self { limits, trusting })
    }

    /// Whether Python reads the JSON that was not read here: as what it writes and JSON has not,
    /// which are `NaN`, `Infinity` and halves of surrogate pairs. Python counts no values, so they
    /// are counted by what is between them.
    fn python_reads(self, bytes: &Bytes) -> bool {
        if self.trusting {
            return true;
        }
        let more = [&b"NaN"[..], b"Infinity", b"\\ud", b"\\uD"];
        more.iter().any(|word| bytes.windows(word.len()).any(|at| at == *word))
            && bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{' | b':')).count() <= self.limits.max_values
    }
}

/// Writes arguments.
pub(crate) fn write_arguments(
    number: u8,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Written> {
    let py = args.py();
    let _visit = Visit::here(py)?;
    let none = PyDict::new(py);
    let kwargs = kwargs.unwrap_or(&none);
    match require_format(number)? {
        FormatId::PICKLE => pickle(&(args, kwargs).into_pyobject(py)?.into_any()),
        FormatId::JSON => json(&PyList::new(py, args.iter())?.into_any(), kwargs),
        FormatId::MSGPACK => msgpack(args, kwargs),
        _ => {
            let sole = match (args.len(), kwargs.len()) {
                (0, 0) => return Ok(Written { bytes: Bytes::new(), text: false }),
                (1, 0) => args.get_item(0)?,
                (0, 1) => kwargs.values().get_item(0)?,
                (positional, keywords) => {
                    return Err(PyTypeError::new_err(format!(
                        "SerdeFormat.OPAQUE accepts exactly one argument (got {positional} positional, {keywords} keyword): use JSON, \
                         PICKLE or MSGPACK for more"
                    )));
                }
            };
            opaque(&sole)
        }
    }
}

/// Writes a result, or one of several.
pub(crate) fn write_result(number: u8, value: &Bound<'_, PyAny>) -> PyResult<Written> {
    let py = value.py();
    let _visit = Visit::here(py)?;
    let (args, kwargs) = (PyTuple::new(py, [value])?, PyDict::new(py));
    match require_format(number)? {
        FormatId::PICKLE => pickle(&(args, kwargs).into_pyobject(py)?.into_any()),
        FormatId::JSON => json(&PyList::new(py, [value])?.into_any(), &kwargs),
        FormatId::MSGPACK => msgpack(&args, &kwargs),
        _ => opaque(value),
    }
}

fn pickle(both: &Bound<'_, PyAny>) -> PyResult<Written> {
    let bytes = pickled(both.py())?.call1((both,))?;
    Ok(Written { bytes: share_bytes(bytes.cast::<PyBytes>()?), text: false })
}

fn json(args: &Bound<'_, PyAny>, kwargs: &Bound<'_, PyDict>) -> PyResult<Written> {
    let text = json_text(args.py())?.call1((args, kwargs))?;
    Ok(Written { bytes: Bytes::copy_from_slice(text.cast::<PyString>()?.to_cow()?.as_bytes()), text: true })
}

fn msgpack(args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> PyResult<Written> {
    let py = args.py();
    let plain = plain(py)?;
    let positional = args.iter().map(|value| from_python(&value, plain)).collect::<PyResult<Vec<_>>>()?;
    let mut keywords = Vec::with_capacity(kwargs.len());
    for (name, value) in kwargs.iter() {
        keywords.push((name.extract::<String>()?, from_python(&value, plain)?));
    }
    let arguments = DynArgs { positional, keywords };
    let written = ending::detach(py, || {
        let mut buffer = bytes::BytesMut::new();
        Msgpack::default().encode_args(&arguments, &mut Output::new(&mut buffer)).map(|()| buffer.freeze())
    });
    let bytes = written.map_err(|error| PyTypeError::new_err(error.to_string()))?;
    Ok(Written { bytes, text: false })
}

fn opaque(value: &Bound<'_, PyAny>) -> PyResult<Written> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Written { bytes: share_bytes(bytes), text: false });
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(Written { bytes: bytes.to_vec().into(), text: false });
    }
    if value.is_instance_of::<pyo3::types::PyMemoryView>() {
        return Ok(Written { bytes: value.call_method0("tobytes")?.extract::<Vec<u8>>()?.into(), text: false });
    }
    let text = value.str()?;
    let written =
        text.to_cow().map_err(|error| failures::unsendable(value.py(), error.value(value.py()).to_string()))?;
    Ok(Written { bytes: Bytes::copy_from_slice(written.as_bytes()), text: true })
}

/// Reads arguments: a tuple and a dict.
pub(crate) fn read_arguments<'py>(
    py: Python<'py>,
    format: FormatId,
    bytes: &Bytes,
    text: bool,
    policy: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let _visit = Visit::here(py)?;
    if format == FormatId::OPAQUE {
        return Ok((PyTuple::new(py, [opaque_object(py, bytes, text)?])?, PyDict::new(py)));
    }
    if format == FormatId::PICKLE {
        let both = read_pickle(py, bytes, policy)?;
        let args = both.get_item(0)?;
        let args = PyTuple::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        return Ok((args, both.get_item(1)?.cast_into::<PyDict>()?));
    }
    let allowed = Allowed::by(policy, bytes.len())?;
    let read = large(py, bytes, || {
        let (mut arguments, body) = (DynArgs::default(), Body { bytes: bytes.clone(), text });
        match format {
            FormatId::JSON => Json::new(allowed.limits).decode_args(&body, &mut arguments),
            _ => Msgpack::new(allowed.limits).decode_args(&body, &mut arguments),
        }
        .map(|()| arguments)
    });
    let arguments = match read {
        Ok(arguments) => arguments,
        Err(_) if format == FormatId::JSON && allowed.python_reads(bytes) => {
            let both = json_parsed(py)?.call1((PyBytes::new(py, bytes),))?;
            return both.extract();
        }
        Err(error) => return Err(PyTypeError::new_err(error.to_string())),
    };
    let args = arguments.positional.iter().map(|value| to_python(py, value)).collect::<PyResult<Vec<_>>>()?;
    let kwargs = PyDict::new(py);
    for (name, value) in &arguments.keywords {
        kwargs.set_item(name, to_python(py, value)?)?;
    }
    Ok((PyTuple::new(py, args)?, kwargs))
}

/// Reads a result, or one of several.
pub(crate) fn read_result<'py>(
    py: Python<'py>,
    received: &Received,
    policy: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let _visit = Visit::here(py)?;
    let Received { bytes, text, format } = received;
    match *format {
        FormatId::OPAQUE => opaque_object(py, bytes, *text),
        FormatId::PICKLE => read_pickle(py, bytes, policy)?.get_item(0)?.get_item(0),
        format => {
            let allowed = Allowed::by(policy, bytes.len())?;
            let read = large(py, bytes, || {
                let (mut value, body) = (None::<Value>, Body { bytes: bytes.clone(), text: *text });
                match format {
                    FormatId::JSON => Json::new(allowed.limits).decode_result(&body, &mut value),
                    _ => Msgpack::new(allowed.limits).decode_result(&body, &mut value),
                }
                .map(|()| value)
            });
            match read {
                Ok(value) => to_python(py, &value.unwrap_or_default()),
                Err(_) if format == FormatId::JSON && allowed.python_reads(bytes) => {
                    json_parsed(py)?.call1((PyBytes::new(py, bytes),))?.get_item(0)?.get_item(0)
                }
                Err(error) => Err(PyValueError::new_err(error.to_string())),
            }
        }
    }
}

/// Runs `work` without Python's lock when it is much.
fn large<T: Send>(py: Python<'_>, bytes: &Bytes, work: impl FnOnce() -> T + Send) -> T {
    if bytes.len() < DETACH_FROM { work() } else { ending::detach(py, work) }
}

fn opaque_object<'py>(py: Python<'py>, bytes: &Bytes, text: bool) -> PyResult<Bound<'py, PyAny>> {
    if !text {
        return Ok(PyBytes::new(py, bytes).into_any());
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| PyValueError::new_err(format!("a payload that says that it is text is not UTF-8: {error}")))?;
    Ok(PyString::new(py, text).into_any())
}

/// Reads a pickle as plain data. What names a class is read by Python as far as `policy` says that
/// it may be: `"trusting"`, or a table of what is trusted. So is what is no plain tree: Python
/// keeps what is referred to twice as one, and pays for it once.
fn read_pickle<'py>(py: Python<'py>, bytes: &Bytes, policy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if !is_trusting(policy) {
        let limits = Allowed::by(policy, bytes.len())?.limits;
        let read = large(py, bytes, || {
            let read = Pickle::new(limits).read(bytes);
            read.map(|value| Some(value).filter(|value| is_light(value, bytes.len())))
        });
        match read {
            Ok(Some(value)) => return to_python(py, &value),
            // Python's reader says what is too much.
            Ok(None) => {}
            Err(error) if is_for_python(&error, limits, bytes.len()) => {}
            Err(error) => return Err(PyValueError::new_err(format!("PICKLE: {error}"))),
        }
    }
    unpickled(py)?.call1((PyBytes::new(py, bytes), policy))
}

/// What a payload may have Python hold as containers: so many bytes for each of its own, and so
/// many beside. Its reader in Python has the same limits.
const ALLOWED: (usize, usize) = (64, 8 << 20);

/// No byte of a pickle is more in Python: an empty set.
const MOST_OF_A_BYTE: usize = 224;

/// Whether it is no more in Python than it may be.
fn is_light(value: &Value, len: usize) -> bool {
    let (each, beside) = ALLOWED;
    len.saturating_mul(MOST_OF_A_BYTE - each) <= beside
        || sum_held(value) <= len.saturating_mul(each).saturating_add(beside)
}

/// What the containers of a value take in Python, which are much more there than in a pickle. Text
/// and numbers are not.
fn sum_held(value: &Value) -> usize {
    let all = |values: &[Value]| values.iter().map(sum_held).sum::<usize>();
    match value {
        Value::List(values) => 56 + 8 * values.len() + all(values),
        Value::Tuple(values) if values.is_empty() => 0,
        Value::Tuple(values) => 40 + 8 * values.len() + all(values),
        Value::Set(values) | Value::FrozenSet(values) => {
            // So few have room without a table.
            let table = if values.len() < 5 { 0 } else { 104 * values.len() };
            216 + table + all(values)
        }
        Value::Map(entries) => {
            let table = match entries.len() {
                0 => 0,
                1..=5 => 168,
                more => 56 * more,
            };
            64 + table + entries.iter().map(|(key, value)| sum_held(key) + sum_held(value)).sum::<usize>()
        }
        _ => 0,
    }
}

/// Whether Python's reader, which has limits of its own, may read what this one does not.
fn is_for_python(error: &ReadError, limits: ValueLimits, len: usize) -> bool {
    match error {
        // Only what is referred to again is more values than there are bytes.
        ReadError::Values { .. } => len < limits.max_values,
        ReadError::Name(_)
        | ReadError::Call(_)
        | ReadError::Memory { .. }
        | ReadError::Work { .. }
        | ReadError::Depth { .. }
        | ReadError::Cycle
        | ReadError::Text { .. }
        | ReadError::TimeInZone(_)
        | ReadError::IntBytes { .. } => true,
        _ => false,
    }
}

/// Writes arguments: the payload, and whether it is text.
#[pyfunction]
pub(crate) fn encode_arguments<'py>(
    serde: u8,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<(Bound<'py, PyBytes>, bool)> {
    let written = write_arguments(serde, args, Some(kwargs))?;
    Ok((PyBytes::new(args.py(), &written.bytes), written.text))
}

/// Writes a result: the payload, and whether it is text.
#[pyfunction]
pub(crate) fn encode_result<'py>(serde: u8, value: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, bool)> {
    let written = write_result(serde, value)?;
    Ok((PyBytes::new(value.py(), &written.bytes), written.text))
}

/// Reads arguments.
#[pyfunction]
pub(crate) fn decode_arguments<'py>(
    py: Python<'py>,
    serde: u8,
    payload: &[u8],
    text: bool,
    policy: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    read_arguments(py, require_format(serde)?, &Bytes::copy_from_slice(payload), text, policy)
}

/// Reads a result.
#[pyfunction]
pub(crate) fn decode_result<'py>(
    py: Python<'py>,
    serde: u8,
    payload: &[u8],
    text: bool,
    policy: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let received = Received { bytes: Bytes::copy_from_slice(payload), text, format: require_format(serde)? };
    read_result(py, &received, policy)
}

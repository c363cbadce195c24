//! Python objects as plain values, and back.

use daffi_serde::{
    Value,
    value::{Date, DateTime, Time, TimeDelta},
};
use num_bigint::BigInt;
use pyo3::{
    exceptions::{PyOverflowError, PyRecursionError, PyTypeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{
        PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType,
    },
};

use crate::keys::Hashes;

/// Containers inside of containers, as 3.0.1 writes them.
const MAX_DEPTH: usize = 510;

/// A class of Python's own library.
fn class<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
    module: &str,
    name: &str,
) -> PyResult<Bound<'py, PyType>> {
    cell.import(py, module, name).cloned()
}

macro_rules! classes {
    ($($function:ident: $module:literal $name:literal)*) => {$(
        fn $function(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
            static CELL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
            class(py, &CELL, $module, $name)
        }
    )*};
}

classes! {
    date_class: "datetime" "date"
    time_class: "datetime" "time"
    datetime_class: "datetime" "datetime"
    timedelta_class: "datetime" "timedelta"
    timezone_class: "datetime" "timezone"
    decimal_class: "decimal" "Decimal"
    uuid_class: "uuid" "UUID"
    complex_class: "builtins" "complex"
    zoneinfo_class: "zoneinfo" "ZoneInfo"
}

/// Makes a Python object of a value.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::BigInt(value) => (**value).clone().into_pyobject(py)?.into_any(),
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::Str(value) => PyString::new(py, value).into_any(),
        Value::Bytes(value) => PyBytes::new(py, value).into_any(),
        Value::List(values) => PyList::new(py, all(py, values)?)?.into_any(),
        Value::Tuple(values) => PyTuple::new(py, all(py, values)?)?.into_any(),
        Value::Set(values) => PySet::new(py, all_keys(py, values)?)?.into_any(),
        Value::FrozenSet(values) => PyFrozenSet::new(py, all_keys(py, values)?)?.into_any(),
        Value::Map(entries) => {
            let (dict, mut hashes) = (PyDict::new(py), Hashes::of(entries.len()));
            for (key, value) in entries {
                dict.set_item(hashes.key(py, key)?, to_python(py, value)?)?;
            }
            dict.into_any()
        }
        Value::Complex(real, imaginary) => complex_class(py)?.call1((*real, *imaginary))?,
        Value::Date(date) => date_class(py)?.call1((date.year, date.month, date.day))?,
        Value::Time(time) => time_to_python(py, time)?,
        Value::DateTime(moment) => datetime_to_python(py, moment)?,
        Value::TimeDelta(delta) => delta_to_python(py, *delta)?,
        Value::Decimal(text) => decimal_class(py)?.call1((&**text,))?,
        Value::Uuid(number) => {
            let kwargs = PyDict::new(py);
            kwargs.set_item("int", **number)?;
            uuid_class(py)?.call((), Some(&kwargs))?
        }
        other => return Err(PyTypeError::new_err(format!("no Python object stands for {other}"))),
    })
}

fn all<'py>(py: Python<'py>, values: &[Value]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    values.iter().map(|value| to_python(py, value)).collect()
}

fn all_keys<'py>(py: Python<'py>, values: &[Value]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let mut hashes = Hashes::of(values.len());
    values.iter().map(|value| hashes.key(py, value)).collect()
}

fn delta_to_python(py: Python<'_>, delta: TimeDelta) -> PyResult<Bound<'_, PyAny>> {
    timedelta_class(py)?.call1((delta.days, delta.seconds, delta.microseconds))
}

/// The names of all zones that Python finds. It looks for others in many files, each time.
fn zones(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static ZONES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let find = || py.import("zoneinfo")?.call_method0("available_timezones").map(Bound::unbind);
    Ok(ZONES.get_or_try_init(py, find)?.bind(py))
}

fn zone_to_python<'py>(py: Python<'py>, offset: Option<TimeDelta>, name: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
    let Some(offset) = offset else { return Ok(py.None().into_bound(py)) };
    if let Some(name) = name
        && let Ok(true) = zones(py).and_then(|zones| zones.contains(name))
        && let Ok(zone) = zoneinfo_class(py).and_then(|class| class.call1((name,)))
    {
        return Ok(zone);
    }
    if offset == TimeDelta::default() {
        return timezone_class(py)?.getattr("utc");
    }
    timezone_class(py)?.call1((delta_to_python(py, offset)?,))
}

fn time_to_python<'py>(py: Python<'py>, time: &Time) -> PyResult<Bound<'py, PyAny>> {
    let zone = zone_to_python(py, time.offset, None)?;
    time_class(py)?.call1((time.hour, time.minute, time.second, time.microsecond, zone))
}

fn datetime_to_python<'py>(py: Python<'py>, moment: &DateTime) -> PyResult<Bound<'py, PyAny>> {
    let (date, time) = (moment.date, moment.time);
    let zone = zone_to_python(py, time.offset, moment.zone.as_deref())?;
    let fields = (date.year, date.month, date.day, time.hour, time.minute, time.second, time.microsecond, zone);
    datetime_class(py)?.call1(fields)
}

/// Makes a value of a Python object, to be written as MSGPACK. What is no plain data is first made
/// of plain data by `plain`, a function of Python, which raises for what it knows nothing of.
pub(crate) fn from_python(object: &Bound<'_, PyAny>, plain: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(object, plain, 0)
}

fn read(object: &Bound<'_, PyAny>, plain: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > MAX_DEPTH {
        return Err(PyRecursionError::new_err(format!(
            "more than {MAX_DEPTH} containers inside each other, which is the most: send it as PICKLE, or flatter"
        )));
    }
    if let Some(value) = read_exactly(object, plain, depth)? {
        return Ok(value);
    }
    // Subclasses, after what is a class of its own.
    if let Some(value) = read_special(object)? {
        return Ok(value);
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::from(&*text.to_cow()?));
    }
    if object.is_instance_of::<PyInt>() {
        return read_int(object);
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(Value::Float(number.value()));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().into()));
    }
    let made = plain.call1((object,))?;
    if made.is(object) {
        return Err(PyTypeError::new_err("plain data was expected"));
    }
    read(&made, plain, depth + 1)
}

fn read_exactly(object: &Bound<'_, PyAny>, plain: &Bound<'_, PyAny>, depth: usize) -> PyResult<Option<Value>> {
    let values = |items: Vec<Bound<'_, PyAny>>| -> PyResult<Box<[Value]>> {
        items.iter().map(|item| read(item, plain, depth + 1)).collect()
    };
    Ok(Some(if object.is_none() {
        Value::Null
    } else if let Ok(text) = object.cast_exact::<PyString>() {
        Value::from(&*text.to_cow()?)
    } else if let Ok(flag) = object.cast_exact::<PyBool>() {
        Value::Bool(flag.is_true())
    } else if object.is_exact_instance_of::<PyInt>() {
        read_int(object)?
    } else if let Ok(number) = object.cast_exact::<PyFloat>() {
        Value::Float(number.value())
    } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        Value::Bytes(bytes.as_bytes().into())
    } else if let Ok(dict) = object.cast::<PyDict>() {
        let mut entries = Vec::with_capacity(dict.len());
        for (key, value) in dict.iter() {
            entries.push((read(&key, plain, depth + 1)?, read(&value, plain, depth + 1)?));
        }
        Value::Map(entries.into())
    } else if let Ok(list) = object.cast::<PyList>() {
        Value::List(values(list.iter().collect())?)
    } else if let Ok(tuple) = object.cast::<PyTuple>() {
        Value::Tuple(values(tuple.iter().collect())?)
    } else if let Ok(set) = object.cast::<PySet>() {
        Value::Set(values(set.iter().collect())?)
    } else if let Ok(set) = object.cast::<PyFrozenSet>() {
        Value::FrozenSet(values(set.iter().collect())?)
    } else if let Ok(bytes) = object.cast::<PyByteArray>() {
        Value::Bytes(bytes.to_vec().into())
    } else {
        return Ok(None);
    }))
}

fn read_int(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(number) = object.extract::<i64>() {
        return Ok(Value::Int(number));
    }
    let number = object.extract::<BigInt>()?;
    if object.extract::<u64>().is_err() {
        return Err(PyOverflowError::new_err(format!(
            "an integer of {} bits is beyond 64, where integers of MSGPACK end; JSON and PICKLE carry it",
            number.bits()
        )));
    }
    Ok(Value::from(number))
}

/// What Python's own library has classes for.
fn read_special(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    let py = object.py();
    Ok(Some(if object.is_instance(datetime_class(py)?.as_any())? {
        let mut moment = DateTime::new(read_date(object)?, read_time(object)?);
        let zone = object.getattr(intern!(py, "tzinfo"))?;
        if let Ok(name) = zone.getattr(intern!(py, "key")).and_then(|key| key.extract::<String>()) {
            moment = moment.in_zone(name);
        }
        Value::DateTime(Box::new(moment))
    } else if object.is_instance(date_class(py)?.as_any())? {
        Value::Date(read_date(object)?)
    } else if object.is_instance(time_class(py)?.as_any())? {
        Value::Time(Box::new(read_time(object)?))
    } else if object.is_instance(timedelta_class(py)?.as_any())? {
        Value::TimeDelta(read_delta(object)?)
    } else if object.is_instance(decimal_class(py)?.as_any())? {
        Value::Decimal((*object.str()?.to_cow()?).into())
    } else if object.is_instance(uuid_class(py)?.as_any())? {
        Value::Uuid(Box::new(object.getattr(intern!(py, "int"))?.extract()?))
    } else if object.is_exact_instance(complex_class(py)?.as_any()) {
        Value::Complex(object.getattr(intern!(py, "real"))?.extract()?, object.getattr(intern!(py, "imag"))?.extract()?)
    } else if object.is_instance_of::<pyo3::types::PyMemoryView>() {
        Value::Bytes(object.call_method0(intern!(py, "tobytes"))?.extract::<Vec<u8>>()?.into())
    } else {
        return Ok(None);
    }))
}

fn read_date(object: &Bound<'_, PyAny>) -> PyResult<Date> {
    let py = object.py();
    let (year, month, day) = (
        object.getattr(intern!(py, "year"))?.extract()?,
        object.getattr(intern!(py, "month"))?.extract()?,
        object.getattr(intern!(py, "day"))?.extract()?,
    );
    Date::new(year, month, day).ok_or_else(|| PyTypeError::new_err("no day of the calendar"))
}

fn read_time(object: &Bound<'_, PyAny>) -> PyResult<Time> {
    let py = object.py();
    let time = Time::new(
        object.getattr(intern!(py, "hour"))?.extract()?,
        object.getattr(intern!(py, "minute"))?.extract()?,
        object.getattr(intern!(py, "second"))?.extract()?,
        object.getattr(intern!(py, "microsecond"))?.extract()?,
    );
    let time = time.ok_or_else(|| PyTypeError::new_err("no time of day"))?;
    let offset = object.call_method0(intern!(py, "utcoffset"))?;
    if offset.is_none() {
        return Ok(time);
    }
    time.at_offset(read_delta(&offset)?).ok_or_else(|| PyTypeError::new_err("no offset from UTC"))
}

fn read_delta(object: &Bound<'_, PyAny>) -> PyResult<TimeDelta> {
    let py = object.py();
    let delta = TimeDelta::new(
        object.getattr(intern!(py, "days"))?.extract()?,
        object.getattr(intern!(py, "seconds"))?.extract()?,
        object.getattr(intern!(py, "microseconds"))?.extract()?,
    );
    delta.ok_or_else(|| PyTypeError::new_err("no length of time"))
}

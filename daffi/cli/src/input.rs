//! Arguments: JSON, else text; `-` and `@file` for bytes.

use std::{fs, io::Read};

use base64::{Engine, prelude::BASE64_STANDARD};
use daffi::{
    Bytes, DynArgs, Value,
    format::{Body, Codec},
};
use daffi_serde_json::Json;
use serde::de::IgnoredAny;

use crate::{failure::Failure, value::BYTES_KEY};

/// Reads the arguments of one command line. Stdin can be read once.
#[derive(Debug, Default)]
pub(crate) struct Input {
    stdin_taken: bool,
}

impl Input {
    /// One argument.
    pub(crate) fn argument(&mut self, text: &str) -> Result<Value, Failure> {
        if text == "-" {
            if std::mem::replace(&mut self.stdin_taken, true) {
                return Err(Failure::Usage("- stands for stdin, which can be read only once: use @FILE".to_owned()));
            }
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Failure::Usage(format!("stdin cannot be read: {error}")))?;
            return Ok(Value::Bytes(bytes.into()));
        }
        if let Some(path) = text.strip_prefix('@') {
            let bytes = fs::read(path).map_err(|error| {
                Failure::Usage(format!(
                    "the file {path:?} cannot be read: {error}; a text that begins with @ is written in quotes: '\"@..\"'"
                ))
            })?;
            return Ok(Value::Bytes(bytes.into()));
        }
        json_else_text(text)
    }

    /// `NAME=VALUE`.
    pub(crate) fn keyword(&mut self, text: &str) -> Result<(String, Value), Failure> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), self.argument(value)?)),
            _ => Err(Failure::Usage(format!("--kwarg {text}: write NAME=VALUE"))),
        }
    }
}

fn json_else_text(text: &str) -> Result<Value, Failure> {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Ok(Value::Str(text.to_owned()));
    }
    // Wider than what JSON's reader tells from floats.
    if let Ok(number) = text.parse::<i128>() {
        return Ok(Value::Int(number));
    }
    // The format's own reader says what it can't hold instead of rounding it.
    let mut args = DynArgs::default();
    let body = Body::text(format!(r#"{{"args":[{text}],"kwargs":{{}}}}"#));
    Codec::decode_args(&Json::default(), &body, &mut args)
        .map_err(|error| Failure::Usage(format!("argument {text}: {error}")))?;
    args.positional.pop().map_or_else(|| Ok(Value::Null), with_bytes)
}

/// Makes bytes of `{"$bytes": base64}`, wherever it stands.
fn with_bytes(value: Value) -> Result<Value, Failure> {
    Ok(match value {
        Value::List(items) => Value::List(items.into_iter().map(with_bytes).collect::<Result<_, _>>()?),
        Value::Map(entries) => match &entries[..] {
            [(Value::Str(key), Value::Str(text))] if key == BYTES_KEY => {
                let bytes = BASE64_STANDARD.decode(text);
                let bytes = bytes.map_err(|error| Failure::Usage(format!("{BYTES_KEY}: not base64: {error}")))?;
                Value::Bytes(Bytes::from(bytes))
            }
            _ => {
                let entries = entries.into_iter().map(|(key, value)| Ok((key, with_bytes(value)?)));
                Value::Map(entries.collect::<Result<_, Failure>>()?)
            }
        },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_json_else_text() {
        let cases = [
            ("3", Value::from(3)),
            ("-3", Value::from(-3)),
            ("+3", "+3".into()),
            ("007", "007".into()),
            ("1.5", Value::from(1.5)),
            ("null", Value::Null),
            ("world", "world".into()),
            ("\"3\"", "3".into()),
            ("", "".into()),
            ("[1, [\"a\"]]", Value::List(vec![1.into(), Value::from(vec!["a"])])),
            ("170141183460469231731687303715884105727", i128::MAX.into()),
            ("{\"$bytes\": \"AP8=\"}", Value::Bytes(Bytes::from_static(b"\0\xff"))),
            ("[1], \"kwargs\": {}", "[1], \"kwargs\": {}".into()),
        ];
        for (text, value) in cases {
            assert_eq!(Input::default().argument(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn nothing_is_rounded_and_no_error_passes_for_text() {
        for bad in ["[18446744073709551616]", "{\"$bytes\": \"?\"}", "@/no/such/file"] {
            assert!(matches!(Input::default().argument(bad), Err(Failure::Usage(_))), "{bad}");
        }
        assert!(matches!(Input::default().keyword("=3"), Err(Failure::Usage(_))));
        assert_eq!(Input::default().keyword("a=b=c").unwrap(), ("a".into(), "b=c".into()));
    }
}

//! Arguments: JSON, else text; `-` and `@file` for bytes.

use std::{fs, io::Read};

use daffi::{DynArgs, Value};

use crate::{
    failure::{Failure, not_read},
    json::{self, ParseError},
    meant,
};

/// The most of a file that is read as JSON: what a node puts together by default.
const MOST_JSON: u64 = 128 << 20;

/// Reads the arguments of one command line. Stdin can be read once.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Every argument is text, whatever it looks like.
    text: bool,
    /// Why stdin cannot be read.
    stdin_taken: Option<&'static str>,
}

impl Input {
    pub(crate) fn new(text: bool) -> Self {
        Self { text, stdin_taken: None }
    }

    /// The input of a call whose items stdin has.
    pub(crate) fn beside_items(text: bool) -> Self {
        Self { text, stdin_taken: Some("of which --items takes the lines") }
    }

    /// One argument.
    pub(crate) fn argument(&mut self, text: &str) -> Result<Value, Failure> {
        if self.text {
            return Ok(Value::Str(text.to_owned().into()));
        }
        if text == "-" {
            return Ok(Value::Bytes(self.stdin(u64::MAX)?.into()));
        }
        if let Some(path) = text.strip_prefix('@') {
            let bytes = fs::read(path).map_err(|error| {
                Failure::Usage(format!(
                    "the file {path:?} {}; a text that begins with @ is written in quotes: '\"@..\"', \
                     and with --text all arguments are text",
                    not_read(&error)
                ))
            })?;
            return Ok(Value::Bytes(bytes.into()));
        }
        json_else_text(text)
    }

    /// `NAME=VALUE`.
    pub(crate) fn keyword(&mut self, text: &str) -> Result<(String, Value), Failure> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                let value = self.argument(value).map_err(|error| error.preceded_by(&format!("--kwarg {name}: ")));
                Ok((name.to_owned(), value?))
            }
            _ => Err(Failure::Usage(format!("--kwarg {text}: write NAME=VALUE"))),
        }
    }

    /// The arguments in a file, or in stdin for `-`: a list of positional ones, or an object of
    /// keyword arguments.
    pub(crate) fn file(&mut self, path: &str) -> Result<DynArgs, Failure> {
        let about = |what: &str| Failure::Usage(format!("--args-file {path}: {what}"));
        let bytes = match path {
            "-" => self.stdin(MOST_JSON)?,
            path => fs::File::open(path)
                .and_then(|file| read_at_most(file, MOST_JSON))
                .map_err(|error| about(&format!("the file {}", not_read(&error))))?,
        };
        if bytes.len() as u64 > MOST_JSON {
            return Err(about(&format!(
                "more than {MOST_JSON} bytes, the most that is read as JSON; @FILE sends bytes of any size"
            )));
        }
        let text = text(&bytes).map_err(|error| about(&error))?;
        if text.trim().is_empty() {
            return Err(about("nothing is in it: [] is no arguments"));
        }
        let mut args = DynArgs::default();
        let parsed = json::parse(text).map_err(|error| match error {
            ParseError::Json(error) => about(&format!("not JSON: {error}{}", meant::hint(text))),
            error => about(&error.to_string()),
        });
        match parsed? {
            Value::List(items) => args.positional = items.into(),
            Value::Map(entries) => {
                for (name, value) in entries {
                    let Value::Str(name) = name else {
                        return Err(about("the name of a keyword argument is text, as in {\"name\": 1}"));
                    };
                    args.keywords.push((name.into(), value));
                }
            }
            _ => {
                return Err(about(
                    "a list of arguments is expected, or an object of keyword arguments, as [1, 2] or {\"a\": 1}",
                ));
            }
        }
        Ok(args)
    }

    /// All of stdin, or a little more than `most` bytes of it.
    fn stdin(&mut self, most: u64) -> Result<Vec<u8>, Failure> {
        if let Some(why) = self.stdin_taken.replace("which can be read only once") {
            return Err(Failure::Usage(format!("- stands for stdin, {why}: use @FILE")));
        }
        let read = read_at_most(std::io::stdin().lock(), most);
        read.map_err(|error| Failure::Usage(format!("stdin {}", not_read(&error))))
    }
}

/// All of it, or one byte more than `most`.
fn read_at_most(from: impl Read, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A text as editors save it, some with a mark before it that says how.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, String> {
    const UTF_8: [u8; 3] = [0xef, 0xbb, 0xbf];
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16: save it as UTF-8".to_owned());
    }
    std::str::from_utf8(bytes.strip_prefix(&UTF_8).unwrap_or(bytes))
        .map_err(|error| format!("{error}: save it as UTF-8"))
}

/// Reads JSON, else takes the text as it is. Text that might be meant as something else is refused:
/// in Python the text `False` is true.
fn json_else_text(text: &str) -> Result<Value, Failure> {
    match json::parse(text) {
        Ok(value) => Ok(value),
        Err(error) => match meant::refusal(text, &error) {
            Some(sentence) => Err(Failure::Usage(sentence)),
            None => Ok(Value::Str(text.to_owned().into())),
        },
    }
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
            ("6.02e23", Value::from(6.02e23)),
            ("null", Value::Null),
            ("true", true.into()),
            ("world", "world".into()),
            ("(see below)", "(see below)".into()),
            ("\"3\"", "3".into()),
            ("", "".into()),
            ("[1, [\"a\"]]", Value::List(vec![1.into(), Value::from(vec!["a"])].into())),
            ("{\"$bytes\": \"AP8=\"}", Value::Bytes(b"\0\xff".as_slice().into())),
        ];
        for (text, value) in cases {
            assert_eq!(Input::default().argument(text).unwrap(), value, "{text}");
            let mut all_text = Input::new(true);
            assert_eq!(all_text.argument(text).unwrap(), text.into(), "{text}");
        }
    }

    #[test]
    fn a_file_of_arguments_says_how_json_has_what_python_writes() {
        for (name, written, hint) in [
            ("nan", "[NaN]", r#"(NaN is {"$float": "nan"} in JSON)"#),
            ("false", "{\"a\": False}", "(False is false in JSON)"),
            ("quotes", "['a']", "(JSON has double quotes only)"),
        ] {
            let path = std::env::temp_dir().join(format!("daffi-input-{}-{name}", std::process::id()));
            fs::write(&path, written).unwrap();
            let refused = Input::default().file(path.to_str().unwrap());
            fs::remove_file(&path).unwrap();
            let Err(Failure::Usage(sentence)) = refused else { panic!("{written}: {refused:?}") };
            assert!(sentence.contains("not JSON: ") && sentence.ends_with(hint), "{sentence}");
        }
    }

    #[test]
    fn names_of_keyword_arguments_end_at_the_first_sign() {
        assert!(matches!(Input::default().keyword("=3"), Err(Failure::Usage(_))));
        assert_eq!(Input::default().keyword("a=b=c").unwrap(), ("a".into(), "b=c".into()));
    }
}

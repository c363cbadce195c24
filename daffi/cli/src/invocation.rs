//! What all commands that call have in common: where, what, and with which arguments.

use std::time::Duration;

use clap::{Args, ValueEnum};
use daffi::{DynArgs, FormatId};

use crate::{
    address::Address,
    connection::{Place, SCHEMES},
    failure::Failure,
    input::Input,
    negative::unmark,
    quantity::Wait,
};

/// This stands behind the help of each such command.
pub(crate) const ARGUMENTS: &str = "\
About arguments:
Each ARG is JSON where it can be read as such, else text: 3, 1.5, true, null, '[1, 2]' and '{\"a\": 1}' are JSON, world is \
text, and so is '\"3\"'. What begins with a dash and is no number goes behind a --.
What may be meant as a value and is no JSON is refused, with how to write it: what Python writes (True, None, NaN, (1, 2), b'ab', \
set()), numbers such as .5, 1_000 and 0x10, and what begins like JSON and is none. +3 and 007 are text, as telephone numbers \
and codes are, and so are yes, none and TRUE. With --text all ARGs are text, whatever they look like.
- is the bytes of stdin, @FILE those of a file. What --json prints is taken, too: {\"$bytes\": \"AP8=\"} is bytes in base64, \
{\"$float\": \"nan\"}, \"inf\" or \"-inf\" a float that JSON has not, {\"$map\": [[key, value]]} a map that is no object of JSON, \
or one that would be taken for one of these.
--args-file FILE reads JSON of up to 128 MiB: a list is positional arguments, an object keyword arguments. ARGs come behind them.";

/// `[URL] METHOD [ARG]...`
///
/// All are optional to clap, because whether the first is the URL shows only when it is read.
#[derive(Clone, Debug, Args)]
pub(crate) struct Invocation {
    /// Where the network is; left out: see `daffi context`
    #[arg(value_name = "URL", allow_negative_numbers = true, value_parser = unmark)]
    first: Option<String>,
    /// The callback
    #[arg(value_name = "METHOD", allow_negative_numbers = true, value_parser = unmark)]
    second: Option<String>,
    /// Its arguments: JSON, else text; - or @FILE for bytes
    #[arg(value_name = "ARG", allow_negative_numbers = true, value_parser = unmark)]
    rest: Vec<String>,
    /// A keyword argument; may be repeated
    #[arg(short, long = "kwarg", value_name = "NAME=VALUE")]
    kwargs: Vec<String>,
    /// Take every ARG and VALUE as text, as it is
    #[arg(long)]
    pub(crate) text: bool,
    /// Arguments in JSON, a list or an object of keyword arguments; - is stdin. ARGs come behind
    /// them
    #[arg(long, value_name = "FILE")]
    args_file: Option<String>,
    /// Format of arguments and result. Default: msgpack for nodes in Rust, pickle for daffi 3.0.1
    #[arg(short, long, value_name = "FORMAT", ignore_case = true)]
    serde: Option<Serde>,
    /// How long to wait for an answer: seconds, or a time such as 200ms; `none` for as long as it
    /// takes
    #[arg(short, long, value_name = "TIME", default_value = "30")]
    timeout: Wait,
    /// A header that travels with the call, for the callback to read; may be repeated
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
}

/// The formats by their names in Python.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Serde {
    Msgpack,
    Pickle,
    Json,
    Opaque,
    Postcard,
}

impl From<Serde> for FormatId {
    fn from(serde: Serde) -> Self {
        match serde {
            Serde::Msgpack => Self::MSGPACK,
            Serde::Pickle => Self::PICKLE,
            Serde::Json => Self::JSON,
            Serde::Opaque => Self::OPAQUE,
            Serde::Postcard => Self::POSTCARD,
        }
    }
}

/// An invocation that was read.
#[derive(Debug)]
pub(crate) struct Invoked {
    pub(crate) address: Address,
    pub(crate) method: String,
    pub(crate) args: DynArgs,
    pub(crate) serde: Option<FormatId>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) headers: Vec<(String, String)>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it has no =: write KEY=VALUE")?;
    match key.len() {
        1..=255 => Ok((key.to_owned(), value.to_owned())),
        length => Err(format!("its key has {length} bytes; it has 1 to 255")),
    }
}

impl Invocation {
    /// How long to wait; `None`: as long as it takes.
    pub(crate) const fn timeout(&self) -> Option<Duration> {
        self.timeout.0
    }

    /// Reads the command line, and with it stdin and files. Ctrl-C is heard meanwhile.
    pub(crate) async fn read(self, place: &Place) -> Result<Invoked, Failure> {
        let input = Input::new(self.text);
        self.read_with(place, input).await
    }

    /// Reads the words with what reads arguments.
    pub(crate) async fn read_with(self, place: &Place, input: Input) -> Result<Invoked, Failure> {
        let words = self.first.iter().chain(&self.second).chain(&self.rest).cloned().collect();
        let (address, words) = split(words, place)?;
        let reading = tokio::task::spawn_blocking(|| self.read_now(address, words, input));
        reading.await.unwrap_or_else(|error| Err(Failure::Failed(format!("the arguments were not read: {error}"))))
    }

    fn read_now(self, address: Address, words: Vec<String>, mut input: Input) -> Result<Invoked, Failure> {
        let mut words = words.into_iter();
        let method = words.next().ok_or_else(|| {
            Failure::Usage(format!("no METHOD: name the callback to call; `daffi members {address}` lists them"))
        })?;
        if method.is_empty() {
            return Err(Failure::Usage("METHOD is empty: name the callback to call".to_owned()));
        }
        let mut args = match &self.args_file {
            Some(path) => input.file(path)?,
            None => DynArgs::default(),
        };
        for word in words {
            args.positional.push(input.argument(&word)?);
        }
        for word in &self.kwargs {
            let (name, value) = input.keyword(word)?;
            if args.keywords.iter().any(|(known, _)| *known == name) {
                return Err(Failure::Usage(format!("the keyword argument {name} is given twice")));
            }
            args.keywords.push((name, value));
        }
        let (serde, timeout) = (self.serde.map(Into::into), self.timeout.0);
        Ok(Invoked { address, method, args, serde, timeout, headers: self.headers })
    }
}

/// The address, which is the first word when that is one, and the other words.
pub(crate) fn split(mut words: Vec<String>, place: &Place) -> Result<(Address, Vec<String>), Failure> {
    if words.first().is_some_and(String::is_empty) {
        let text = "the first argument is empty, and is a URL or a METHOD: is a variable of the shell not set?";
        return Err(Failure::Usage(text.to_owned()));
    }
    let Some(first) = words.first() else { return Ok((place.default_address(None)?, words)) };
    if first.contains("://") {
        let address = place.address(Some(first))?;
        words.remove(0);
        return Ok((address, words));
    }
    match meant_as(first) {
        Some(url) => {
            Err(Failure::Usage(format!("{first} is no endpoint: write it with its scheme and ://, as in {url}")))
        }
        None => Ok((place.default_address(Some(first))?, words)),
    }
}

/// The URL that was meant by what nobody means as the name of a callback: a scheme with less than
/// `://` behind it, or `host:port`.
fn meant_as(word: &str) -> Option<String> {
    let (before, behind) = word.split_once(':')?;
    let scheme = before.to_lowercase();
    let address = behind.trim_start_matches('/');
    match scheme.as_str() {
        _ if address.is_empty() => None,
        "unix" => Some(format!("unix:///{address}")),
        scheme if SCHEMES.contains(&scheme) => Some(format!("{scheme}://{address}")),
        _ => {
            let (host, port) = word.rsplit_once(':')?;
            (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| format!("tcp://{word}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_endpoint_when_it_is_one() {
        let words = |words: &[&str]| split(words.iter().map(ToString::to_string).collect(), &Place::default());
        let (endpoint, rest) = words(&["tcp://h:1", "add", "tcp://x:2"]).unwrap();
        assert_eq!(
            (endpoint.to_string().as_str(), rest),
            ("tcp://h:1", vec!["add".to_owned(), "tcp://x:2".to_owned()])
        );
        for (bad, url) in [
            (&["127.0.0.1:5001", "add"][..], "as in tcp://127.0.0.1:5001"),
            (&["localhost:5001"], "as in tcp://localhost:5001"),
            (&["tcp:localhost:5001"], "as in tcp://localhost:5001"),
            (&["WS:/localhost:5001"], "as in ws://localhost:5001"),
            (&["unix:/run/calc.sock", "add"], "as in unix:///run/calc.sock"),
            (&["://", "add"], "cannot be used"),
        ] {
            let sentence = match words(bad) {
                Err(Failure::Usage(sentence)) => sentence,
                other => panic!("{bad:?}: {other:?}"),
            };
            assert!(sentence.contains(url), "{bad:?}: {sentence}");
        }
        for callback in ["add", "module:add", "tcp:", ":5001"] {
            assert_eq!(meant_as(callback), None);
        }
    }
}

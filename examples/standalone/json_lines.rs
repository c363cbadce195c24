//! A format of one's own, in thirty lines: each argument is a line of JSON, a keyword argument
//! `name=JSON`.

use daffi::{
    format::{
        Args, ArgsSink, ArgsVisitor, Body, Codec, Output, ResultSink, SerdeError,
        guard::{Guarded, GuardedArgs, Rules},
    },
    prelude::*,
};
use serde::Serialize;

/// 64 to 127 are for formats of users.
const LINES: FormatId = FormatId::user(65).expect("65 is one of them");

#[derive(Debug)]
struct JsonLines;

/// What JSON has not is refused before it is sent, where serde_json would write `null`.
impl Rules for JsonLines {
    const NAME: &'static str = "JSON lines";
    const NON_FINITE: bool = false;
    const BYTES: bool = false;
}

impl Codec for JsonLines {
    fn id(&self) -> FormatId {
        LINES
    }

    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        GuardedArgs::<Self, A>::new(args).visit(&mut Lines(out))
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Lines(out).positional(&Guarded::<Self, T>::new(value))
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        for (index, line) in text(body)?.lines().enumerate() {
            let name = line.split_once('=').filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
            match name {
                Some((name, json)) => sink.keyword(name, &mut serde_json::Deserializer::from_str(json)),
                None => sink.positional(index, &mut serde_json::Deserializer::from_str(line)),
            }
            .map_err(unreadable)?;
        }
        Ok(())
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        sink.result(&mut serde_json::Deserializer::from_str(text(body)?)).map_err(unreadable)
    }
}

struct Lines<'a, 'b>(&'a mut Output<'b>);

impl ArgsVisitor for Lines<'_, '_> {
    type Error = SerdeError;

    fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
        serde_json::to_writer(self.0.writer(), value).map_err(|error| SerdeError::encode(LINES, error))?;
        self.0.buffer().extend_from_slice(b"\n");
        Ok(())
    }

    fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), SerdeError> {
        self.0.buffer().extend_from_slice(format!("{name}=").as_bytes());
        self.positional(value)
    }
}

fn text(body: &Body) -> Result<&str, SerdeError> {
    std::str::from_utf8(&body.bytes).map_err(|error| SerdeError::decode(LINES, error))
}

fn unreadable(error: serde_json::Error) -> SerdeError {
    SerdeError::decode(LINES, error)
}

#[callback]
fn greet(name: String, greeting: String) -> String {
    format!("{greeting}, {name}!")
}

#[callback]
fn half(number: f64) -> f64 {
    number / 2.0
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let service = Service::builder("greeter")
        .format(JsonLines)
        .callbacks(callbacks![greet, half])
        .bind("tcp://127.0.0.1:0")
        .await?;
    let client = Client::builder("guest").format(JsonLines).connect(service.endpoints()[0].as_str()).await?;
    let rpc = client.rpc().serde(LINES);

    let greeting: String = rpc.call("greet", args!["a=b", greeting = "Good morning"]).await?;
    println!("greet: {greeting}");
    if let Err(error) = rpc.call::<f64>("half", (f64::NAN,)).await {
        println!("{error}");
    }
    if let Err(error) = rpc.call::<f64>("half", ("one",)).await {
        println!("{error}");
    }
    Ok(())
}

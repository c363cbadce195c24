//! A format of its own: CBOR, by the crate `ciborium`.

use daffi::{
    ValueLimits,
    format::{
        Args, ArgsSink, Body, Codec, Keywords, Output, Positional, ResultSink, SerdeError,
        guard::{Guarded, GuardedArgs, Rules, Watch},
        value::ValueDeserializer,
    },
    prelude::*,
};
use serde::{Deserialize, Deserializer, Serialize, de::value::Error};

/// 64 to 127 are for formats of users.
const CBOR: FormatId = FormatId::user(64).expect("64 is one of them");

#[derive(Debug)]
struct Cbor;

impl Rules for Cbor {
    const NAME: &'static str = "CBOR";
}

impl Codec for Cbor {
    fn id(&self) -> FormatId {
        CBOR
    }

    // The guards around what is written refuse what the format would change silently.
    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        let args = GuardedArgs::<Self, A>::new(args);
        write(&(Positional(&args), Keywords(&args)), out)
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        write(&Guarded::<Self, T>::new(value), out)
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let (positional, keywords): (Vec<Value>, Value) = read(body)?;
        // Of bytes a type may make a list, which is counted here.
        let watch = Watch::new(LIMITS, body.bytes.len());
        for (index, value) in positional.into_iter().enumerate() {
            sink.positional(index, watch.guard::<Self, _>(ValueDeserializer::new(value))).map_err(unreadable)?;
        }
        // A name that is there twice is the caller's mistake: a `BTreeMap` would lose it.
        for (name, value) in keywords.as_map().ok_or_else(|| no_arguments(&keywords))? {
            let name = name.as_str().ok_or_else(|| no_arguments(name))?;
            sink.keyword(name, watch.guard::<Self, _>(ValueDeserializer::new(value.clone()))).map_err(unreadable)?;
        }
        Ok(())
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let watch = Watch::new(LIMITS, body.bytes.len());
        sink.result(watch.guard::<Self, _>(ValueDeserializer::new(read(body)?))).map_err(unreadable)
    }
}

fn write<T: Serialize>(value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
    ciborium::into_writer(value, out.writer()).map_err(|error| SerdeError::encode(CBOR, error))
}

fn unreadable(error: Error) -> SerdeError {
    SerdeError::decode(CBOR, error)
}

fn no_arguments(found: &Value) -> SerdeError {
    SerdeError::decode(CBOR, format_args!("keyword arguments are a map with names, this is {}", found.kind()))
}

/// What a payload may make us hold.
const LIMITS: ValueLimits = ValueLimits::DEFAULT.max_depth(64).max_values(1 << 20);

/// Something that is read under a guard, which counts depth and values, and by which lengths that
/// are announced reserve no more than a payload may have.
struct Watched<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Watched<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A guard is told the length of the payload, which may not announce more elements than it
        // has bytes. A `Deserialize` does not know that, so here it is the most that there may be.
        // The two levels around the user's values are ours.
        let watch = Watch::new(LIMITS, LIMITS.max_values).with_envelope(2);
        T::deserialize(watch.guard::<Cbor, D>(deserializer)).map(Self)
    }
}

/// Reads values first, since ciborium has no deserializer to hand on to a sink.
fn read<T: for<'de> Deserialize<'de>>(body: &Body) -> Result<T, SerdeError> {
    let mut rest = &body.bytes[..];
    let Watched(value) = ciborium::from_reader(&mut rest).map_err(|error| match error {
        ciborium::de::Error::Semantic(_, reason) => SerdeError::decode(CBOR, reason),
        other => SerdeError::decode(CBOR, other),
    })?;
    if rest.is_empty() { Ok(value) } else { Err(SerdeError::decode(CBOR, "bytes after the end")) }
}

#[callback]
fn echo(value: Value) -> Value {
    value
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let service =
        Service::builder("echo-service").format(Cbor).callbacks(callbacks![echo]).bind("tcp://127.0.0.1:0").await?;
    let client = Client::builder("echo-client").format(Cbor).connect(service.endpoints()[0].as_str()).await?;
    let rpc = client.rpc().serde(CBOR);

    let value: Value =
        rpc.call("echo", (Value::from([Value::from("text"), 1.into(), 2.5.into(), true.into()]),)).await?;
    println!("echo: {value}");

    let numbers: Vec<i64> = (0..10_000).collect();
    println!("10000 numbers come back: {}", rpc.call::<Vec<i64>>("echo", (&numbers,)).await? == numbers);

    // What a stranger sends may be nested as deep as it likes.
    let deep = (0..1000).fold(Value::Null, |inner, _| Value::List(vec![inner].into()));
    if let Err(error) = rpc.call::<Value>("echo", (deep,)).await {
        println!("{error}");
    }
    Ok(())
}

//! Clients of this project.

use std::{collections::BTreeMap, io, time::Duration};

use daffi::{CallError, Client, Disconnected, DynArgs, FormatId, RoundRobin, Rpc, Value};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    stream,
};
use serde_json::{Value as Json, json};
use tokio::{io::DuplexStream, net::TcpListener, sync::mpsc};

use super::{Over, PipeConnector, callbacks, callbacks::configure, callbacks::late, pipe};
use crate::{Action, Node, NodeSpec, Outcome, Started, Stream, from_form, to_form};

/// Where the client's connections arrive.
enum Porch {
    Pipe(mpsc::Receiver<DuplexStream>),
    Tcp(TcpListener),
}

/// Starts a [`Client`] after its description.
#[must_use]
pub fn client(spec: &NodeSpec, over: Over) -> Started {
    let spec = spec.clone();
    Box::pin(async move {
        let builder = Client::builder(&spec.name)
            .callbacks(callbacks(&spec.exposes)?)
            .workers(spec.workers)
            .picker(RoundRobin::from_first())
            .configure(configure);
        // It connects on a task of its own: the replay answers it.
        let (connecting, porch) = match over {
            Over::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let endpoint = format!("tcp://{}", listener.local_addr()?);
                (tokio::spawn(async move { builder.connect(&endpoint).await }), Porch::Tcp(listener))
            }
            Over::Memory => {
                let (outgoing, arriving) = pipe();
                let connector = Box::new(PipeConnector::new(outgoing));
                (tokio::spawn(builder.connect_with(connector)), Porch::Pipe(arriving))
            }
        };
        let client = async move {
            match connecting.await {
                Ok(Ok(client)) => Ok(client),
                Ok(Err(daffi::InitializationError::Handshake { source: Disconnected::Refused(_), .. })) => {
                    Err("refused".to_owned())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        Ok(Box::new(ClientNode { client: client.boxed().shared(), porch }) as Box<dyn Node>)
    })
}

struct ClientNode {
    client: Shared<BoxFuture<'static, Result<Client, String>>>,
    porch: Porch,
}

impl Node for ClientNode {
    fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async {
            Ok(match &mut self.porch {
                Porch::Tcp(listener) => Box::new(listener.accept().await?.0) as Stream,
                Porch::Pipe(arriving) => Box::new(arriving.recv().await.ok_or(io::ErrorKind::NotConnected)?),
            })
        })
    }

    fn act(&mut self, action: &Action) -> BoxFuture<'static, Outcome> {
        let (client, action) = (self.client.clone(), action.clone());
        Box::pin(async move {
            match client.await {
                Ok(client) => act(&client, &action).await,
                Err(error) => Outcome::Failed(error),
            }
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        // Dropping the last handle ends it at once.
        drop(self);
        Box::pin(std::future::ready(()))
    }
}

async fn act(client: &Client, action: &Action) -> Outcome {
    let done = match action.verb.as_str() {
        "connect" => Ok(Ok(Json::Null)),
        "stop" => {
            client.stop().await;
            Ok(Ok(Json::Null))
        }
        "late" => {
            client.add_callbacks(late(&action.method)).map(|()| Ok(Json::Null)).map_err(|error| error.to_string())
        }
        "wait" => Ok(client.wait_for_members(&[&action.method], None).await.map(|()| Json::Null)),
        _ => call_for(client, action).await,
    };
    match done {
        Ok(Ok(value)) => Outcome::Value(value),
        Ok(Err(error)) => outcome(&error),
        Err(error) => Outcome::Failed(error),
    }
}

/// Calls, and gives the call up after `give_up_after` seconds if the action says that.
async fn call_for(client: &Client, action: &Action) -> Result<Result<Json, CallError>, String> {
    let calling = call(client, action);
    let Some(after) = action.options.get("give_up_after").and_then(Json::as_f64) else { return calling.await };
    tokio::time::timeout(Duration::from_secs_f64(after), calling).await.unwrap_or_else(|_| Err("given up".to_owned()))
}

/// The outer error: the action cannot be read.
async fn call(client: &Client, action: &Action) -> Result<Result<Json, CallError>, String> {
    let format = match action.options.get("serde").and_then(Json::as_str) {
        None => None,
        Some("OPAQUE") => Some(FormatId::OPAQUE),
        Some("JSON") => Some(FormatId::JSON),
        Some("PICKLE") => Some(FormatId::PICKLE),
        Some("MSGPACK") => Some(FormatId::MSGPACK),
        Some(other) => return Err(format!("unknown format {other}")),
    };
    let timeout = action.options.get("timeout").and_then(Json::as_f64).map(Duration::from_secs_f64);
    let receiver = action.options.get("receiver");
    let Value::List(positional) = from_form(&action.args)? else { return Err("arguments are a list".into()) };
    let mut args = DynArgs { positional: positional.into(), keywords: Vec::new() };
    for (name, value) in action.kwargs.as_object().into_iter().flatten() {
        args.keywords.push((name.clone(), from_form(value)?));
    }
    let method = action.method.as_str();
    macro_rules! timed {
        ($builder:expr) => {
            match timeout {
                Some(timeout) => $builder.timeout(timeout),
                None => $builder,
            }
        };
    }
    macro_rules! styled {
        ($builder:expr, one) => {
            match receiver.and_then(Json::as_str) {
                Some(receiver) => styled!($builder.receiver(receiver)),
                None => styled!($builder),
            }
        };
        ($builder:expr, many) => {{
            let names = receiver
                .and_then(Json::as_array)
                .map(|names| names.iter().filter_map(Json::as_str).map(str::to_owned).collect::<Vec<_>>());
            match names {
                Some(names) => styled!($builder.receivers(names)),
                None => styled!($builder),
            }
        }};
        ($builder:expr) => {{
            let mut builder = $builder;
            if let Some(format) = format {
                builder = builder.serde(format);
            }
            builder
        }};
    }
    Ok(match action.verb.as_str() {
        "rpc" => {
            let rpc = with_headers(timed!(styled!(client.rpc(), one)), action);
            rpc.call::<Value>(method, args).await.map(|value| to_form(&value))
        }
        "results" | "send" | "duplex" => {
            let rpc = with_headers(timed!(styled!(client.rpc(), one)), action);
            return one_by_one(&rpc, action, args).await;
        }
        "rpc_nowait" => styled!(client.rpc_nowait(), one).call(method, args).await.map(|()| Json::Null),
        "cast" => {
            let answers: Result<BTreeMap<String, Result<Value, CallError>>, _> =
                timed!(styled!(client.cast(), many)).call(method, args).await;
            answers.map(|answers| answers.into_iter().map(|(name, answer)| (name, member(answer))).collect())
        }
        "cast_nowait" => styled!(client.cast_nowait(), many).call(method, args).await.map(|()| Json::Null),
        "stream" => {
            let sent = timed!(styled!(client.stream(), one)).send(method, stream::iter(args.positional)).await;
            sent.map(|_| Json::Null).map_err(|error| *error.source)
        }
        "stream_nowait" => {
            let sent = styled!(client.stream_nowait(), one).send(method, stream::iter(args.positional)).await;
            sent.map(|_| Json::Null).map_err(|error| *error.source)
        }
        verb => return Err(format!("a client cannot {verb}")),
    })
}

fn with_headers(rpc: Rpc, action: &Action) -> Rpc {
    let headers = action.options.get("headers").and_then(Json::as_object);
    headers.into_iter().flatten().fold(rpc, |rpc, (key, value)| rpc.header(key, value.as_str().unwrap_or_default()))
}

/// Takes results one by one, sends `items` one by one, or both. `take`: so many results, after
/// which it wants no more.
async fn one_by_one(rpc: &Rpc, action: &Action, args: DynArgs) -> Result<Result<Json, CallError>, String> {
    let items = match action.options.get("items").map(from_form).transpose()? {
        Some(Value::List(items)) => items.into_vec(),
        _ => Vec::new(),
    };
    let take = action.options.get("take").and_then(Json::as_u64).and_then(|most| usize::try_from(most).ok());
    let method = action.method.as_str();
    let results = match action.verb.as_str() {
        "send" => return Ok(rpc.send::<Value>(method, args, stream::iter(items)).await.map(|value| to_form(&value))),
        "results" => rpc.results::<Value>(method, args).await,
        _ => match rpc.duplex::<Value, Value>(method, args).await {
            Ok((mut say, heard)) => {
                for item in items {
                    if let Err(error) = say.send(item).await {
                        return Ok(Err(error));
                    }
                }
                say.finish();
                Ok(heard)
            }
            Err(error) => Err(error),
        },
    };
    let results = match results {
        Ok(results) => results,
        Err(error) => return Ok(Err(error)),
    };
    let all: Result<Vec<_>, _> = results.take(take.unwrap_or(usize::MAX)).try_collect().await;
    Ok(all.map(|all| all.iter().map(to_form).collect()))
}

/// What a member answered to a cast.
fn member(answer: Result<Value, CallError>) -> Json {
    match answer.map_err(|error| outcome(&error)) {
        Ok(value) => to_form(&value),
        Err(Outcome::Remote(class, text)) => json!({"$error": [class, text]}),
        Err(Outcome::Failed(how)) => json!({"$error": how}),
        Err(Outcome::Value(value)) => value,
    }
}

fn outcome(error: &CallError) -> Outcome {
    let how = match error {
        CallError::Remote { error, .. } => return Outcome::Remote(error.class.clone(), error.message.clone()),
        CallError::Timeout { .. } => "timeout",
        CallError::ReceiverNotFound { .. } => "no receiver",
        CallError::ReceiverGone { .. } => "receiver gone",
        CallError::Disconnected(_) => "disconnected",
        CallError::Evicted => "evicted",
        CallError::Stopped => "stopped",
        CallError::Encode { .. } => "arguments",
        CallError::Decode { .. } => "result",
        CallError::TransmissionFailure { .. } => "does not fit",
        other => return Outcome::Failed(other.to_string()),
    };
    Outcome::Failed(how.into())
}

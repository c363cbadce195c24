use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Args, FormatSet, Output};
use daffi_wire::{FormatId, NodeName};
use futures::future::join_all;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{
    CallOptions,
    engine::{Progress, Written, choose, format_for, read, receive, send, send_nowait, write_request},
    setters,
};
use crate::{
    client::{Client, ClientConn},
    deadline::later,
    error::CallError,
};

/// One call to several members: [`Client::cast`].
#[derive(Clone, Debug)]
pub struct Cast<F> {
    client: Client<F>,
    options: CallOptions,
    receivers: Option<Vec<String>>,
}

/// One call to several members, no answers: [`Client::cast_nowait`].
#[derive(Clone, Debug)]
pub struct CastNowait<F> {
    client: Client<F>,
    options: CallOptions,
    receivers: Option<Vec<String>>,
}

/// A request for one member, or why there is none.
type Prepared = Vec<(String, Result<(NodeName, Written), CallError>)>;

impl<F: FormatSet> Cast<F> {
    pub(crate) const fn new(client: Client<F>, options: CallOptions) -> Self {
        Self { client, options, receivers: None }
    }

    setters!(receivers serde timeout wait_for_connection);

    /// Calls `method` on each member and gives the result or the error of each, by name.
    ///
    /// The timeout holds for each member: one that is late costs nobody else's answer. Dropping the future gives all
    /// calls up locally.
    ///
    /// # Errors
    /// [`CallError`] when nothing could be sent at all: no connection, nobody who exposes the callback, arguments that
    /// can't be written.
    pub async fn call<R: DeserializeOwned + 'static>(
        &self,
        method: &str,
        args: impl Args + Send,
    ) -> Result<BTreeMap<String, Result<R, CallError>>, CallError> {
        let deadline = self.options.timeout.map(|after| (after, later(after)));
        let conn = connection(&self.client, &self.options, deadline, method).await?;
        let prepared = prepare(&self.client, &conn, &self.options, self.receivers.as_deref(), method, &args, true)?;
        drop(args);
        let calls = prepared.into_iter().map(|(name, prepared)| {
            let conn = &conn;
            async move {
                let answer = async {
                    let (receiver, written) = prepared?;
                    let mut progress = Progress::default();
                    progress.reached(conn, &receiver);
                    let sending = send(Arc::clone(conn), receiver, written, Some(&mut progress));
                    let call = async { receive(&mut sending.await?, method).await };
                    match deadline {
                        None => call.await,
                        Some((after, at)) => match timeout_at(at, call).await {
                            Ok(ended) => ended,
                            Err(_) => Err(progress.expired(method, after)),
                        },
                    }
                };
                let result = answer.await.and_then(|received| read(&self.client.formats, received, method));
                (name, result)
            }
        });
        Ok(join_all(calls).await.into_iter().collect())
    }
}

impl<F: FormatSet> CastNowait<F> {
    pub(crate) const fn new(client: Client<F>, options: CallOptions) -> Self {
        Self { client, options, receivers: None }
    }

    setters!(receivers serde timeout wait_for_connection);

    /// Calls `method` on each member; returns once all requests are queued. Nothing tells whether they arrived, or ran.
    ///
    /// Dropping the future may leave some members called and others not.
    ///
    /// # Errors
    /// The first error; members that could be called were called.
    pub async fn call(&self, method: &str, args: impl Args + Send) -> Result<(), CallError> {
        let deadline = self.options.timeout.map(|after| (after, later(after)));
        let conn = connection(&self.client, &self.options, deadline, method).await?;
        let prepared = prepare(&self.client, &conn, &self.options, self.receivers.as_deref(), method, &args, false)?;
        drop(args);
        // All at once: a receiver that takes no more for now holds back nobody else's request.
        let sends = prepared.into_iter().map(|(_, prepared)| {
            let conn = &conn;
            async move {
                let (receiver, written) = prepared?;
                let sending = send_nowait(conn, &receiver, written, method);
                let Some((after, at)) = deadline else { return sending.await };
                match timeout_at(at, sending).await {
                    Ok(sent) => sent,
                    Err(_) => {
                        let mut progress = Progress::default();
                        progress.reached(conn, &receiver);
                        Err(progress.expired(method, after))
                    }
                }
            }
        });
        join_all(sends).await.into_iter().collect()
    }
}

async fn connection<F: FormatSet>(
    client: &Client<F>,
    options: &CallOptions,
    deadline: Option<(Duration, Instant)>,
    method: &str,
) -> Result<Arc<ClientConn>, CallError> {
    let connection = client.shared().connection(options.wait_for_connection);
    match deadline {
        None => connection.await,
        Some((after, at)) => match timeout_at(at, connection).await {
            Ok(connection) => connection,
            Err(_) => Err(Progress::default().expired(method, after)),
        },
    }
}

/// Writes the request of each member: the arguments once per format, not per member.
fn prepare<F: FormatSet, A: Args>(
    client: &Client<F>,
    conn: &ClientConn,
    options: &CallOptions,
    receivers: Option<&[String]>,
    method: &str,
    args: &A,
    wants_reply: bool,
) -> Result<Prepared, CallError> {
    let shared = client.shared();
    let members = conn.members();
    let names: Vec<String> = match receivers {
        Some(names) => names.to_vec(),
        None => members.exposing(method).map(|all| all.iter().map(ToString::to_string).collect()).unwrap_or_default(),
    };
    if names.is_empty() {
        return Err(CallError::ReceiverNotFound { method: method.to_owned(), receiver: None });
    }
    let mut payloads: HashMap<FormatId, (Bytes, bool)> = HashMap::new();
    let mut prepared = Vec::with_capacity(names.len());
    for name in names {
        let one = choose(shared, &members, method, Some(&name), None).and_then(|receiver| {
            let format = format_for(&client.formats, &members, receiver, options.serde)?;
            Ok((receiver.clone(), format))
        });
        let one = match one {
            Ok((receiver, format)) => {
                let (payload, text) = match payloads.get(&format) {
                    Some(known) => known.clone(),
                    None => {
                        let written = encode(&client.formats, format, args)
                            .map_err(|source| CallError::Encode { method: method.to_owned(), source })?;
                        payloads.entry(format).or_insert(written).clone()
                    }
                };
                let written = write_request(shared, &receiver, method, format, wants_reply, |out| {
                    if text {
                        out.mark_text();
                    }
                    out.share(payload);
                    Ok(())
                })?;
                Ok((receiver, written))
            }
            Err(error) => Err(error),
        };
        prepared.push((name, one));
    }
    Ok(prepared)
}

fn encode<F: FormatSet, A: Args>(
    formats: &F,
    format: FormatId,
    args: &A,
) -> Result<(Bytes, bool), daffi_serde::SerdeError> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    formats.encode_args(format, args, &mut out)?;
    let (shared, text) = (out.take_shared(), out.is_text());
    Ok((shared.unwrap_or_else(|| buffer.freeze()), text))
}

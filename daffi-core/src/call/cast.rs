use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use daffi_serde::{Args, FormatSet, Returned};
use daffi_transport::BoxFuture;
use daffi_wire::{FormatId, NodeName};
use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{
    CallOptions, Rpc,
    cast_results::{CastResults, MemberResults},
    engine::{read, receive, send, send_nowait},
    progress::Progress,
    request::{Payloads, WrittenRequest, choose, format_for, write_payload},
    setters,
    span::{note_answers, note_end},
    written_extensions::WrittenExtensions,
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

/// A call to several members, none of which answers: [`Client::cast_nowait`].
#[derive(Clone, Debug)]
pub struct CastNowait<F> {
    client: Client<F>,
    options: CallOptions,
    receivers: Option<Vec<String>>,
}

/// What each member answered to a cast, its result or its error, by the member's name.
pub type Answers<R> = BTreeMap<String, Result<R, CallError>>;

/// A request for one member, or why there is none.
type Requests = Vec<(String, Result<(NodeName, WrittenRequest), CallError>)>;

impl<F: FormatSet> Cast<F> {
    pub(crate) const fn new(client: Client<F>, options: CallOptions) -> Self {
        Self { client, options, receivers: None }
    }

    setters!(receivers serde header timeout wait_for_connection);

    /// Calls `method` on each member and gives the result or the error of each, by name; `()` takes
    /// any result.
    ///
    #[doc = words!(cast)]
    pub fn call<'m, R: Returned + Send>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<Answers<R>, CallError>> {
        let mut cast = self.clone();
        let (span, options) = self.client.begin(method, &self.options);
        cast.options = options.into_owned();
        let payloads = payloads(&self.client, &self.options, method, &args);
        Box::pin(async move {
            let answers = cast.client.unless_given_up(method, cast.send(method, &payloads)).await;
            note_answers(span, method, &answers);
            answers
        })
    }

    /// Calls `method` on each member and gives what all give, one by one, each result with the name
    /// of the member. One that returns a plain value, as one of daffi 3.0.1 does, gives that alone.
    ///
    #[doc = words!(cast_results)]
    pub async fn results<R: Returned>(&self, method: &str, args: impl Args) -> Result<CastResults<R, F>, CallError> {
        let client = &self.client;
        let deadline = self.options.timeout.map(|after| (after, later(after)));
        let payloads = Arc::new(payloads(client, &self.options, method, &args));
        let conn = connection(client, &self.options, deadline, method).await?;
        let names = names(&conn, self.receivers.as_deref(), method)?;
        let mut members: Vec<_> = names.iter().map(|name| self.member(method, name, &payloads)).collect();
        // All are asked now, and who takes no more for the moment holds nobody else up.
        poll_fn(|cx| {
            members.iter_mut().for_each(|member| _ = member.poll_open(cx));
            Poll::Ready(())
        })
        .await;
        Ok(CastResults::new(members))
    }

    /// The call of one member, to be sent.
    fn member<R: Returned>(&self, method: &str, name: &str, payloads: &Arc<Payloads>) -> MemberResults<R, F> {
        let options = CallOptions { receiver: Some(name.to_owned()), ..self.options.clone() };
        let rpc = Rpc::new(self.client.clone(), options);
        let (method, payloads) = (method.to_owned(), Arc::clone(payloads));
        MemberResults::new(name, async move { rpc.results_of(&method, &payloads).await })
    }

    async fn send<R: Returned + Send>(&self, method: &str, payloads: &Payloads) -> Result<Answers<R>, CallError> {
        let deadline = self.options.timeout.map(|after| (after, later(after)));
        let conn = connection(&self.client, &self.options, deadline, method).await?;
        let receivers = self.receivers.as_deref();
        let requests = address(&self.client, &conn, &self.options, receivers, method, payloads, true)?;
        let calls = requests.into_iter().map(|(name, request)| {
            let conn = &conn;
            async move {
                let answer = async {
                    let (receiver, written) = request?;
                    let mut progress = Progress::default();
                    progress.set_target(conn, &receiver);
                    let until = deadline.map(|(_, at)| at);
                    let sending = send(Arc::clone(conn), receiver, written, until, &mut progress);
                    let call = async { receive(&mut sending.await?, method, self.options.timeout).await };
                    match deadline {
                        None => call.await,
                        Some((after, at)) => match timeout_at(at, call).await {
                            Ok(ended) => ended,
                            Err(_) => Err(progress.expired(method, after)),
                        },
                    }
                };
                let result = answer.await.and_then(|received| read(self.client.formats(), received, method));
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

    setters!(receivers serde header timeout wait_for_connection);

    /// Calls `method` on each member; returns once all requests are queued. Nothing tells whether
    /// they arrived, or ran.
    ///
    #[doc = words!(cast_nowait)]
    pub fn call<'m>(&self, method: &'m str, args: impl Args) -> BoxFuture<'m, Result<(), CallError>> {
        let mut cast = self.clone();
        let (span, options) = self.client.begin(method, &self.options);
        cast.options = options.into_owned();
        let payloads = payloads(&self.client, &self.options, method, &args);
        Box::pin(async move {
            let queued = cast.client.unless_given_up(method, cast.send(method, &payloads)).await;
            note_end(span, method, &queued);
            queued
        })
    }

    async fn send(&self, method: &str, payloads: &Payloads) -> Result<(), CallError> {
        let deadline = self.options.timeout.map(|after| (after, later(after)));
        let conn = connection(&self.client, &self.options, deadline, method).await?;
        let receivers = self.receivers.as_deref();
        let requests = address(&self.client, &conn, &self.options, receivers, method, payloads, false)?;
        // All at once: a receiver that takes no more for now holds back nobody else's request.
        let sends = requests.into_iter().map(|(_, request)| {
            let conn = &conn;
            async move {
                let (receiver, written) = request?;
                let sending = send_nowait(conn, &receiver, written, method);
                let Some((after, at)) = deadline else { return sending.await };
                match timeout_at(at, sending).await {
                    Ok(sent) => sent,
                    Err(_) => {
                        let mut progress = Progress::default();
                        progress.set_target(conn, &receiver);
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

/// The arguments in the formats that the members take, once per format and not per member.
fn payloads<F: FormatSet>(client: &Client<F>, options: &CallOptions, method: &str, args: &impl Args) -> Payloads {
    let current = client.shared().current();
    let levels = current.as_ref().map(|current| {
        let exposing = current.members.receivers_of(method).map(|all| &all[..]).unwrap_or_default();
        exposing.iter().map(|member| current.members.level(member)).collect()
    });
    client.payloads(args, options, levels)
}

/// Who is asked.
fn names(conn: &ClientConn, receivers: Option<&[String]>, method: &str) -> Result<Vec<String>, CallError> {
    let mut named = BTreeSet::new();
    let names: Vec<String> = match receivers {
        Some([]) => return Err(CallError::NoReceivers { method: method.to_owned() }),
        // In the order in which they were named, each once.
        Some(names) => names.iter().filter(|name| named.insert(*name)).cloned().collect(),
        None => {
            let exposing = conn.members().receivers_of(method).cloned();
            exposing.map(|all| all.iter().map(ToString::to_string).collect()).unwrap_or_default()
        }
    };
    if names.is_empty() {
        return Err(CallError::ReceiverNotFound { method: method.to_owned(), receiver: None });
    }
    Ok(names)
}

/// The request of each member.
fn address<F: FormatSet>(
    client: &Client<F>,
    conn: &ClientConn,
    options: &CallOptions,
    receivers: Option<&[String]>,
    method: &str,
    payloads: &Payloads,
    wants_reply: bool,
) -> Result<Requests, CallError> {
    let shared = client.shared();
    let members = conn.members();
    let names = names(conn, receivers, method)?;
    let extensions = WrittenExtensions::of(options, method, wants_reply)?;
    let mut requests = Vec::with_capacity(names.len());
    for name in names {
        let chosen = choose(shared, &members, method, Some(&name), None).and_then(|receiver| {
            let format = format_for(client.formats(), &members, &receiver, options.serde)?;
            Ok((receiver, format))
        });
        let request = match chosen {
            Ok((receiver, format)) => {
                let to = (&receiver, members.level(&receiver));
                let written = write_payload(shared, to, method, &extensions, payloads.get(format), wants_reply)?;
                Ok((receiver, written))
            }
            Err(error) => Err(error),
        };
        requests.push((name, request));
    }
    Ok(requests)
}

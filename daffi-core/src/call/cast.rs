use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
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
    Rpc,
    cast_results::{CastResults, MemberResults},
    engine::{Received, read, receive, send, send_nowait},
    pending_reply::PendingReply,
    progress::Progress,
    request::{Addressee, Payloads, WrittenRequest, choose, format_for, write_payload},
    setters,
    written_extensions::WrittenExtensions,
};
use crate::{
    client::{CallOptions, Client, ClientConn},
    deadline::{OnRuntime, later},
    error::{CallError, WaitedFor},
    session::Members,
};

/// One call to several members: [`Client::cast`].
#[derive(Clone, Debug)]
pub struct Cast<F> {
    client: Client<F>,
    options: Arc<CallOptions>,
    receivers: Option<Vec<String>>,
}

/// A call to several members, none of which answers: [`Client::cast_nowait`].
#[derive(Clone, Debug)]
pub struct CastNowait<F> {
    client: Client<F>,
    options: Arc<CallOptions>,
    receivers: Option<Vec<String>>,
}

/// What each member answered to a cast, its result or its error, by the member's name.
pub type Answers<R> = BTreeMap<String, Result<R, CallError>>;

/// A request for one member, or why there is none.
type MemberRequest = Result<(NodeName, WrittenRequest), CallError>;

/// What each member is asked, by its name.
type MemberRequests = Vec<(String, MemberRequest)>;

impl<F: FormatSet> Cast<F> {
    pub(crate) const fn new(client: Client<F>, options: Arc<CallOptions>) -> Self {
        Self { client, options, receivers: None }
    }

    setters!(receivers serde header timeout wait_for_connection wait_for_each);

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
        cast.options = options;
        let payloads = payloads(&self.client, &self.options, method, &args);
        Box::pin(OnRuntime::new(self.client.runtime(), async move {
            let answers = cast.client.unless_given_up(method, cast.send(method, &payloads)).await;
            cast.client.end_cast(span, method, &answers);
            answers
        }))
    }

    /// Calls `method` on each member and gives what all give, one by one, each result with the name
    /// of the member. One that returns a plain value, as one of daffi 3.0.1 does, gives that alone.
    ///
    #[doc = words!(cast_results)]
    pub fn results<'m, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<CastResults<R, F>, CallError>> {
        let (cast, payloads) = (self.clone(), payloads(&self.client, &self.options, method, &args));
        Box::pin(async move { cast.results_of(method, Arc::new(payloads)).await })
    }

    async fn results_of<R: Returned>(
        &self,
        method: &str,
        payloads: Arc<Payloads>,
    ) -> Result<CastResults<R, F>, CallError> {
        let client = &self.client;
        let options = client.inherit(&self.options);
        let cast = Casting::new(client, &options, self.receivers.as_deref(), method, &payloads, true);
        let found = OnRuntime::new(client.runtime(), client.unless_given_up(method, cast.members())).await;
        if found.is_err() {
            // There is no call of a member to tell of it.
            client.end_call(None, method, &found);
        }
        let (_, names) = found?;
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
        let wait_for_receiver = self.options.wait_for_receiver && self.receivers.is_some();
        let options =
            CallOptions { receiver: Some(name.to_owned()), wait_for_receiver, ..CallOptions::clone(&self.options) };
        let rpc = Rpc::new(self.client.clone(), Arc::new(options));
        let (method, payloads) = (method.to_owned(), Arc::clone(payloads));
        MemberResults::new(name, async move { rpc.results_of(&method, &payloads).await })
    }

    async fn send<R: Returned + Send>(&self, method: &str, payloads: &Payloads) -> Result<Answers<R>, CallError> {
        let cast = Casting::new(&self.client, &self.options, self.receivers.as_deref(), method, payloads, true);
        let (conn, requests) = cast.requests().await?;
        let calls = requests.into_iter().map(|(name, request)| {
            let (cast, conn) = (&cast, &conn);
            async move {
                let received = cast.answer(conn, &name, request).await;
                let result = received.and_then(|received| read(self.client.formats(), received, method));
                (name, result)
            }
        });
        Ok(join_all(calls).await.into_iter().collect())
    }
}

impl<F: FormatSet> CastNowait<F> {
    pub(crate) const fn new(client: Client<F>, options: Arc<CallOptions>) -> Self {
        Self { client, options, receivers: None }
    }

    setters!(receivers serde header timeout wait_for_connection wait_for_each);

    /// Calls `method` on each member; returns once all requests are queued. Nothing tells whether
    /// they arrived, or ran.
    ///
    #[doc = words!(cast_nowait)]
    pub fn call<'m>(&self, method: &'m str, args: impl Args) -> BoxFuture<'m, Result<(), CallError>> {
        let mut cast = self.clone();
        let (span, options) = self.client.begin(method, &self.options);
        cast.options = options;
        let payloads = payloads(&self.client, &self.options, method, &args);
        Box::pin(OnRuntime::new(self.client.runtime(), async move {
            let queued = cast.client.unless_given_up(method, cast.send(method, &payloads)).await;
            cast.client.end_queued(span, method, queued)
        }))
    }

    /// What became of the request of each member.
    async fn send(&self, method: &str, payloads: &Payloads) -> Result<Vec<Result<(), CallError>>, CallError> {
        let cast = Casting::new(&self.client, &self.options, self.receivers.as_deref(), method, payloads, false);
        let (conn, requests) = cast.requests().await?;
        // All at once: a receiver that takes no more for now holds back nobody else's request.
        let sends = requests.into_iter().map(|(name, request)| {
            let (cast, conn) = (&cast, &conn);
            async move { cast.queue(conn, &name, request).await }
        });
        Ok(join_all(sends).await)
    }
}

/// One cast: what it asks, of whom, and until when.
struct Casting<'a, F> {
    client: &'a Client<F>,
    options: &'a CallOptions,
    receivers: Option<&'a [String]>,
    method: &'a str,
    payloads: &'a Payloads,
    wants_reply: bool,
    deadline: Option<(Duration, Instant)>,
}

impl<'a, F: FormatSet> Casting<'a, F> {
    /// It begins now: its time runs.
    fn new(
        client: &'a Client<F>,
        options: &'a CallOptions,
        receivers: Option<&'a [String]>,
        method: &'a str,
        payloads: &'a Payloads,
        wants_reply: bool,
    ) -> Self {
        let deadline = options.timeout.map(|after| (after, later(after)));
        Self { client, options, receivers, method, payloads, wants_reply, deadline }
    }

    /// Who is asked, and over which connection. Waits, as the options say, for a connection, and if
    /// nobody was named for the first who exposes the callback.
    async fn members(&self) -> Result<(Arc<ClientConn>, Vec<String>), CallError> {
        let Self { client, options, method, .. } = *self;
        let mut progress = Progress::default();
        let found = client.until_found(method, options, &mut progress, |_, members| {
            // Before the server has told who exposes the callback, nobody seems to.
            if client.shared().find_unwatched(members, method).is_some() {
                return Err(CallError::ReceiverNotFound { method: method.to_owned(), receiver: None });
            }
            names(members, self.receivers, method)
        });
        self.in_time(found).await.unwrap_or_else(|after| Err(progress.timeout_error(method, after)))
    }

    /// The request of each member that is asked.
    async fn requests(&self) -> Result<(Arc<ClientConn>, MemberRequests), CallError> {
        let Self { client, options, method, wants_reply, .. } = *self;
        let (conn, names) = self.members().await?;
        let (shared, members) = (client.shared(), conn.members());
        let extensions = WrittenExtensions::of(options, method, wants_reply, false)?;
        let mut requests = Vec::with_capacity(names.len());
        for name in names {
            let chosen = choose(shared, &members, method, Some(&name), None).and_then(|receiver| {
                let format = format_for(client.formats(), &receiver, options.serde)?;
                Ok((receiver, format))
            });
            let request = match chosen {
                Ok((Addressee { name, level }, format)) => {
                    let (to, payload) = ((&name, level), self.payloads.get(format));
                    let written = write_payload(shared, to, method, &extensions, payload, wants_reply)?;
                    Ok((name, written))
                }
                Err(error) => Err(error),
            };
            requests.push((name, request));
        }
        Ok((conn, requests))
    }

    /// The request of one member, and the connection it goes over. Waits, as the options say, for
    /// one that was named and is not there.
    async fn ready(
        &self,
        conn: &Arc<ClientConn>,
        name: &str,
        request: MemberRequest,
        progress: &mut Progress,
    ) -> Result<(Arc<ClientConn>, NodeName, WrittenRequest), CallError> {
        let waits = self.options.wait_for_receiver && self.receivers.is_some();
        let (conn, receiver, written) = match request {
            Ok((receiver, written)) => (Arc::clone(conn), receiver, written),
            Err(CallError::ReceiverNotFound { .. }) if waits => return self.address(name, progress).await,
            Err(error) => return Err(error),
        };
        progress.set_target(&conn, &receiver);
        Ok((conn, receiver, written))
    }

    /// The request of a member on the connection of this moment. Waits, as the options say, for it.
    async fn address(
        &self,
        name: &str,
        progress: &mut Progress,
    ) -> Result<(Arc<ClientConn>, NodeName, WrittenRequest), CallError> {
        let wait_for_receiver = self.options.wait_for_receiver && self.receivers.is_some();
        let options =
            CallOptions { receiver: Some(name.to_owned()), wait_for_receiver, ..CallOptions::clone(self.options) };
        let found = self.client.address(self.method, self.payloads, &options, self.wants_reply, progress).await?;
        progress.set_target(&found.0, &found.1);
        Ok(found)
    }

    /// Sends the request of one member and waits for its answer.
    async fn answer(&self, conn: &Arc<ClientConn>, name: &str, request: MemberRequest) -> Result<Received, CallError> {
        let mut progress = Progress::default();
        let until = self.deadline.map(|(_, at)| at);
        let call = async {
            let (mut conn, mut receiver, mut written) = self.ready(conn, name, request, &mut progress).await?;
            let pending = loop {
                match PendingReply::open(conn, receiver).await? {
                    Some(pending) => break pending,
                    None => (conn, receiver, written) = self.address(name, &mut progress).await?,
                }
            };
            let mut pending = send(pending, written, until, &mut progress).await?;
            pending.count(self.method);
            receive(&mut pending, self.method, self.options.timeout).await
        };
        self.in_time(call).await.unwrap_or_else(|after| Err(progress.timeout_error(self.method, after)))
    }

    /// Queues the request of one member, which nobody answers.
    async fn queue(&self, conn: &Arc<ClientConn>, name: &str, request: MemberRequest) -> Result<(), CallError> {
        let mut progress = Progress::default();
        let queued = async {
            let (conn, receiver, written) = self.ready(conn, name, request, &mut progress).await?;
            progress.waits_for(WaitedFor::Room);
            send_nowait(&conn, &receiver, written, self.method).await
        };
        self.in_time(queued).await.unwrap_or_else(|after| Err(progress.timeout_error(self.method, after)))
    }

    /// What is there within the time of the cast; the error is that time.
    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, Duration> {
        match self.deadline {
            None => Ok(future.await),
            Some((after, at)) => timeout_at(at, future).await.map_err(|_| after),
        }
    }
}

/// The arguments in the formats that the members take, once per format and not per member; in all
/// that they may take where some are waited for.
fn payloads<F: FormatSet>(client: &Client<F>, options: &CallOptions, method: &str, args: &impl Args) -> Payloads {
    let current = client.shared().current();
    let levels = current.as_ref().filter(|_| !options.wait_for_receiver).map(|current| {
        let exposing = current.members.receivers_of(method).map(|all| &all[..]).unwrap_or_default();
        exposing.iter().map(|member| current.members.level(member)).collect()
    });
    client.payloads(args, options, levels)
}

/// Who is asked.
fn names(members: &Members, receivers: Option<&[String]>, method: &str) -> Result<Vec<String>, CallError> {
    let mut named = BTreeSet::new();
    let names: Vec<String> = match receivers {
        Some([]) => return Err(CallError::NoReceivers { method: method.to_owned() }),
        // In the order in which they were named, each once.
        Some(names) => names.iter().filter(|name| named.insert(*name)).cloned().collect(),
        None => {
            let exposing = members.receivers_of(method).cloned();
            exposing.map(|all| all.iter().map(ToString::to_string).collect()).unwrap_or_default()
        }
    };
    if names.is_empty() {
        return Err(CallError::ReceiverNotFound { method: method.to_owned(), receiver: None });
    }
    Ok(names)
}

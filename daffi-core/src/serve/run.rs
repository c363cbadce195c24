//! What a node serves, and how a request that was read begins to run.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use daffi_serde::{Body, FormatSet, RemoteError};
use daffi_wire::{CallCredit, CallId, Cancel, Data, Frame, Kind, Level, MethodName, NodeName, Shown};
use tokio_util::task::TaskTracker;

use super::{
    arriving::{Arriving, ArrivingCall, gather, refusal},
    callback::Callback,
    caller::CallerId,
    context::Context,
    dispatch::{Arrival, Delivery, Direct, Dispatched, Job},
    invocation::{Invocation, Invocations},
    last_word::LastWord,
    layers::{CallbackService, Serving, Started},
    node::Node,
    open_data::open_data,
    read_extensions::{ReadExtensions, Streams},
    registry::{Lookup, Registry},
    reply::{Reply, ReplyTo, panic_error},
    request::Request,
};
use crate::{
    config::NodeConfig,
    conn::{Conn, Ticket, Turn, WAITING_COST},
    data::Gathered,
    error::{Disconnected, InitializationError},
    refusal::Refusal,
};

/// A node with what it serves: its callbacks and the layers around them.
#[derive(Debug)]
pub(crate) struct ServingNode {
    pub(crate) node: Arc<Node>,
    pub(crate) registry: Registry,
    callbacks: CallbackService,
}

impl ServingNode {
    pub(crate) fn new<F: FormatSet>(
        name: NodeName,
        config: NodeConfig,
        layer: impl FnOnce(CallbackService) -> CallbackService,
        callbacks: Vec<Callback>,
        formats: F,
    ) -> Result<Self, InitializationError> {
        config.check()?;
        let registry = Registry::default();
        registry.add(callbacks)?;
        let callbacks = layer(CallbackService::new(config.workers));
        Ok(Self { node: Node::new(name, config, formats), registry, callbacks })
    }

    /// The names of the callbacks, in the order in which they were added.
    pub(crate) fn methods(&self) -> Vec<MethodName> {
        self.registry.snapshot().names()
    }

    /// The state that one connection needs to hand requests to this node.
    pub(crate) fn intake(&self) -> Intake {
        Intake {
            callbacks: self.registry.lookup(),
            jobs: Vec::new(),
            calls: Invocations::default(),
            arriving: Arriving::default(),
        }
    }

    /// Runs a callback for a REQUEST: here if it ends at once, else elsewhere. `until_done` is
    /// dropped when the request is done. Whoever calls this calls [`settle`](Self::settle) when
    /// there is nothing more to read for now.
    pub(crate) fn serve(
        &self,
        turn: &mut Turn,
        intake: &mut Intake,
        context: &Context,
        mut frame: Frame,
        until_done: impl Send + 'static,
    ) {
        let node = &self.node;
        if node.life.is_stopping() && !context.conn().takes_last_calls() {
            return context.answer_error(turn, &frame, stopping(&node.name, &frame));
        }
        let Some(callback) = intake.callbacks.get(&frame) else {
            return context.answer_error(turn, &frame, unknown(&node.name, &frame));
        };
        let (read_extensions, streams) = match ReadExtensions::take(&mut frame, context.conn().level()) {
            Ok(read) => read,
            Err(error) => return context.answer_error(turn, &frame, error),
        };
        if !intake.jobs.is_empty() && !self.callbacks.is_for_threads(callback) {
            // It must not overtake them.
            self.callbacks.submit(&mut intake.jobs);
        }
        let (answer, received) = (ReplyTo::new(context, &frame), frame.as_bytes().len());
        let mut gathers = None;
        let call = if !answer.wants_reply || !context.conn().level().at_least(Level::FOUR) {
            None
        } else if streams.is_none() {
            Some(intake.calls.take(&context.call().caller))
        } else {
            match with_data((context, callback), &mut frame, answer, streams) {
                Ok((call, total)) => {
                    gathers = total;
                    Some(call)
                }
                Err(error) => return context.answer_error(turn, &frame, error),
            }
        };
        let arrived = Arrived { frame, answer, received, call, read_extensions };
        if let Some(total) = gathers {
            return await_arguments(turn, intake, context, (arrived, total), until_done);
        }
        let open = (&mut intake.jobs, &mut intake.calls);
        self.begin(turn, open, (context, callback), arrived, until_done);
    }

    /// Runs a callback for a request that is whole.
    #[inline]
    fn begin(
        &self,
        turn: &mut Turn,
        (jobs, calls): (&mut Vec<Job>, &mut Invocations),
        (context, callback): (&Context, &Arc<Callback>),
        arrived: Arrived,
        until_done: impl Send + 'static,
    ) {
        let Arrived { frame, answer, received, call, read_extensions } = arrived;
        callback.counts.begin();
        let own = Arc::clone(call.as_ref().unwrap_or(context.call()));
        let runnable = Runnable { context, callback, answer, received, call };
        let request = request(frame, answer, Context::of_request(own, answer.wants_reply, read_extensions), callback);
        match catch_panic(callback, || self.callbacks.start(request, &mut turn.clock)) {
            Ok(Started::Done(reply)) | Err(reply) => runnable.answer(calls, reply, turn),
            Ok(Started::Goes(serving)) => runnable.go_on(calls, &self.node, serving, until_done),
            Ok(Started::Plain(arrival)) => {
                jobs.push(runnable.job(calls, arrival, until_done));
                if jobs.len() >= JOBS {
                    self.callbacks.submit(jobs);
                }
            }
        }
    }

    /// Handles a CANCEL of `context`'s caller: the call has ended for it. A callback that has not
    /// begun does not run, and one that has begun hears of it.
    pub(crate) fn cancel(
        &self,
        turn: &mut Turn,
        intake: &mut Intake,
        context: &Context,
        frame: &Frame,
    ) -> Result<(), Disconnected> {
        let Cancel { id, reason } = Cancel::read(frame)?;
        if reason.is_from_caller() && intake.calls.cancel(context.caller_id(), id) {
            intake.arriving.take(context.caller_id(), id);
            ReplyTo::answer_cancelled(context, id, turn);
        }
        Ok(())
    }

    /// Handles DATA or CREDIT of `context`'s caller. What belongs to no open call is dropped.
    pub(crate) fn take(
        &self,
        turn: &mut Turn,
        intake: &mut Intake,
        context: &Context,
        frame: Frame,
    ) -> Result<(), Disconnected> {
        match frame.kind() {
            Kind::Data => self.take_data(turn, intake, context, frame),
            _ => self.take_credit(intake, context, &frame),
        }
    }

    fn take_data(
        &self,
        turn: &mut Turn,
        intake: &mut Intake,
        context: &Context,
        frame: Frame,
    ) -> Result<(), Disconnected> {
        let data = Data::read(frame)?;
        let id = data.id;
        let call = intake.calls.data(context.caller_id(), id).filter(|_| data.from_caller);
        let gathered = match call {
            Some(call) => call.on_data(data)?,
            None => return Ok(()),
        };
        if !matches!(gathered, Gathered::Nothing) {
            self.take_gathered(turn, intake, (context, id), gathered);
        }
        Ok(())
    }

    /// The arguments of a call are whole, or will never be.
    #[cold]
    fn take_gathered(
        &self,
        turn: &mut Turn,
        intake: &mut Intake,
        (context, id): (&Context, CallId),
        gathered: Gathered,
    ) {
        let Some(ArrivingCall { call, answer, read_extensions, method, until_done }) =
            intake.arriving.take(context.caller_id(), id)
        else {
            return;
        };
        let fail = |turn: &mut Turn, error| {
            if let Some(_ending) = call.end() {
                answer.send_error(context, &method, &error, turn);
            }
        };
        let (frame, place) = match gathered {
            Gathered::Whole(frame, place) => (frame, place),
            Gathered::Broken(fault) => return fail(turn, refusal(&fault, &method)),
            Gathered::Nothing => return,
        };
        if self.node.life.is_stopping() && !context.conn().takes_last_calls() {
            return fail(turn, stopping(&self.node.name, &frame));
        }
        let Some(callback) = intake.callbacks.get(&frame) else {
            return fail(turn, unknown(&self.node.name, &frame));
        };
        // What it holds is counted with its place.
        let arrived = Arrived { frame, answer, received: 0, call: Some(call), read_extensions };
        let open = (&mut intake.jobs, &mut intake.calls);
        self.begin(turn, open, (context, callback), arrived, (until_done, place));
    }

    fn take_credit(&self, intake: &mut Intake, context: &Context, frame: &Frame) -> Result<(), Disconnected> {
        let credit = CallCredit::read(frame)?;
        if credit.is_from_caller()
            && let Some(call) = intake.calls.data(context.caller_id(), credit.id())
        {
            call.on_credit(credit);
        }
        Ok(())
    }

    /// Hands over what [`serve`](Self::serve) gathered, after all that one read brought was served.
    /// So many requests of the connection are `open`.
    pub(crate) fn settle(&self, intake: &mut Intake, open: usize) {
        intake.calls.tidy(open);
        if !intake.jobs.is_empty() {
            self.callbacks.submit(&mut intake.jobs);
        }
    }
}

fn stopping(node: &NodeName, frame: &Frame) -> RemoteError {
    Refusal::NodeStopping.error(format!("{node} is stopping: {} did not run", frame.method()))
}

fn unknown(node: &NodeName, frame: &Frame) -> RemoteError {
    let text = format!("{node} exposes no callback \"{}\"", Shown::name(frame.method()).at_most(NAME));
    RemoteError::new("TypeError", text)
}

/// Bytes that are shown of a name that nobody bears: what a peer makes up is no reason to write
/// much.
const NAME: usize = 100;

/// The request that a frame carries, for its callback.
fn request(frame: Frame, answer: ReplyTo, context: Context, callback: &Arc<Callback>) -> Request {
    let text = frame.header().is_text();
    Request {
        context,
        callback: Arc::clone(callback),
        body: Body { bytes: frame.into_payload(), text },
        id: answer.id,
        format: answer.format,
        wants_reply: answer.wants_reply,
        memory: None,
    }
}

/// A request whose callback was found and that is not refused any more.
struct Runnable<'a> {
    context: &'a Context,
    callback: &'a Arc<Callback>,
    answer: ReplyTo,
    /// Bytes of its frame.
    received: usize,
    /// What is noted of it, if its caller can cancel it.
    call: Option<Arc<Invocation>>,
}

impl Runnable<'_> {
    /// Answers what has ended where it was read.
    fn answer(self, calls: &mut Invocations, reply: Reply, turn: &mut Turn) {
        let Self { context, callback, answer, .. } = self;
        callback.count_end(&reply);
        if reply.goes_on() {
            let context = self.enter(calls);
            return answer.send(&context, callback.name(), reply, None);
        }
        // Nobody could cancel it: that would have come with a later frame.
        answer.send(context, callback.name(), reply, Some(turn));
        context.note_finished();
        if let Some(call) = self.call {
            calls.give(call);
        }
    }

    /// Serves to its end, on a task, what waits for something.
    fn go_on(self, calls: &mut Invocations, node: &Node, mut serving: Serving, until_done: impl Send + 'static) {
        let (answer, received, callback) = (self.answer, self.received, Arc::clone(self.callback));
        let context = self.enter(calls);
        let (kept, conn) = ((until_done, context.count()), Arc::clone(context.conn()));
        spawn_counted(&node.running, conn, received, |ticket| async move {
            finish(&callback, &mut serving, answer, &context).await;
            drop((ticket, kept));
        });
    }

    /// Makes what a thread that may block needs to run a plain function and to answer.
    fn job(self, calls: &mut Invocations, arrival: Box<Arrival>, until_done: impl Send + 'static) -> Job {
        let (answer, received) = (self.answer, self.received);
        let context = self.enter(calls);
        let kept = (until_done, context.count());
        Job::new(arrival, Delivery::Direct(Direct::new(answer, context, received + WAITING_COST, kept)))
    }

    /// The call goes on elsewhere: gives its context there. If its caller can cancel it, it can
    /// from now on.
    fn enter(self, calls: &mut Invocations) -> Context {
        let Some(call) = self.call else { return Context::of_call(Arc::clone(self.context.call())) };
        let context = Context::of_call(Arc::clone(&call));
        calls.enter(self.answer.id, call);
        context
    }
}

/// Serves to its end, and answers, what did not end where its request was read. A call that its
/// caller gave up before it began is not served, and neither is any once the node is killed.
async fn finish(callback: &Callback, serving: &mut Serving, answer: ReplyTo, context: &Context) {
    let reply = poll_fn(|cx| match catch_panic(callback, || Pin::new(&mut *serving).poll(cx)) {
        Ok(polled) => polled.map(|Ok(reply)| reply),
        Err(reply) => Poll::Ready(reply),
    });
    tokio::select! {
        reply = reply => {
            callback.count_end(&reply);
            answer.send(context, callback.name(), reply, None);
        }
        () = context.call().await_withdrawal() => callback.counts.lose(),
        () = context.node().life.killed.cancelled() => callback.counts.lose(),
    }
}

/// Spawns a task of a request with so many bytes. What the task holds is counted, too, as the
/// compiler made it, with what it has in a box.
fn spawn_counted<F: Future<Output = ()> + Send + 'static>(
    running: &TaskTracker,
    conn: Arc<Conn>,
    received: usize,
    make: impl FnOnce(Ticket) -> F,
) {
    running.spawn(make(Ticket::new(conn, received + WAITING_COST + size_of::<F>() + size_of::<Dispatched>())));
}

/// The most plain functions that are handed to the threads at once.
const JOBS: usize = 64;

/// The state that one connection needs to hand requests to a node.
pub(crate) struct Intake {
    callbacks: Lookup,
    /// Plain functions that were read together: one lock and one wake-up for all.
    jobs: Vec<Job>,
    calls: Invocations,
    arriving: Arriving,
}

impl Intake {
    /// The name of the callback that a request asks for.
    pub(crate) fn callback_name(&mut self, frame: &Frame) -> Option<MethodName> {
        self.callbacks.get(frame).map(|callback| callback.name().clone())
    }

    /// Whether a call of this caller is open that can be cancelled.
    pub(crate) fn has_open(&self, caller: CallerId) -> bool {
        self.calls.has_open(caller)
    }

    /// A caller has left: what came of its calls is dropped, what has not begun does not run any
    /// more, and nothing is said any more but what is just on its way, which is before this word.
    pub(crate) fn leave(&mut self, caller: CallerId, word: Option<&Arc<LastWord>>) {
        self.calls.leave(caller, word);
        self.arriving.forget_ended();
    }
}

/// A call that was read.
struct Arrived {
    frame: Frame,
    answer: ReplyTo,
    /// Bytes that are counted for it.
    received: usize,
    /// What is noted of it, if it can be cancelled.
    call: Option<Arc<Invocation>>,
    read_extensions: ReadExtensions,
}

/// Puts the arguments of a call together before it runs.
#[cold]
fn await_arguments(
    turn: &mut Turn,
    intake: &mut Intake,
    context: &Context,
    (arrived, total): (Arrived, u64),
    until_done: impl Send + 'static,
) {
    let Arrived { frame, answer, call, read_extensions, .. } = arrived;
    // One that wants no answer was refused before.
    let Some(call) = call else { return };
    let method = frame.method().to_owned();
    // Before there is credit, and so before more comes.
    intake.calls.enter(answer.id, Arc::clone(&call));
    if let Err(error) = gather(&call, answer, (frame, total)) {
        if let Some(_ending) = call.end() {
            answer.send_error(context, &method, &error, turn);
        }
        return;
    }
    let until_done = Box::new(until_done);
    intake.arriving.enter(ArrivingCall { call, answer, read_extensions, method, until_done });
}

/// What is noted of a call of which a part comes or goes in DATA, and all bytes of its arguments if
/// they are to be put together. The error is for its caller.
fn with_data(
    (context, callback): (&Context, &Callback),
    frame: &mut Frame,
    answer: ReplyTo,
    streams: Streams,
) -> Result<(Arc<Invocation>, Option<u64>), RemoteError> {
    let find = |total| context.node().errors.bytes_in_args(answer.format, frame.payload(), total);
    let within = streams.body.filter(|_| callback.takes_pieces()).and_then(find);
    let data = open_data(context, (answer.id, answer.format), streams, within.is_some())?;
    let call = Arc::new(Invocation::with_data(Arc::clone(&context.call().caller), Arc::clone(&data)));
    let (Some(within), Some(total)) = (within, streams.body) else { return Ok((call, streams.body)) };
    let begun = data.begin_pieces(&frame.payload_bytes(), total, &within);
    begun.map_err(|fault| Refusal::ExtensionUnsupported.error(fault.to_string()))?;
    // As its callback sees it.
    *frame = frame.with_payload(&within.rest);
    Ok((call, None))
}

/// Turns a panic of a callback, or of a layer, into an error reply.
fn catch_panic<T>(callback: &Callback, run: impl FnOnce() -> T) -> Result<T, Reply> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Reply::error(panic_error(callback.name(), &*panic)))
}

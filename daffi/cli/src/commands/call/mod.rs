mod items;
mod printer;
mod taking;

use std::{future::pending, pin::pin, time::Duration};

use clap::Args;
use daffi::{CallError, Client, Rpc, Value};
use futures::FutureExt;
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

use self::{
    printer::print,
    taking::{AllSent, Progress, Trouble, take},
};
use super::{closing, prepare};
use crate::{
    connection::{Connection, Place},
    failure::Failure,
    headers::tell_dropped,
    input::Input,
    interrupts::Interrupts,
    invocation::{ARGUMENTS, Invocation, Invoked},
    output,
    quantity::{Seconds, more_than_none},
    suggestion::Explain,
};

const AFTER: &str = "\
About answers:
Text is printed as it is, anything else as JSON, and a line feed behind either. Bytes are written as they are to a file or a pipe, and escaped to a \
terminal.
What a callback gives one by one is printed as it comes, each result on a line; text of several lines is JSON then. Bytes follow each \
other without anything between them. --timeout is that of the first result, and of each further one after the one before it; \
it travels with the call, and a callback of this project that has given no answer by then sees it as its deadline.
With --json each result is one line of JSON: tuples and sets are lists, dates and decimals text, keys of maps text, \
bytes {\"$bytes\": base64}, floats that JSON has not {\"$float\": \"nan\"}. A map that looks like one of these, or in which \
two keys are one as text, is {\"$map\": [[key, value]]}.

About items:
With --items each line of stdin is one more argument, read as an ARG is, and sent behind the ARGs as the callback takes it. The \
timeout begins when the last was sent. A line that cannot be read cancels the call.
Ctrl-C cancels a call, and so does whoever closes the pipe behind it: a callback of this project can see that and ends.

Examples:
  daffi call URL add 3 4
  daffi call URL add 3 --kwarg b=4
  daffi call URL --receiver w1 greet you
  daffi call URL echo @in.png >out.png
  daffi call URL received --every 1s
  daffi call URL add 3 4 --wait --timeout 1m
  daffi call URL count 1000000 | head -3
  seq 10 | daffi call URL sum --items";

/// Call a callback and print its result, or its results as they come
///
/// Of several members that expose it one is called, each in turn; --receiver names one.
#[derive(Debug, Args)]
#[command(
    override_usage = "daffi call [OPTIONS] [URL] METHOD [ARG]...",
    after_help = "Arguments and answers: daffi help call",
    after_long_help = format!("{ARGUMENTS}\n\n{AFTER}")
)]
pub(crate) struct Call {
    #[command(flatten)]
    invocation: Invocation,
    /// The member to call
    #[arg(short, long, value_name = "NAME")]
    receiver: Option<String>,
    /// Wait within --timeout until somebody exposes the callback, as while a worker is
    /// restarted, instead of failing at once
    #[arg(long)]
    wait: bool,
    /// Call again and again, once in so long, until Ctrl-C. What fails is told, and does not end
    /// it. Ctrl-C ends it with 0 once a call was answered
    #[arg(long, value_name = "TIME", value_parser = more_than_none)]
    pub(crate) every: Option<Seconds>,
    /// Send each line of stdin as one more argument behind the ARGs, one by one, to a callback that
    /// takes them so
    #[arg(long, conflicts_with = "every")]
    items: bool,
    /// Print the result, or each of several, as one line of strict JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Call {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let reading = self.invocation.clone().read_with(&self.place, self.input());
        let (invoked, client) =
            prepare(interrupts, reading, async |address| self.connection.caller(address).await).await?;
        let rpc = self.receiver.iter().fold(client.rpc(), Rpc::receiver);
        let rpc = invoked.serde.into_iter().fold(rpc, Rpc::serde);
        let rpc = invoked.timeout.into_iter().fold(rpc, Rpc::timeout);
        let rpc = if self.wait { rpc.wait_for_receiver() } else { rpc };
        let rpc = invoked.headers.iter().fold(rpc, |rpc, (key, value)| rpc.header(key, value));
        match self.every {
            Some(Seconds(period)) => {
                let calling = self.call_on(&client, &rpc, &invoked, period, interrupts);
                interrupts.cut_noting(calling, || format!("{} was cancelled, and never answered", invoked.method)).await
            }
            None => self.call_once(&client, &rpc, &invoked, interrupts).await,
        }
    }

    /// What reads the arguments.
    fn input(&self) -> Input {
        if self.items { Input::beside_items(self.invocation.text) } else { Input::new(self.invocation.text) }
    }

    async fn call_once(
        &self,
        client: &Client,
        rpc: &Rpc,
        invoked: &Invoked,
        interrupts: &Interrupts,
    ) -> Result<(), Failure> {
        let progress = Progress::default();
        if self.wait && !invoked.headers.is_empty() {
            // Who takes the call is the Router's choice then, and this node is told of nobody.
            drop(client.members());
        }
        let called = async {
            // Looked at before the call is given up, and what waits of it with it.
            let told = interrupts.await_signal().map(|signal| (signal, client.stats().queued_bytes));
            let ended = tokio::select! {
                answered = self.call(rpc, invoked, &progress) => answered,
                // The call is given up before the connection is closed.
                (signal, unsent) = told => Err(progress.interrupt_failure(&invoked.method, signal, unsent).into()),
            };
            self.tell_headers(client, invoked);
            ended
        };
        match closing(interrupts, client, called).await? {
            Some(plain) => print(&plain, self.json),
            None => Ok(()),
        }
    }

    fn tell_headers(&self, client: &Client, invoked: &Invoked) {
        let receiver: Vec<_> = self.receiver.iter().map(String::as_str).collect();
        tell_dropped(client, &invoked.headers, &invoked.method, &receiver);
    }

    /// Calls again and again, and never ends but by a failure to print.
    async fn call_on(
        &self,
        client: &Client,
        rpc: &Rpc,
        invoked: &Invoked,
        period: Duration,
        interrupts: &Interrupts,
    ) -> Result<(), Failure> {
        let mut due = interval(period);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_first = true;
        loop {
            due.tick().await;
            let called = self.call(rpc, invoked, &Progress::default()).await;
            if std::mem::take(&mut is_first) {
                self.tell_headers(client, invoked);
            }
            // An error of the callback is an answer.
            if matches!(called, Ok(_) | Err(Trouble::Call(CallError::Remote { .. }))) {
                interrupts.be_content();
            }
            match called {
                Ok(Some(plain)) => print(&plain, self.json)?,
                Ok(None) => {}
                Err(Trouble::Call(error)) => drop(error.explain(client).report(self.json)),
                Err(Trouble::Here(failure)) => return Err(failure),
            }
        }
    }

    /// Calls, and prints results that come one by one. A plain one is returned. Nobody waits any
    /// more once the pipe is closed that is to take them.
    async fn call(&self, rpc: &Rpc, invoked: &Invoked, progress: &Progress) -> Result<Option<Value>, Trouble> {
        tokio::select! {
            biased;
            answered = self.answer(rpc, invoked, progress) => answered,
            () = output::await_closed() => Err(Failure::PipeClosed.into()),
        }
    }

    async fn answer(&self, rpc: &Rpc, invoked: &Invoked, progress: &Progress) -> Result<Option<Value>, Trouble> {
        let Invoked { method, args, timeout, .. } = invoked;
        let rpc = rpc.clone();
        // Bytes that go to a file or a pipe are written as they come, however many there are.
        let rpc = if self.json || output::on_terminal() { rpc } else { rpc.in_pieces() };
        if !self.items {
            let results = rpc.results(method, args.clone()).await?;
            let all_sent = AllSent { sent: pending(), timeout: None };
            return take(results, all_sent, self.json, progress).await;
        }
        let (items, mut results) = rpc.duplex(method, args.clone()).await?;
        progress.note_stream();
        results.set_timeout(None);
        let (sent, all) = oneshot::channel();
        let all_sent = AllSent { sent: all.map(drop), timeout: *timeout };
        // This goes after the results: without them the call is cancelled, and what was sent is no
        // longer taken for all items.
        let mut sending = pin!(items::send(items, items::lines(self.input()), sent));
        let mut taking = Box::pin(take(results, all_sent, self.json, progress));
        tokio::select! {
            taken = &mut taking => taken,
            (items, failed) = &mut sending => {
                drop(taking);
                drop(items);
                Err(failed)
            }
        }
    }
}

use clap::Args;
use daffi::{CastNowait, RpcNowait};

use super::{OneWay, prepare, until_told};
use crate::{
    connection::{Connection, Place},
    failure::Failure,
    headers::tell_dropped,
    interrupts::Interrupts,
    invocation::{ARGUMENTS, Invocation},
};

const TIMEOUT: &str = "How long to wait until the receiver takes the request, of which it may have too many, and with --wait \
until there is one; and then as long again until the request was sent: seconds, or a time such as 200ms; `none` for as long \
as it takes";

/// Call a callback without waiting for an answer
///
/// Ends once the request was sent, with exit code 4 if that was not possible within --timeout.
/// Nothing tells whether it arrived, or what came of it.
#[derive(Debug, Args)]
#[command(
    override_usage = "daffi nowait [OPTIONS] [URL] METHOD [ARG]...",
    after_help = "Arguments: daffi help nowait",
    after_long_help = ARGUMENTS,
    mut_arg("timeout", |timeout| timeout.help(TIMEOUT).long_help(TIMEOUT))
)]
pub(crate) struct Nowait {
    #[command(flatten)]
    invocation: Invocation,
    /// The member to call
    #[arg(short, long, value_name = "NAME", conflicts_with = "all")]
    receiver: Option<String>,
    /// Call every member that exposes the callback
    #[arg(short, long)]
    all: bool,
    /// Wait within --timeout until somebody exposes the callback, instead of failing at once
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Nowait {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let grace = self.invocation.timeout();
        let reading = self.invocation.read(&self.place);
        let (invoked, client) =
            prepare(interrupts, reading, async |address| self.connection.sender(address, grace).await).await?;
        let method = &invoked.method;
        let sent = OneWay { method, receiver: self.receiver.as_deref(), address: &invoked.address };
        if self.all {
            let cast = invoked.serde.into_iter().fold(client.cast_nowait(), CastNowait::serde);
            let cast = invoked.timeout.into_iter().fold(cast, CastNowait::timeout);
            let cast = if self.wait { cast.wait_for_receiver() } else { cast };
            let cast = invoked.headers.iter().fold(cast, |cast, (key, value)| cast.header(key, value));
            let called = async {
                let given_up = || format!("{method} was given up before it was sent to all");
                let queued = until_told(interrupts, &client, cast.call(method, invoked.args), given_up).await;
                tell_dropped(&client, &invoked.headers, method, &[]);
                queued
            };
            sent.closing(interrupts, &client, called).await?;
        } else {
            let rpc = self.receiver.iter().fold(client.rpc_nowait(), RpcNowait::receiver);
            let rpc = invoked.serde.into_iter().fold(rpc, RpcNowait::serde);
            let rpc = invoked.timeout.into_iter().fold(rpc, RpcNowait::timeout);
            let rpc = if self.wait { rpc.wait_for_receiver() } else { rpc };
            let rpc = invoked.headers.iter().fold(rpc, |rpc, (key, value)| rpc.header(key, value));
            let called = async {
                let given_up = || format!("{method} was given up before it was sent");
                let queued = until_told(interrupts, &client, rpc.call(method, invoked.args), given_up).await;
                let receiver: Vec<_> = self.receiver.iter().map(String::as_str).collect();
                tell_dropped(&client, &invoked.headers, method, &receiver);
                queued
            };
            sent.closing(interrupts, &client, called).await?;
        }
        Ok(())
    }
}

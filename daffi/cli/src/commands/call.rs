use std::time::Duration;

use clap::Args;
use daffi::{Rpc, Value};
use tokio::time::{MissedTickBehavior, interval};

use super::closing;
use crate::{
    connection::{Connection, Place},
    failure::Failure,
    invocation::{ARGUMENTS, Invocation},
    output,
    quantity::Seconds,
    suggestion::Explain,
    value::{Json, write_readable},
};

const AFTER: &str = "\
About answers:
Text is printed as it is, anything else as JSON, and a line feed behind either. Bytes are written as they are to a file or a pipe, and escaped to a \
terminal.
With --json the answer is always one line of JSON: tuples and sets are lists, dates and decimals text, keys of maps text, \
bytes {\"$bytes\": base64}, floats that JSON has not {\"$float\": \"nan\"}.

Examples:
  daffi call URL add 3 4
  daffi call URL add 3 --kwarg b=4
  daffi call URL --receiver w1 greet you
  daffi call URL echo @in.png >out.png
  daffi call URL received --every 1s";

/// Call a callback and print its result
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
    /// Call again and again, once in so long, until Ctrl-C. What fails is told, and does not end it
    #[arg(long, value_name = "TIME", value_parser = period)]
    pub(crate) every: Option<Seconds>,
    /// Print the result as one line of strict JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Call {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let invoked = self.invocation.read(&self.place).await?;
        let client = self.connection.caller(&invoked.endpoint).await?;
        let rpc = client.rpc();
        let rpc = self.receiver.into_iter().fold(rpc, Rpc::receiver);
        let rpc = invoked.serde.into_iter().fold(rpc, Rpc::serde);
        let rpc = invoked.timeout.into_iter().fold(rpc, Rpc::timeout);
        let rpc = invoked.headers.into_iter().fold(rpc, |rpc, (key, value)| rpc.header(key, value));
        let Some(Seconds(period)) = self.every else {
            let result: Value = closing(&client, rpc.call(&invoked.method, invoked.args)).await?;
            return print(&result, self.json);
        };
        let mut due = interval(period);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            match rpc.call::<Value>(&invoked.method, invoked.args.clone()).await {
                Ok(result) => print(&result, self.json)?,
                Err(error) => drop(error.explain(&client).report(self.json)),
            }
        }
    }
}

fn period(text: &str) -> Result<Seconds, String> {
    match text.parse()? {
        Seconds(Duration::ZERO) => Err("it must be more than 0".to_owned()),
        period => Ok(period),
    }
}

/// Bytes of which a terminal shows no more.
const SHOWN: usize = 1024;

/// Prints a result, as the help says.
fn print(result: &Value, json: bool) -> Result<(), Failure> {
    match result {
        _ if json => output::json(&Json(result))?,
        Value::Bytes(bytes) if !output::on_terminal() => output::raw(bytes)?,
        Value::Bytes(bytes) => {
            let shown = &bytes[..bytes.len().min(SHOWN)];
            output::answer(&format!("b\"{}\"", shown.escape_ascii()))?;
            if shown.len() < bytes.len() {
                output::tell(&format!("the first {SHOWN} of {} bytes; redirect stdout to get all", bytes.len()));
            }
        }
        other => output::answer_by(|stdout| write_readable(other, output::width(), stdout))?,
    }
    Ok(())
}

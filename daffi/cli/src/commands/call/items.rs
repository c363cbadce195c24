//! Arguments that go one by one: the lines of stdin.

use std::{
    future::pending,
    io::{self, BufRead},
};

use daffi::{CallError, ItemSender, Value};
use tokio::sync::{mpsc, oneshot};

use super::taking::Trouble;
use crate::{failure::Failure, input::Input};

/// Lines that were read and not sent yet.
const AHEAD: usize = 64;

/// Reads the lines of stdin, each as an argument, on a thread of its own. The first that cannot be
/// read is the last.
pub(super) fn lines(mut input: Input) -> mpsc::Receiver<Result<Value, Failure>> {
    let (read, lines) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        for (number, line) in io::stdin().lock().lines().enumerate().map(|(at, line)| (at + 1, line)) {
            let item = item(line, &mut input).map_err(|failure| failure.preceded_by(&of_line(number)));
            let is_last = item.is_err();
            if read.blocking_send(item).is_err() || is_last {
                return;
            }
        }
    });
    lines
}

fn of_line(number: usize) -> String {
    format!("line {number} of stdin: ")
}

fn item(line: io::Result<String>, input: &mut Input) -> Result<Value, Failure> {
    match line {
        Ok(line) => input.argument(&line),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::Usage("it is not text in UTF-8: a line @FILE sends the bytes of a file".to_owned()))
        }
        Err(error) => Err(Failure::Usage(format!("it cannot be read: {error}"))),
    }
}

/// Sends all lines as the callback takes them, then says so and waits for ever: the results tell
/// how the call ends. Only a failure ends it.
///
/// Whoever drops it, or the sender that a failure leaves, drops the results of the call before, or
/// the callback takes what was sent for all items.
pub(super) async fn send(
    mut to: ItemSender<Value>,
    mut lines: mpsc::Receiver<Result<Value, Failure>>,
    sent: oneshot::Sender<()>,
) -> (ItemSender<Value>, Trouble) {
    let mut number = 0;
    while let Some(item) = lines.recv().await {
        number += 1;
        let item = match item {
            Ok(item) => item,
            Err(failure) => return (to, failure.into()),
        };
        match to.send(item).await {
            Ok(()) => {}
            // The callback wants no more, or has ended.
            Err(CallError::Items { .. }) => break,
            Err(error) => return (to, Failure::from(error).preceded_by(&of_line(number)).into()),
        }
    }
    to.finish();
    let _taken = sent.send(());
    pending().await
}

//! Answers go to stdout, everything else to stderr; colours only to a terminal.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    os::fd::AsFd,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use daffi::Shown;
use serde::Serialize;
use tokio::{io::Interest, net::unix::pipe::Sender};

use crate::{escaped, failure::Failure, logging, lossy::Lossy};

/// Columns of a terminal that does not say how many it has.
const COLUMNS: u16 = 80;

/// Everything for stderr goes through it, in order. `None`: there is no thread to be had.
static STDERR: LazyLock<Option<Lossy>> = LazyLock::new(|| Lossy::new(io::stderr()).ok());

/// Whether all lines on stderr are JSON, as those of the log are.
static LOG_IN_JSON: AtomicBool = AtomicBool::new(false);

/// Says whether the log is in JSON, which whatever else is written to stderr is then, too.
pub(crate) fn set_log_in_json(is_so: bool) {
    LOG_IN_JSON.store(is_so, Ordering::Relaxed);
}

/// Whether the log is in JSON.
pub(crate) fn is_log_in_json() -> bool {
    LOG_IN_JSON.load(Ordering::Relaxed)
}

/// Writes a line to stdout as it is.
pub(crate) fn answer(text: &str) -> io::Result<()> {
    line(&mut io::stdout().lock(), text)
}

/// Writes a line with colours to stdout, without them where that is no terminal.
pub(crate) fn print_styled(text: &str) -> io::Result<()> {
    line(&mut anstream::stdout().lock(), text)
}

fn line(stdout: &mut impl Write, text: &str) -> io::Result<()> {
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Writes lines to stdout from a thread of its own: a node serves whether or not somebody reads
/// them.
pub(crate) fn announce(lines: Vec<String>) -> io::Result<()> {
    let writing = move || {
        let _unread = answer(&lines.join("\n"));
    };
    thread::Builder::new().name("answer".to_owned()).spawn(writing).map(drop)
}

/// Writes a line of JSON to stdout.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    answer_by(|stdout| escaped::write_json(value, false, stdout).map_err(io::Error::from))
}

/// Writes to stdout what `write` does, and a line feed behind it.
pub(crate) fn answer_by(
    write: impl FnOnce(&mut BufWriter<io::StdoutLock<'static>>) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    write(&mut stdout)?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// Writes bytes to stdout as they are.
pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Resolves when the other end of the pipe that stdout is was closed, so that nobody reads what is
/// written there. A file has no other end.
pub(crate) async fn await_closed() {
    // A copy, because this one is closed. It is only waited for, so that it may well be no pipe.
    let copy = io::stdout().as_fd().try_clone_to_owned();
    let is_closed = match copy.and_then(Sender::from_owned_fd_unchecked) {
        Ok(stdout) => stdout.ready(Interest::ERROR).await.is_ok(),
        Err(_) => false,
    };
    if !is_closed {
        std::future::pending::<()>().await;
    }
}

/// Writes `error:` and a sentence to stderr, or both and the exit code as a line of a log in JSON.
pub(crate) fn complain(sentence: &str, code: u8) {
    if is_log_in_json() {
        let _unread = stderr().write_all(&logging::json_line("ERROR", &show(sentence), Some(code)));
        return;
    }
    let text = on_lines(&format!("error: {}", show(sentence)));
    let text = text.strip_prefix("error:").unwrap_or(&text);
    let red = if is_coloured() { Style::new().bold().fg_color(Some(AnsiColor::Red.into())) } else { Style::new() };
    write_err(&format!("{red}error:{red:#}{text}\n"));
}

/// Writes the sentence to stderr as `{"error": sentence, "exit_code": code}`.
pub(crate) fn complain_in_json(sentence: &str, code: u8) {
    #[derive(Serialize)]
    struct Complaint<'a> {
        error: &'a str,
        exit_code: u8,
    }
    let mut line = Vec::new();
    let complaint = Complaint { error: &show(sentence), exit_code: code };
    let _infallible = escaped::write_json(&complaint, false, &mut line);
    line.push(b'\n');
    let _unread = stderr().write_all(&line);
}

/// Writes a note to stderr.
pub(crate) fn tell(note: &str) {
    let _unread = stderr().write_all(&note_line(note));
}

/// A note as a line for stderr.
pub(crate) fn note_line(note: &str) -> Vec<u8> {
    match is_log_in_json() {
        true => logging::json_line("WARN", note, None),
        false => format!("{}\n", on_lines(note)).into_bytes(),
    }
}

/// Writes a line to stderr. It is no reason to fail that nobody reads it.
fn write_err(line: &str) {
    let _unread = stderr().write_all(line.as_bytes());
}

/// Whether stderr takes colours.
pub(crate) fn is_coloured() -> bool {
    io::stderr().is_terminal() && anstream::stderr().current_choice() != anstream::ColorChoice::Never
}

/// Where lines for stderr are queued. Writing to it never waits.
pub(crate) fn stderr() -> Box<dyn Write> {
    match &*STDERR {
        Some(queue) => Box::new(queue.clone()),
        None => Box::new(io::stderr()),
    }
}

/// Waits until stderr has all, for so long at most; `None`: for as long as it takes.
pub(crate) fn finish(patience: Option<Duration>) {
    if let Some(queue) = &*STDERR {
        queue.flush(patience);
    }
}

/// A text as stderr gets it: wrapped between words on a terminal, and on one line elsewhere.
fn on_lines(text: &str) -> String {
    match columns(&io::stderr()) {
        Some(width) => textwrap::fill(text, usize::from(width)),
        None => text.to_owned(),
    }
}

/// Whether a person reads stdout.
pub(crate) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns of the terminal that stdout is; `None` when it is none.
pub(crate) fn width() -> Option<u16> {
    columns(&io::stdout())
}

fn columns(stream: &(impl IsTerminal + AsFd)) -> Option<u16> {
    let size = || terminal_size::terminal_size_of(stream).map_or(COLUMNS, |(width, _)| width.0);
    stream.is_terminal().then(size)
}

/// Bytes of a sentence that are shown. What a peer sent was cut before that, to a part of it.
const SENTENCE: usize = 4 * Shown::MOST;

/// Shows a text that comes from another node, or has one in it, on one line.
fn show(text: &str) -> String {
    Shown::new(text).at_most(SENTENCE).to_string()
}

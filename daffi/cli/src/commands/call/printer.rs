//! Prints what a call gives.

use std::io::{self, Write};

use daffi::Value;

use crate::{
    escaped::write_json,
    failure::Failure,
    output,
    value::{Json, write_item, write_line, write_readable},
};

/// Bytes of which a terminal shows no more.
const SHOWN: usize = 1024;
/// Results that are ready are written together, until they have so many bytes.
const BATCH: usize = 64 * 1024;

/// Prints the only result of a call, as the help says.
pub(super) fn print(result: &Value, json: bool) -> Result<(), Failure> {
    match result {
        _ if json => output::json(&Json(result))?,
        Value::Bytes(bytes) if !output::on_terminal() => output::raw(bytes)?,
        Value::Bytes(bytes) => {
            output::answer_by(|stdout| write_bytes(bytes, stdout))?;
            if bytes.len() > SHOWN {
                output::tell(&format!("the first {SHOWN} of {} bytes; redirect stdout to get all", bytes.len()));
            }
        }
        other => output::answer_by(|stdout| write_readable(other, output::width(), stdout))?,
    }
    Ok(())
}

/// The beginning of some bytes for a terminal.
fn write_bytes(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    write!(out, "b\"{}\"", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}

/// Prints results that come one by one, as the help says.
pub(super) struct Printer {
    json: bool,
    on_terminal: bool,
    /// What was not written yet.
    batch: Vec<u8>,
    /// Results of which only the beginning was shown.
    cut: u64,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json, on_terminal: output::on_terminal(), batch: Vec::new(), cut: 0 }
    }

    /// Prints a result, at the latest with the next [`flush`](Self::flush). Cancel safe, but for
    /// what was to be written.
    pub(super) async fn put(&mut self, result: &Value) -> Result<(), Failure> {
        self.write(result)?;
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    fn write(&mut self, result: &Value) -> io::Result<()> {
        let out = &mut self.batch;
        match result {
            _ if self.json => write_json(&Json(result), false, out)?,
            // A file or a pipe gets bytes as they are, without anything between them.
            Value::Bytes(bytes) if !self.on_terminal => return out.write_all(bytes),
            Value::Bytes(bytes) => {
                self.cut += u64::from(bytes.len() > SHOWN);
                write_bytes(bytes, out)?;
            }
            other if self.on_terminal => write_line(other, out)?,
            other => write_item(other, out)?,
        }
        out.write_all(b"\n")
    }

    /// Writes what is printed. A thread waits for whoever reads it, and a signal ends this.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        let writing = tokio::task::spawn_blocking(move || {
            output::raw(&batch)?;
            batch.clear();
            Ok::<_, io::Error>(batch)
        });
        let written = writing.await.map_err(|error| Failure::Failed(format!("the answer was not written: {error}")))?;
        self.batch = written?;
        Ok(())
    }

    /// Writes the rest, and tells what was left out.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        self.flush().await?;
        if self.cut > 0 {
            output::tell(&format!("of {} results the first {SHOWN} bytes; redirect stdout to get all", self.cut));
        }
        Ok(())
    }
}

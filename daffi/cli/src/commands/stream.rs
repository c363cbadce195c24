use std::{cell::Cell, io, path::Path};

use clap::Args;
use daffi::{Bytes, StreamCall, StreamNowait};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt},
};

use super::{OneWay, closing, no_connection_yet, until_told};
use crate::{
    address::Address,
    connection::{Connection, Place},
    failure::{Failure, not_read},
    interrupts::Interrupts,
    invocation::{Serde, split},
    output,
    quantity::{Count, Size, Wait},
};

const EXAMPLES: &str = "\
Examples:
  daffi stream URL receive_chunk a.mkv
  tar c . | daffi stream URL store -";

/// Send a file chunk by chunk, one call for each
///
/// All chunks go to one member, in order. Each is acknowledged before the next is sent, unless
/// --window allows more to be on their way, or --nowait asks for no acknowledgement. Results are
/// dropped; the first error ends the stream.
#[derive(Debug, Args)]
#[command(override_usage = "daffi stream [OPTIONS] [URL] METHOD FILE", after_help = EXAMPLES)]
pub(crate) struct Stream {
    /// Where the network is; left out: see `daffi context`
    #[arg(value_name = "URL")]
    first: Option<String>,
    /// The callback, which takes one chunk as bytes
    #[arg(value_name = "METHOD")]
    second: Option<String>,
    /// What to send; - is stdin
    #[arg(value_name = "FILE")]
    third: Option<String>,
    /// The member to call
    #[arg(short, long, value_name = "NAME")]
    receiver: Option<String>,
    /// Bytes of a chunk
    #[arg(short, long, value_name = "SIZE", default_value = "64KiB")]
    chunk_size: Size,
    /// Chunks that may be unacknowledged at once. Above 1 they run in order only where workers is 1
    #[arg(short, long, value_name = "CHUNKS", default_value = "1", conflicts_with = "nowait")]
    window: Count,
    /// Wait for no acknowledgement: ends once all was sent, with exit code 4 if that was not
    /// possible within --timeout of the last chunk
    #[arg(long)]
    nowait: bool,
    /// Format of the chunks
    #[arg(short, long, value_name = "FORMAT", default_value = "opaque", ignore_case = true)]
    serde: Serde,
    /// How long to wait for the acknowledgement of a chunk: seconds, or a time such as 200ms;
    /// `none` for as long as it takes
    #[arg(short, long, value_name = "TIME", default_value = "30")]
    timeout: Wait,
    /// Print the number of chunks and bytes as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Sent {
    chunks: u64,
    bytes: u64,
}

impl Stream {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let json = self.json;
        let sent = self.send(&progress, interrupts).await;
        // What it showed last stays on the terminal.
        progress.abandon();
        let chunks = sent?;
        if json {
            output::json(&Sent { chunks, bytes: progress.position() })?;
        }
        Ok(())
    }

    async fn send(self, progress: &ProgressBar, interrupts: &Interrupts) -> Result<u64, Failure> {
        let words = self.first.into_iter().chain(self.second).chain(self.third).collect();
        let (address, words) = split(words, &self.place)?;
        let (method, file) = target(&address, words)?;
        let (mut failed, begun) = (None, Cell::new(0));
        let unopened = || format!("nothing was sent: {file} was still being opened");
        let input = interrupts.cut_noting(open(&file, progress), unopened).await?;
        let chunks = chunks(input, self.chunk_size.0, progress, &begun, &mut failed);
        let unconnected = || format!("nothing was sent: {}", no_connection_yet(&address));
        let window = if self.nowait { None } else { Some(self.window.0 as u64) };
        let given_up = || format!("{method} was cancelled: {}", how_far(begun.get(), progress.position(), window));
        let sent = if self.nowait {
            let connecting = self.connection.sender(&address, self.timeout.0);
            let client = interrupts.cut_noting(connecting, unconnected).await?;
            let name = self.receiver.clone();
            let all = OneWay { method: &method, receiver: name.as_deref(), address: &address };
            let stream = self.receiver.into_iter().fold(client.stream_nowait(), StreamNowait::receiver);
            let sending = stream.serde(self.serde.into()).send(&method, chunks);
            all.closing(interrupts, &client, until_told(interrupts, &client, sending, given_up)).await?
        } else {
            let client = interrupts.cut_noting(self.connection.caller(&address), unconnected).await?;
            let stream = self.receiver.into_iter().fold(client.stream(), StreamCall::receiver);
            let stream = self.timeout.0.into_iter().fold(stream, StreamCall::timeout);
            let stream = stream.serde(self.serde.into()).window(self.window.0);
            closing(interrupts, &client, until_told(interrupts, &client, stream.send(&method, chunks), given_up))
                .await?
        };
        match failed {
            None => Ok(sent),
            Some(error) => Err(Failure::Failed(format!("{file} cannot be read on: {error}; {sent} chunks were sent"))),
        }
    }
}

/// How far a stream was that is given up. `window`: how many of the last chunks may be
/// unacknowledged; `None`: nothing tells.
fn how_far(chunks: u64, bytes: u64, window: Option<u64>) -> String {
    let sent = match chunks {
        0 => return "no chunk was sent".to_owned(),
        1 => format!("1 chunk of {bytes} bytes was sent"),
        _ => format!("{chunks} chunks, {bytes} bytes in all, were sent"),
    };
    let unknown = match window.map(|window| window.min(chunks)) {
        None => "which of them ran is unknown".to_owned(),
        Some(1) if chunks == 1 => "whether it ran is unknown".to_owned(),
        Some(1) => "all but the last ran, and whether that did is unknown".to_owned(),
        Some(open) if open == chunks => "which of them ran is unknown".to_owned(),
        Some(open) => format!("all but the last {open} ran, and whether those did is unknown"),
    };
    format!("{sent}; {unknown}")
}

fn target(address: &Address, words: Vec<String>) -> Result<(String, String), Failure> {
    match <[String; 2]>::try_from(words) {
        Ok([method, file]) => Ok((method, file)),
        Err(words) if words.len() > 2 => Err(Failure::Usage(format!(
            "too many words behind {}: a METHOD and a FILE are all; a name with blanks is written in quotes",
            words[1]
        ))),
        Err(_) => Err(Failure::Usage(format!(
            "METHOD and FILE are needed, as in `daffi stream {address} receive_chunk movie.mkv`; - is stdin"
        ))),
    }
}

/// Opens what is to be sent, and shows how much that is.
async fn open(file: &str, progress: &ProgressBar) -> Result<Box<dyn AsyncRead + Send + Unpin>, Failure> {
    const KNOWN: &str = "{percent:>3}% {wide_bar} {bytes} {bytes_per_sec}";
    const UNKNOWN: &str = "{spinner} {bytes} {bytes_per_sec}";
    let unreadable = |error: io::Error| Failure::Usage(format!("the file {file:?} {}", not_read(&error)));
    let style = |template| ProgressStyle::with_template(template).expect("the template is constant and tested");
    progress.set_style(style(UNKNOWN));
    if file == "-" {
        return Ok(Box::new(tokio::io::stdin()));
    }
    let opened = File::open(Path::new(file)).await.map_err(unreadable)?;
    let about = opened.metadata().await.map_err(unreadable)?;
    if about.is_dir() {
        return Err(Failure::Usage(format!("{file:?} is a directory: send an archive of it, made with tar")));
    }
    if about.is_file() {
        progress.set_length(about.len());
        progress.set_style(style(KNOWN));
    }
    Ok(Box::new(opened))
}

/// The input in chunks of `size` bytes, which are counted as they are taken. An error ends them,
/// and is kept.
fn chunks<'a>(
    input: Box<dyn AsyncRead + Send + Unpin>,
    size: usize,
    progress: &'a ProgressBar,
    begun: &'a Cell<u64>,
    failed: &'a mut Option<io::Error>,
) -> impl futures::Stream<Item = Bytes> + 'a {
    futures::stream::unfold((input, failed), move |(mut input, failed)| async move {
        let mut chunk = Vec::new();
        match (&mut input).take(size as u64).read_to_end(&mut chunk).await {
            Ok(0) => None,
            Ok(read) => {
                progress.inc(read as u64);
                begun.set(begun.get() + 1);
                Some((Bytes::from(chunk), (input, failed)))
            }
            Err(error) => {
                *failed = Some(error);
                None
            }
        }
    })
}

//! A proxy that prints every frame it passes on, between nodes and servers of this library or of
//! Python.
//!
//! ```sh
//! cargo run --bin frame_proxy -- --listen 127.0.0.1:5000 --connect 127.0.0.1:5001
//! ```
//!
//! Without `--connect` it stands between a service and a client of its own.

use std::{fmt::Write, io};

use bytes::{Buf, BytesMut};
use daffi::prelude::*;
use daffi_wire::{Frame, FrameDecoder, Level, Limits, Opening, SYN, Shown};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Prints the frames of one direction.
struct Printer {
    arrow: &'static str,
    /// What has come of a frame that is not whole yet.
    seen: BytesMut,
    decoder: FrameDecoder,
    stage: Stage,
}

enum Stage {
    /// A client says first what it speaks.
    Opening,
    Frames,
    /// These are not frames, or not any more: they are passed on all the same.
    Unknown,
}

impl Printer {
    fn new(arrow: &'static str, stage: Stage) -> Self {
        let mut decoder = FrameDecoder::new(Limits::default());
        // Whatever the two agree on, the frames of both levels are understood.
        decoder.set_level(Level::FOUR);
        Self { arrow, seen: BytesMut::new(), decoder, stage }
    }

    fn print(&mut self, bytes: &[u8]) {
        if matches!(self.stage, Stage::Unknown) {
            return;
        }
        self.seen.extend_from_slice(bytes);
        if matches!(self.stage, Stage::Opening) {
            match Opening::classify(&self.seen) {
                None => return,
                Some(Opening::Native) => self.seen.advance(SYN.len()),
                Some(other) => return self.give_up(&format!("{other:?}")),
            }
            self.stage = Stage::Frames;
        }
        loop {
            match self.decoder.decode(&mut self.seen) {
                Ok(Some(frame)) => println!("{} {}", self.arrow, describe(&frame)),
                Ok(None) => return,
                Err(error) => return self.give_up(&error.to_string()),
            }
        }
    }

    fn give_up(&mut self, why: &str) {
        println!("{} no frames: {why}", self.arrow);
        self.stage = Stage::Unknown;
        self.seen = BytesMut::new();
    }
}

/// Names are a peer's to choose, so what could steer a terminal is escaped.
fn describe(frame: &Frame) -> String {
    let header = frame.header();
    let mut line = format!("{} {}", header.kind(), header.id().0);
    for (word, name) in [("from", frame.transmitter()), ("to", frame.receiver()), ("method", frame.method())] {
        if !name.is_empty() {
            let _strings_take_all = write!(line, " {word} {}", Shown::new(name).at_most(64));
        }
    }
    let _strings_take_all = write!(line, ", {} bytes of {}", frame.payload().len(), header.format(Level::FOUR));
    line
}

/// A frame is printed before it is passed on, so that no answer to it stands above it.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut printer: Printer) -> io::Result<()> {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        printer.print(&chunk[..read]);
        to.write_all(&chunk[..read]).await?;
    }
}

async fn proxy(client: TcpStream, server: &str) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::try_join!(
        pass_on(from_client, to_server, Printer::new("->", Stage::Opening)),
        pass_on(from_server, to_client, Printer::new("<-", Stage::Frames)),
    )?;
    Ok(())
}

async fn serve(listener: TcpListener, server: String) -> io::Result<()> {
    loop {
        let (client, peer) = listener.accept().await?;
        let server = server.clone();
        tokio::spawn(async move {
            if let Err(error) = proxy(client, &server).await {
                eprintln!("{peer}, connected to {server}: {error}");
            }
        });
    }
}

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// A call through a proxy of its own.
async fn show(listener: TcpListener) -> Result<(), daffi_examples::Problem> {
    let service = Service::builder("adder").callbacks(callbacks![add]).bind("tcp://127.0.0.1:0").await?;
    let proxied = format!("tcp://{}", listener.local_addr()?);
    tokio::spawn(serve(listener, service.endpoints()[0].address().to_owned()));

    let client = Client::builder("caller").connect(&proxied).await?;
    let sum: i64 = client.rpc().serde(FormatId::JSON).call("add", (3, 4)).await?;
    println!("add(3, 4) = {sum}");
    client.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [listen, connect] = daffi_examples::options([("listen", "127.0.0.1:0"), ("connect", "")]);
    let listener = TcpListener::bind(listen).await?;
    if connect.is_empty() {
        return show(listener).await;
    }
    println!("listening on {}", listener.local_addr()?);
    Ok(serve(listener, connect).await?)
}

//! Frames put together by hand, so that they may break any rule, and a socket that says them.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// HANDSHAKE, REQUEST and so on, as they stand in a header (docs/protocol.md#2).
pub(crate) const HANDSHAKE: u8 = 0;
pub(crate) const REQUEST: u8 = 1;
pub(crate) const RESPONSE: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const CREDIT: u8 = 5;
pub(crate) const CANCEL: u8 = 6;
pub(crate) const DATA: u8 = 7;
pub(crate) const PING: u8 = 9;

/// JSON text, PICKLE bytes, OPAQUE bytes, as bits of a header.
pub(crate) const JSON: u8 = 1 << 4;
pub(crate) const PICKLE: u8 = 2 << 4 | 1 << 6;
pub(crate) const OPAQUE: u8 = 1 << 6;

/// The sender wants an answer.
pub(crate) const WANTS_REPLY: u8 = 1 << 7;

/// The most that a frame may hold behind its header (docs/protocol.md#2).
pub(crate) const LARGEST: usize = (1 << 25) - 1;

/// Bytes of extensions that a request may have, what Routers may add left out.
const EXTENSIONS: usize = 8_192 - 512;

/// The nine bytes of a header that announces these lengths, whatever follows.
pub(crate) fn header(number: u16, flags: u8, metadata: usize, message: usize) -> [u8; 9] {
    let lengths = (message as u64 | (metadata as u64) << 25).to_le_bytes();
    let [low, high] = number.to_le_bytes();
    [low, high, flags, lengths[0], lengths[1], lengths[2], lengths[3], lengths[4], 0x81]
}

/// A whole frame.
pub(crate) fn frame(number: u16, flags: u8, names: [&str; 3], payload: &[u8]) -> Vec<u8> {
    let metadata = names.join("|");
    let head = header(number, flags, metadata.len(), metadata.len() + payload.len());
    [&head, metadata.as_bytes(), payload].concat()
}

/// A whole frame with as many extensions as it may have, of tags that nobody has to know (level 4).
pub(crate) fn extended(number: u16, flags: u8, names: [&str; 3], payload: &[u8]) -> Vec<u8> {
    let (metadata, extensions) = (names.join("|"), [200, 0].repeat(EXTENSIONS / 2));
    let mut head = header(number, flags, metadata.len(), metadata.len() + 2 + extensions.len() + payload.len());
    // The last bit of the header: extensions follow.
    head[8] &= 0x7f;
    let length = u16::try_from(extensions.len()).unwrap_or(u16::MAX).to_le_bytes();
    [&head, metadata.as_bytes(), &length, &extensions, payload].concat()
}

/// The HANDSHAKE of a client that only looks (level 4), without the opening bytes.
pub(crate) fn looking(name: &str) -> Vec<u8> {
    let body = serde_json::json!({
        "meta": {"type": "client/4", "error": null},
        "members": [{"name": name, "methods": null}],
    });
    frame(1, HANDSHAKE | JSON | WANTS_REPLY, [name, "", "look:only"], body.to_string().as_bytes())
}

/// The HANDSHAKE of a client of this level that exposes `methods`, without the opening bytes.
pub(crate) fn handshake(name: &str, level: u8, methods: &[String]) -> Vec<u8> {
    let kind = if level >= 4 { format!("client/{level}") } else { "client".to_owned() };
    let methods = if methods.is_empty() { serde_json::Value::Null } else { methods.into() };
    let body = serde_json::json!({
        "meta": {"type": kind, "error": null},
        "members": [{"name": name, "methods": methods}],
    });
    frame(1, HANDSHAKE | JSON | WANTS_REPLY, [name, "", ""], body.to_string().as_bytes())
}

/// A connection whose handshake may be done.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) reader: OwnedReadHalf,
    pub(crate) writer: OwnedWriteHalf,
}

impl Socket {
    /// Only connected: nothing was said yet.
    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader, writer })
    }

    /// With the opening bytes and the handshake said and answered.
    pub(crate) async fn join(address: &str, name: &str, level: u8, methods: &[String]) -> io::Result<Self> {
        let mut socket = Self::connect(address).await?;
        socket.writer.write_all(&[0x1f; 9]).await?;
        socket.writer.write_all(&handshake(name, level, methods)).await?;
        socket.read_frame().await?;
        Ok(socket)
    }

    /// The flags of the next frame and what stands behind its header.
    pub(crate) async fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.reader.read_exact(&mut head).await?;
        let mut message = vec![0; daffi_stress::message_length(head)];
        self.reader.read_exact(&mut message).await?;
        Ok((head[2], message))
    }

    /// Reads and forgets all that comes, beside what the caller does with the writer.
    pub(crate) fn read_all(self) -> OwnedWriteHalf {
        let mut reader = self.reader;
        tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        self.writer
    }
}

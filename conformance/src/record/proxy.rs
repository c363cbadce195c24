//! Stands between clients and a server, and hands items on one at a time.

use std::{collections::VecDeque, io};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{Direction, Item, Stream, cut::Cutter};

/// What reaches the proxy.
pub(super) enum Arrival {
    /// A client connected.
    Client(TcpStream),
    /// Bytes on a connection; none at its end.
    Bytes(usize, Direction, Bytes),
}

/// What it did, to be recorded.
pub(super) enum Event {
    Connected(u32),
    Sent(u32, Direction, Item),
}

/// What one side of a connection sent and the other has not been given.
struct Way {
    to: WriteHalf<Stream>,
    buffer: BytesMut,
    cutter: Cutter,
    items: VecDeque<Item>,
}

impl Way {
    fn new(to: WriteHalf<Stream>, to_server: bool) -> Self {
        Self { to, buffer: BytesMut::new(), cutter: Cutter::new(to_server), items: VecDeque::new() }
    }

    fn take(&mut self, bytes: &Bytes) {
        self.buffer.extend_from_slice(bytes);
        while let Some((item, used)) = self.cutter.cut(&self.buffer) {
            self.buffer.advance(used);
            self.items.push_back(item);
        }
        if bytes.is_empty() {
            self.take_rest();
            self.items.push_back(Item::End);
        }
    }

    /// Takes what is no whole item as it is.
    fn take_rest(&mut self) -> bool {
        let rest = self.buffer.split().freeze();
        let any = !rest.is_empty();
        if any {
            self.items.push_back(Item::Raw(rest));
        }
        any
    }

    async fn hand_on(&mut self, item: &Item) {
        // The other end may be gone: what it did before is recorded, and this is too.
        let _gone = match item {
            Item::End => self.to.shutdown().await,
            item => self.to.write_all(&self.cutter.wrap(item)).await,
        };
    }
}

struct Connection {
    to_server: Way,
    to_client: Way,
}

pub(super) struct Proxy {
    target: u16,
    connections: Vec<Connection>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

impl Proxy {
    /// Listens, and gives the port.
    pub(super) async fn start(target: u16, arrivals: mpsc::UnboundedSender<Arrival>) -> io::Result<(Self, u16)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let clients = arrivals.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if clients.send(Arrival::Client(client)).is_err() {
                    return;
                }
            }
        });
        Ok((Self { target, connections: Vec::new(), arrivals }, port))
    }

    pub(super) async fn on_arrival(&mut self, arrival: Arrival) -> io::Result<Option<Event>> {
        match arrival {
            Arrival::Client(client) => {
                let server = TcpStream::connect(("127.0.0.1", self.target)).await?;
                server.set_nodelay(true)?;
                client.set_nodelay(true)?;
                Ok(Some(Event::Connected(self.join(Box::new(client), Box::new(server)))))
            }
            Arrival::Bytes(at, direction, bytes) => {
                let connection = &mut self.connections[at];
                match direction {
                    Direction::ToServer => connection.to_server.take(&bytes),
                    Direction::ToClient => connection.to_client.take(&bytes),
                }
                Ok(None)
            }
        }
    }

    /// One between streams that its caller opened, for [`join`](Self::join).
    #[cfg(feature = "nodes")]
    pub(super) const fn of_streams(arrivals: mpsc::UnboundedSender<Arrival>) -> Self {
        Self { target: 0, connections: Vec::new(), arrivals }
    }

    /// Stands between these, and gives the number of the connection.
    pub(super) fn join(&mut self, client: Stream, server: Stream) -> u32 {
        let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
        let at = self.connections.len();
        self.listen(at, Direction::ToServer, from_client);
        self.listen(at, Direction::ToClient, from_server);
        self.connections
            .push(Connection { to_server: Way::new(to_server, true), to_client: Way::new(to_client, false) });
        number(at)
    }

    fn listen(&self, at: usize, direction: Direction, mut from: ReadHalf<Stream>) {
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            loop {
                let mut bytes = BytesMut::with_capacity(64 * 1024);
                let ended = !matches!(from.read_buf(&mut bytes).await, Ok(1..));
                if arrivals.send(Arrival::Bytes(at, direction, bytes.freeze())).is_err() || ended {
                    return;
                }
            }
        });
    }

    /// All is quiet: hands on what the server sent to all clients, or else the next item to the
    /// server.
    pub(super) async fn next(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, connection) in self.connections.iter_mut().enumerate() {
            while let Some(item) = connection.to_client.items.pop_front() {
                connection.to_client.hand_on(&item).await;
                events.push(Event::Sent(number(at), Direction::ToClient, item));
            }
        }
        if !events.is_empty() {
            return events;
        }
        for (at, connection) in self.connections.iter_mut().enumerate() {
            while let Some(item) = connection.to_server.items.pop_front() {
                connection.to_server.hand_on(&item).await;
                // Nothing answers a SYN.
                let more = matches!(item, Item::Syn(_));
                events.push(Event::Sent(number(at), Direction::ToServer, item));
                if !more {
                    break;
                }
            }
            if !events.is_empty() {
                return events;
            }
        }
        events
    }

    /// Whether half an item waits for its rest.
    pub(super) fn has_rest(&self) -> bool {
        self.connections.iter().any(|c| !c.to_server.buffer.is_empty() || !c.to_client.buffer.is_empty())
    }

    /// Nothing has come for long: what is half an item is taken for what was sent.
    pub(super) fn take_rest(&mut self) {
        for connection in &mut self.connections {
            connection.to_server.take_rest();
            connection.to_client.take_rest();
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at + 1).expect("a scenario opens few connections")
}

//! Records sessions of level 4, between nodes of this project.

use std::{collections::HashMap, io, time::Duration};

use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    proxy::{Arrival, Event, Proxy},
    scene::{RecordError, note_free},
};
use crate::{
    By, Item, Node, NodeSpec, Outcome, Session, Step, Stream, What,
    nodes::{self, Over},
};

/// So long nothing must arrive before the next item is handed on.
const QUIET: Duration = Duration::from_millis(60);

/// No action takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a script may send before the node takes it.
const ROOM: usize = 1 << 20;

/// Records a session of level 4 again: connects as it does, asks its nodes for what it asks for,
/// sends what its scripts send, and writes down what comes of it.
///
/// # Errors
/// [`RecordError`].
pub async fn record_again(before: &Session) -> Result<Session, RecordError> {
    let (arrivals, arrived) = mpsc::unbounded_channel();
    let mut scene = Scene {
        session: Session {
            recorded_with: format!("daffi in Rust {}, level 4", env!("CARGO_PKG_VERSION")),
            free: Vec::new(),
            steps: Vec::new(),
            ..before.clone()
        },
        nodes: HashMap::new(),
        hands: HashMap::new(),
        proxy: Proxy::of_streams(arrivals),
        arrived,
    };
    for step in &before.steps {
        scene.step(step).await?;
    }
    for (_, node) in scene.nodes.drain() {
        node.stop().await;
    }
    note_free(&mut scene.session);
    Ok(scene.session)
}

struct Scene {
    session: Session,
    nodes: HashMap<String, Box<dyn Node>>,
    /// The script's ends of connections.
    hands: HashMap<u32, DuplexStream>,
    proxy: Proxy,
    arrived: mpsc::UnboundedReceiver<Arrival>,
}

impl Scene {
    /// Does a step if it is one that begins something.
    async fn step(&mut self, step: &Step) -> Result<(), RecordError> {
        match &step.what {
            What::Connects { connection, node } => self.connect(*connection, node).await?,
            What::Sends { connection, item, .. } => {
                if !self.is_said(*connection, &step.what) {
                    return Ok(());
                }
                if let Some(hand) = self.hands.get_mut(connection) {
                    hand.write_all(&item.to_bytes()).await?;
                    if *item == Item::End {
                        hand.shutdown().await?;
                    }
                }
            }
            What::Does { node, number, action } => {
                self.push(step.what.clone());
                let Some(acting) = self.nodes.get_mut(node).map(|node| tokio::spawn(node.act(action))) else {
                    return Err(RecordError::Request(node.clone(), "there is no such node".into()));
                };
                return self.finish(node, *number, acting).await;
            }
            What::Gets { .. } => return Ok(()),
        }
        self.settle().await
    }

    fn node(&self, name: &str) -> Result<NodeSpec, RecordError> {
        let unknown = || RecordError::Request(name.to_owned(), "the head names no such node".into());
        self.session.node(name).cloned().ok_or_else(unknown)
    }

    fn server(&self) -> Result<NodeSpec, RecordError> {
        self.session.server().cloned().ok_or_else(|| RecordError::Request("connects".into(), "to no server".into()))
    }

    /// Whether the script of this connection says it, and not the node at its other end.
    fn is_said(&self, connection: u32, what: &What) -> bool {
        let by_server = self.session.server().is_some_and(|server| server.by == By::Hand);
        let What::Sends { direction, .. } = what else { return false };
        self.hands.contains_key(&connection) && by_server == (*direction == crate::Direction::ToClient)
    }

    async fn connect(&mut self, connection: u32, client: &str) -> Result<(), RecordError> {
        let (client, server) = (self.node(client)?, self.server()?);
        let mut ends = Vec::new();
        for spec in [&client, &server] {
            ends.push(self.open(connection, spec).await?);
        }
        let [from_client, from_server] =
            <[Stream; 2]>::try_from(ends).map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
        let number = self.proxy.join(from_client, from_server);
        debug_assert_eq!(number, connection, "connections are counted");
        self.push(What::Connects { connection, node: client.name });
        Ok(())
    }

    async fn open(&mut self, connection: u32, spec: &NodeSpec) -> Result<Stream, RecordError> {
        if spec.by == By::Hand {
            let (ours, theirs) = duplex(ROOM);
            self.hands.insert(connection, ours);
            return Ok(Box::new(theirs));
        }
        if !self.nodes.contains_key(&spec.name) {
            self.nodes.insert(spec.name.clone(), nodes::start(spec, Over::Tcp).await?);
        }
        match self.nodes.get_mut(&spec.name) {
            Some(node) => Ok(timeout(PATIENCE, node.open()).await.map_err(io::Error::from)??),
            None => Err(RecordError::Ended(spec.name.clone())),
        }
    }

    async fn finish(&mut self, node: &str, number: u32, acting: JoinHandle<Outcome>) -> Result<(), RecordError> {
        let begun = tokio::time::Instant::now();
        loop {
            self.settle().await?;
            if acting.is_finished() {
                break;
            }
            if begun.elapsed() > PATIENCE {
                acting.abort();
                return Err(RecordError::Request(format!("{node} does {number}"), "it does not end".into()));
            }
        }
        let outcome = acting.await.map_err(io::Error::from)?;
        // What it sent when it ended.
        self.settle().await?;
        self.push(What::Gets { node: node.to_owned(), number, outcome });
        Ok(())
    }

    /// Hands on all that comes, item by item, until nothing does.
    async fn settle(&mut self) -> Result<(), RecordError> {
        loop {
            tokio::select! {
                biased;
                Some(arrival) = self.arrived.recv() => {
                    self.proxy.on_arrival(arrival).await?;
                }
                () = sleep(QUIET) => {
                    let events = self.proxy.next().await;
                    if events.is_empty() {
                        return Ok(());
                    }
                    for event in events {
                        if let Event::Sent(connection, direction, item) = event {
                            self.push(What::Sends { connection, direction, item });
                        }
                    }
                }
            }
        }
    }

    fn push(&mut self, what: What) {
        self.session.steps.push(Step { only: None, what });
    }
}

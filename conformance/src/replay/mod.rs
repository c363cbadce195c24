//! Plays the other side of a recording to a node.

mod mismatch;
mod wire;

use std::{collections::HashMap, io, time::Duration};

use futures::future::BoxFuture;
use tokio::{task::JoinHandle, time::timeout};

pub use self::mismatch::{Mismatch, Why};
use self::wire::Wire;
use crate::{
    Comparison, Direction, Free, Item, Node, NodeSpec, Only, Outcome, Session, Step, Stream, What, text::write::title,
};

/// Nothing that a recording expects takes longer, unless it is missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a replay listens at its end for what should not come.
const SILENCE: Duration = Duration::from_millis(30);

/// A started node, or why there is none.
pub type Started = BoxFuture<'static, io::Result<Box<dyn Node>>>;

/// Which of two variants of a step a node is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Like {
    /// What the nodes of this project do where they differ on purpose.
    ThisProject,
    /// Everything as 3.0.1 does it.
    Original,
}

/// A replay of a recorded session: one node's place is taken, and everybody else is played from the
/// file.
///
/// ```no_run
/// # async fn run(start: impl FnOnce(&conformance::NodeSpec) -> conformance::Started) -> Result<(), Box<dyn std::error::Error>> {
/// use conformance::{Replay, recording};
///
/// let session = recording("rpc-json")?;
/// Replay::of(&session, "svc").in_pieces(1).run(start).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing runs until run() is awaited"]
pub struct Replay<'a> {
    session: &'a Session,
    spec: &'a NodeSpec,
    like: Like,
    pieces: usize,
}

impl<'a> Replay<'a> {
    /// Puts a node in the place of `part`.
    ///
    /// # Panics
    /// When the session has no node of that name.
    pub fn of(session: &'a Session, part: &str) -> Self {
        let spec = session.node(part).unwrap_or_else(|| panic!("{} has no node {part:?}", session.name));
        Self { session, spec, like: Like::ThisProject, pieces: usize::MAX }
    }

    /// Holds the node to this variant. Default: [`Like::ThisProject`].
    pub fn like(mut self, like: Like) -> Self {
        self.like = like;
        self
    }

    /// Writes in pieces of so many bytes, each handed to the stream by itself; at least 1. The SYN
    /// stays whole, since 3.0.1 reads it with one read. Default: each item in one piece.
    pub fn in_pieces(mut self, bytes: usize) -> Self {
        self.pieces = bytes.max(1);
        self
    }

    /// Starts the node with `start`, plays, and compares what it sends. A Client's `start` must not
    /// wait for its connection to be answered. The node is stopped at the end.
    ///
    /// Not cancel safe: dropped, it drops the node.
    ///
    /// # Errors
    /// [`Mismatch`]: the first step at which the node does something else than the recording says.
    pub async fn run(self, start: impl FnOnce(&NodeSpec) -> Started) -> Result<(), Mismatch> {
        let mut run = Run {
            replay: self,
            listens: self.spec.kind.listens(),
            node: None,
            wires: HashMap::new(),
            actions: HashMap::new(),
        };
        let ended = run.all(start).await;
        if let Some(node) = run.node.take() {
            node.stop().await;
        }
        ended
    }
}

impl Replay<'_> {
    /// Whether a step belongs to what this node should do.
    fn concerns(&self, step: &Step) -> bool {
        let differs = |key: &str| {
            let difference = self.session.differences.iter().find(|known| known.key == key);
            self.like == Like::ThisProject && difference.is_some_and(|known| known.kinds.contains(&self.spec.kind))
        };
        match &step.only {
            None => true,
            Some(Only::Theirs(key)) => !differs(key),
            Some(Only::Ours(key)) => differs(key),
        }
    }

    fn mismatch(&self, index: usize, why: Why) -> Mismatch {
        let title = self.session.steps.get(index).map_or_else(|| "the end".into(), |step| title(&step.what));
        Mismatch { session: self.session.name.clone(), part: self.spec.name.clone(), step: index + 1, title, why }
    }
}

/// A replay under way.
struct Run<'a> {
    replay: Replay<'a>,
    listens: bool,
    node: Option<Box<dyn Node>>,
    wires: HashMap<u32, Wire>,
    actions: HashMap<u32, JoinHandle<Outcome>>,
}

impl Run<'_> {
    async fn all(&mut self, start: impl FnOnce(&NodeSpec) -> Started) -> Result<(), Mismatch> {
        let mut start = Some(start);
        let replay = self.replay;
        let steps = &replay.session.steps;
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| replay.concerns(step)) {
            self.step(step, &mut start).await.map_err(|why| replay.mismatch(index, why))?;
        }
        self.silence().await.map_err(|why| replay.mismatch(steps.len(), why))
    }

    async fn step(&mut self, step: &Step, start: &mut Option<impl FnOnce(&NodeSpec) -> Started>) -> Result<(), Why> {
        match &step.what {
            What::Connects { connection, node } => {
                if !self.listens && *node != self.replay.spec.name {
                    return Ok(());
                }
                self.start(start).await?;
                let stream = self.open().await?;
                self.wires.insert(*connection, Wire::new(stream, self.listens, self.replay.pieces));
            }
            What::Sends { connection, direction, item } => {
                let Some(wire) = self.wires.get_mut(connection) else { return Ok(()) };
                if (*direction == Direction::ToServer) == self.listens {
                    wire.send(item).await;
                } else {
                    expect(wire, item, &self.replay.session.free).await?;
                }
            }
            What::Does { node, number, action } if *node == self.replay.spec.name => {
                self.start(start).await?;
                self.confirm().await?;
                if let Some(node) = &mut self.node {
                    self.actions.insert(*number, tokio::spawn(node.act(action)));
                }
            }
            What::Gets { node, number, outcome } if *node == self.replay.spec.name => {
                let Some(action) = self.actions.remove(number) else { return Ok(()) };
                let got = match timeout(PATIENCE, action).await {
                    Err(_) => return Err(Why::Missing(PATIENCE)),
                    Ok(Err(error)) => return Err(Why::Ended(format!("action panicked: {error}"))),
                    Ok(Ok(got)) => got,
                };
                let comparison = Comparison::of_outcomes(outcome, &got);
                if comparison.first().is_some() {
                    return Err(Why::Differs(comparison));
                }
            }
            What::Does { .. } | What::Gets { .. } => {}
        }
        Ok(())
    }

    async fn start(&mut self, start: &mut Option<impl FnOnce(&NodeSpec) -> Started>) -> Result<(), Why> {
        if let Some(start) = start.take() {
            let node = start(self.replay.spec).await;
            self.node = Some(node.map_err(|error| Why::NotStarted(format!("the node cannot be started: {error}")))?);
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<Stream, Why> {
        let Some(node) = &mut self.node else { return Err(Why::NotStarted("there is no node".into())) };
        match timeout(PATIENCE, node.open()).await {
            Err(_) => Err(Why::NotStarted(format!("no connection was opened within {PATIENCE:?}"))),
            Ok(Err(error)) => Err(Why::NotStarted(format!("no connection can be opened: {error}"))),
            Ok(Ok(stream)) => Ok(stream),
        }
    }

    /// Waits until a client has seen what it was sent before it is asked for something.
    async fn confirm(&mut self) -> Result<(), Why> {
        if self.listens {
            return Ok(());
        }
        for wire in self.wires.values_mut() {
            match timeout(PATIENCE, wire.confirm()).await {
                Err(_) => return Err(Why::Missing(PATIENCE)),
                Ok(Err(error)) => return Err(Why::Ended(format!("failed: {error}"))),
                Ok(Ok(())) => {}
            }
        }
        Ok(())
    }

    /// Sees that nothing comes that was not recorded.
    async fn silence(&mut self) -> Result<(), Why> {
        tokio::time::sleep(SILENCE).await;
        for (connection, wire) in &mut self.wires {
            if wire.has_ended() {
                continue;
            }
            match timeout(Duration::from_millis(1), wire.receive()).await {
                Err(_) => {}
                Ok(Ok(Some(item))) => return Err(Why::Unexpected(*connection, item)),
                Ok(Ok(None)) => return Err(Why::Unexpected(*connection, Item::End)),
                Ok(Err(error)) => return Err(Why::Ended(format!("failed: {error}"))),
            }
        }
        Ok(())
    }
}

async fn expect(wire: &mut Wire, expected: &Item, free: &[Free]) -> Result<(), Why> {
    let receive = async {
        if free.contains(&Free::ItemPacking) { wire.receive_packed_as(expected).await } else { wire.receive().await }
    };
    let got = match timeout(PATIENCE, receive).await {
        Err(_) => return Err(Why::Missing(PATIENCE)),
        Ok(Err(error)) => return Err(Why::Ended(format!("failed: {error}"))),
        Ok(Ok(None)) => Item::End,
        Ok(Ok(Some(item))) => item,
    };
    let expected = wire.renumber(expected, &got, free.contains(&Free::Uuid));
    let comparison = Comparison::of_items(&expected, &got, free);
    if comparison.first().is_some() { Err(Why::Differs(comparison)) } else { Ok(()) }
}

//! Plays the other side of a recording to a node.

use std::{collections::HashMap, fmt, io, time::Duration};

use futures::future::BoxFuture;
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    Comparison, Direction, Free, Item, Node, NodeSpec, Only, Outcome, Session, Step, Stream, What,
    text::write::{title, write_item},
    wire::Wire,
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

/// Puts a node in the place of `part` of a recorded session, plays everybody else from the file, and compares what the node
/// sends.
///
/// `start` starts it; a Client must not wait there for its connection to be answered.
///
/// # Errors
/// [`Mismatch`]: the first step at which the node does something else than the recording says.
///
/// # Panics
/// When the session has no node of that name.
pub async fn replay(
    session: &Session,
    part: &str,
    like: Like,
    start: impl FnOnce(&NodeSpec) -> Started,
) -> Result<(), Mismatch> {
    let spec = session.node(part).unwrap_or_else(|| panic!("{} has no node {part:?}", session.name));
    let mut replay = Replay {
        session,
        spec,
        like,
        listens: spec.kind.listens(),
        node: None,
        wires: HashMap::new(),
        actions: HashMap::new(),
    };
    let mut start = Some(start);
    let mut ended = Ok(());
    for (index, step) in session.steps.iter().enumerate() {
        if !replay.concerns(step) {
            continue;
        }
        ended = replay.step(step, &mut start).await.map_err(|why| replay.mismatch(index, why));
        if ended.is_err() {
            break;
        }
    }
    if ended.is_ok() {
        ended = replay.silence().await.map_err(|why| replay.mismatch(session.steps.len(), why));
    }
    if let Some(node) = replay.node.take() {
        node.stop().await;
    }
    ended
}

/// What a node did that a recording does not say.
#[derive(Debug)]
pub struct Mismatch {
    /// The session.
    pub session: String,
    /// The node whose place was taken.
    pub part: String,
    /// The step, counted from 1; one more than there are when something came behind the last.
    pub step: usize,
    /// What it should have been, in the notation of the file.
    pub title: String,
    /// What differs.
    pub why: Why,
}

/// What differs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Why {
    /// Something else came.
    Differs(Comparison),
    /// Nothing came.
    Missing(Duration),
    /// The stream ended or failed.
    Ended(String),
    /// Something came that the recording does not have.
    Unexpected(u32, Item),
    /// The node could not be started, or does not open its connection.
    NotStarted(String),
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, part, step, title, why } = self;
        writeln!(f, "{session}, in place of {part:?}, step {step}: {title}")?;
        match why {
            Why::Differs(comparison) => {
                if let Some(first) = comparison.first() {
                    writeln!(f, "the first field that differs is {}:", first.name)?;
                }
                write!(f, "{comparison}")
            }
            Why::Missing(after) => writeln!(f, "nothing came within {after:?}"),
            Why::Ended(how) => writeln!(f, "instead the stream {how}"),
            Why::NotStarted(error) => writeln!(f, "{error}"),
            Why::Unexpected(connection, item) => {
                let mut text = String::new();
                write_item(item, &mut text);
                writeln!(f, "on connection {connection} came: {}\n{text}", crate::text::write::item_title(item))
            }
        }
    }
}

struct Replay<'a> {
    session: &'a Session,
    spec: &'a NodeSpec,
    like: Like,
    listens: bool,
    node: Option<Box<dyn Node>>,
    wires: HashMap<u32, Wire>,
    actions: HashMap<u32, JoinHandle<Outcome>>,
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

    async fn step(&mut self, step: &Step, start: &mut Option<impl FnOnce(&NodeSpec) -> Started>) -> Result<(), Why> {
        match &step.what {
            What::Connects { connection, node } => {
                if !self.listens && *node != self.spec.name {
                    return Ok(());
                }
                self.start(start).await?;
                let stream = self.open().await?;
                self.wires.insert(*connection, Wire::new(stream, self.listens));
            }
            What::Sends { connection, direction, item } => {
                let Some(wire) = self.wires.get_mut(connection) else { return Ok(()) };
                if (*direction == Direction::ToServer) == self.listens {
                    wire.send(item).await;
                } else {
                    expect(wire, item, &self.session.free).await?;
                }
            }
            What::Does { node, number, action } if *node == self.spec.name => {
                self.start(start).await?;
                self.confirm().await?;
                if let Some(node) = &mut self.node {
                    self.actions.insert(*number, tokio::spawn(node.act(action)));
                }
            }
            What::Gets { node, number, outcome } if *node == self.spec.name => {
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
            let node = start(self.spec).await;
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
            if wire.ended() {
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
    let got = match timeout(PATIENCE, wire.receive()).await {
        Err(_) => return Err(Why::Missing(PATIENCE)),
        Ok(Err(error)) => return Err(Why::Ended(format!("failed: {error}"))),
        Ok(Ok(None)) => Item::End,
        Ok(Ok(Some(item))) => item,
    };
    let expected = wire.renumbered(expected, &got, free.contains(&Free::Uuid));
    let comparison = Comparison::of_items(&expected, &got, free);
    if comparison.first().is_some() { Err(Why::Differs(comparison)) } else { Ok(()) }
}

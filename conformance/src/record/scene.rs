//! Runs one scenario and writes down what happens.

use std::{collections::HashMap, io, path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdin, Command},
    sync::mpsc,
    time::sleep,
};

use super::{
    differences::{NEWCOMER_ONLY, OFFERS_LEVEL, find_known},
    proxy::{Arrival, Event, Proxy},
};
use crate::{
    Action, By, Direction, Extension, Format, Frame, Free, Item, Kind, NodeKind, NodeSpec, Only, Outcome, ParseError,
    Session, Step, What, compare::in_order,
};

/// So long nothing must arrive before the next item is handed on.
const QUIET: Duration = Duration::from_millis(120);

/// After so long half an item is taken for all that was sent.
const GIVEN_UP: Duration = Duration::from_millis(1500);

/// Why a session was not recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The scenario failed; what it said is on stderr.
    #[error("scenario {0} ended before its end")]
    Ended(String),
    /// A request of the scenario that makes no sense.
    #[error("the scenario asks {0}: {1}")]
    Request(String, String),
    /// A step in the notation of files that is none.
    #[error("the scenario gives a step that is none: {0}")]
    Step(ParseError),
    /// Anything of the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios/run.py")
}

/// The names of all scenarios.
///
/// # Errors
/// When Python can't be run.
pub async fn scenarios() -> Result<Vec<String>, RecordError> {
    let listed = Command::new(daffi_testing::python()).arg(script()).arg("--list").output().await?;
    if !listed.status.success() {
        return Err(RecordError::Ended("--list".into()));
    }
    Ok(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect())
}

/// Runs a scenario and gives what was recorded.
///
/// # Errors
/// [`RecordError`].
pub async fn record(name: &str) -> Result<Session, RecordError> {
    let mut child = Command::new(daffi_testing::python())
        .arg("-u")
        .arg(script())
        .arg(name)
        .env("PYTHONHASHSEED", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { unreachable!("both are pipes") };
    let mut lines = BufReader::new(stdout).lines();
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let mut scene = Scene {
        session: Session { name: name.to_owned(), ..Session::default() },
        answers: stdin,
        arrivals,
        proxy: None,
        next: String::new(),
        owners: HashMap::new(),
        names: HashMap::new(),
        theirs: None,
    };
    let mut request = None;
    let mut quiet = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            arrival = arrived.recv() => {
                if let (Some(arrival), Some(proxy)) = (arrival, &mut scene.proxy) {
                    let event = proxy.on_arrival(arrival).await?;
                    scene.write(event);
                }
                quiet = Duration::ZERO;
            }
            line = lines.next_line(), if request.is_none() => match line? {
                Some(line) => request = Some(line),
                None => return Err(RecordError::Ended(name.to_owned())),
            },
            () = sleep(QUIET) => {
                quiet += QUIET;
                let events = match &mut scene.proxy {
                    Some(proxy) => proxy.next().await,
                    None => Vec::new(),
                };
                if !events.is_empty() {
                    scene.write(events);
                    quiet = Duration::ZERO;
                    continue;
                }
                let half = scene.proxy.as_ref().is_some_and(Proxy::has_rest);
                if half && quiet < GIVEN_UP {
                    continue;
                }
                if half && let Some(proxy) = &mut scene.proxy {
                    proxy.take_rest();
                    continue;
                }
                if let Some(line) = request.take() {
                    if scene.serve(&line).await? {
                        // It ends its nodes before it ends itself.
                        child.wait().await?;
                        return Ok(scene.finish());
                    }
                    quiet = Duration::ZERO;
                }
            }
        }
    }
}

struct Scene {
    session: Session,
    answers: ChildStdin,
    arrivals: mpsc::UnboundedSender<Arrival>,
    proxy: Option<Proxy>,
    /// The node that opens the next connections.
    next: String,
    /// Who opened which connection.
    owners: HashMap<u32, String>,
    /// The names that connections had in their first handshakes.
    names: HashMap<u32, String>,
    /// What is recorded from here on is done by 3.0.1 only.
    theirs: Option<String>,
}

impl Scene {
    /// Does what the scenario asks; `true`: it is at its end.
    async fn serve(&mut self, line: &str) -> Result<bool, RecordError> {
        let wrong = |why: &str| RecordError::Request(line.to_owned(), why.to_owned());
        let request: Json = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let text = |field: &str| request[field].as_str().map(str::to_owned).ok_or_else(|| wrong(field));
        let names = |field: &str| {
            let names = request[field].as_array().into_iter().flatten();
            names.filter_map(Json::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let number =
            |field: &str| request[field].as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| wrong(field));
        let mut answer = json!({});
        match text("op")?.as_str() {
            "about" => {
                self.session.about = text("about")?;
                self.session.holds = names("holds");
                self.session.recorded_with = text("with")?;
                for word in names("free") {
                    let free = Free::ALL.iter().find(|(name, _)| *name == word).ok_or_else(|| wrong(&word))?;
                    self.session.free.push(free.1);
                }
            }
            "proxy" => {
                let target = u16::try_from(number("target")?).map_err(|_| wrong("target"))?;
                let (proxy, port) = Proxy::start(target, self.arrivals.clone()).await?;
                self.proxy = Some(proxy);
                answer = json!({"port": port});
            }
            "node" => {
                let kind = text("kind")?;
                let kind = NodeKind::ALL.iter().find(|(word, _)| *word == kind).ok_or_else(|| wrong("kind"))?.1;
                self.session.nodes.push(NodeSpec {
                    name: text("name")?,
                    kind,
                    by: if request["real"].as_bool().unwrap_or_default() { By::Original } else { By::Hand },
                    workers: usize::try_from(number("workers")?).map_err(|_| wrong("workers"))?,
                    exposes: names("exposes"),
                });
            }
            "next" => self.next = text("node")?,
            "does" => {
                let options = request["options"].as_object().cloned().unwrap_or_default();
                let action = Action {
                    verb: text("verb")?,
                    method: text("method")?,
                    args: request["args"].clone(),
                    kwargs: request["kwargs"].clone(),
                    options: options.into_iter().collect(),
                };
                let what = What::Does { node: text("node")?, number: number("number")?, action };
                self.push(what);
            }
            "gets" => {
                let outcome = match (request.get("value"), request.get("error"), request["failed"].as_str()) {
                    (Some(value), ..) => Outcome::Value(value.clone()),
                    (_, Some(error), _) => {
                        let part = |at: usize| error[at].as_str().map(str::to_owned).ok_or_else(|| wrong("error"));
                        Outcome::Remote(part(0)?, part(1)?)
                    }
                    (.., Some(how)) => Outcome::Failed(how.to_owned()),
                    _ => return Err(wrong("outcome")),
                };
                let what = What::Gets { node: text("node")?, number: number("number")?, outcome };
                self.push(what);
            }
            "theirs" => {
                self.theirs = request["key"].as_str().map(str::to_owned);
                if let Some(key) = self.theirs.clone() {
                    self.differs(&key).map_err(|()| wrong("unknown difference"))?;
                }
            }
            "ours" => {
                let key = text("key")?;
                self.differs(&key).map_err(|()| wrong("unknown difference"))?;
                for step in
                    Session::parse(&format!("session ours\n{}", text("steps")?)).map_err(RecordError::Step)?.steps
                {
                    self.session.steps.push(Step { only: Some(Only::Ours(key.clone())), ..step });
                }
            }
            "reacts" => {
                let key = text("key")?;
                self.differs(&key).map_err(|()| wrong("unknown difference"))?;
                let direction = if text("by")? == "client" { Direction::ToServer } else { Direction::ToClient };
                self.reacts(&key, direction);
                for step in
                    Session::parse(&format!("session ours\n{}", text("steps")?)).map_err(RecordError::Step)?.steps
                {
                    self.session.steps.push(Step { only: Some(Only::Ours(key.clone())), ..step });
                }
            }
            "settle" => {}
            "end" => {}
            _ => return Err(wrong("unknown")),
        }
        self.answers.write_all(format!("{answer}\n").as_bytes()).await?;
        Ok(request["op"] == "end")
    }

    /// Puts a difference into the head.
    fn differs(&mut self, key: &str) -> Result<(), ()> {
        if self.session.differences.iter().all(|difference| difference.key != key) {
            self.session.differences.push(find_known(key).ok_or(())?);
        }
        Ok(())
    }

    /// What the server, or the client, did since it was last sent something is done by 3.0.1 only.
    fn reacts(&mut self, key: &str, by: Direction) {
        let reactions = self
            .session
            .steps
            .iter_mut()
            .rev()
            .take_while(|step| matches!(step.what, What::Sends { direction, .. } if direction == by));
        for step in reactions.filter(|step| step.only.is_none()) {
            step.only = Some(Only::Theirs(key.to_owned()));
        }
    }

    fn push(&mut self, what: What) {
        self.session.steps.push(Step { only: self.theirs.clone().map(Only::Theirs), what });
    }

    fn write(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            match event {
                Event::Connected(connection) => {
                    self.owners.insert(connection, self.next.clone());
                    self.push(What::Connects { connection, node: self.next.clone() });
                }
                Event::Sent(connection, direction, item) => self.on_sent(connection, direction, item),
            }
        }
    }

    fn on_sent(&mut self, connection: u32, direction: Direction, mut item: Item) {
        if let Item::Frame(frame) = &item
            && (direction, frame.kind) == (Direction::ToServer, Kind::HANDSHAKE)
        {
            self.names.entry(connection).or_insert_with(|| frame.names[0].clone());
        }
        let owner = self.owners.get(&connection).and_then(|name| self.session.node(name)).cloned();
        let server = self.session.server().cloned();
        let sender = if direction == Direction::ToServer { owner.as_ref() } else { server.as_ref() };
        let real = sender.is_some_and(|sender| sender.by == By::Original);
        let kind = sender.map(|sender| sender.kind);
        if let Item::Frame(frame) = &mut item
            && real
            && kind != Some(NodeKind::Service)
            && frame.kind == Kind::HANDSHAKE
            && let Some(ordered) = in_order(frame, true, false)
        {
            // The order of a hash, which no two runs share.
            frame.payload = ordered.into();
        }
        let what = |item| What::Sends { connection, direction, item };
        if self.theirs.is_none()
            && real
            && let Item::Frame(frame) = &item
            && frame.kind == Kind::HANDSHAKE
        {
            let foreign = self.names.get(&connection).is_some_and(|name| *name != frame.names[0]);
            let standing = match kind {
                Some(NodeKind::Client) => Some((OFFERS_LEVEL, Some(with_level(frame)))),
                Some(NodeKind::Service) if foreign => Some((NEWCOMER_ONLY, None)),
                _ => None,
            };
            if let Some((key, instead)) = standing {
                self.differs(key).expect("a difference that every recording may have is known");
                let steps = &mut self.session.steps;
                steps.push(Step { only: Some(Only::Theirs(key.to_owned())), what: what(item) });
                steps.extend(
                    instead
                        .map(|frame| Step { only: Some(Only::Ours(key.to_owned())), what: what(Item::Frame(frame)) }),
                );
                return;
            }
        }
        self.push(what(item));
    }

    fn finish(mut self) -> Session {
        note_free(&mut self.session);
        self.session
    }
}

/// Notes in the head what the steps of a session leave free.
pub(super) fn note_free(session: &mut Session) {
    let mut free = std::mem::take(&mut session.free);
    for step in &session.steps {
        let What::Sends { item, direction, .. } = &step.what else { continue };
        match item {
            Item::Upgrade(_) => free.push(Free::UpgradeForm),
            Item::Frame(frame) if frame.kind.is_call() && frame.format == Format::JSON => free.push(Free::JsonForm),
            Item::Frame(frame) if frame.kind.is_call() && frame.format == Format::PICKLE => {
                free.push(Free::PickleForm);
            }
            Item::Frame(frame) if is_timed(frame) => free.push(Free::TimeLeft),
            Item::Frame(frame) if frame.has_items() => free.push(Free::ItemPacking),
            Item::Frame(frame) if frame.kind == Kind::HANDSHAKE => {
                let routed = session.server().is_some_and(|server| server.kind == NodeKind::Router);
                if *direction == Direction::ToServer || routed {
                    free.push(Free::MethodOrder);
                }
                if routed {
                    free.push(Free::MemberOrder);
                }
            }
            _ => {}
        }
    }
    free.sort();
    free.dedup();
    session.free = free;
}

/// Whether it says how much time is left.
fn is_timed(frame: &Frame) -> bool {
    frame.split_extensions().is_some_and(|(all, _)| all.iter().any(|said| said.tag == Extension::TIME_LEFT))
}

/// A client's handshake as this project's clients write it.
fn with_level(frame: &Frame) -> Box<Frame> {
    let text = String::from_utf8_lossy(&frame.payload).replacen(r#""type":"client""#, r#""type":"client/4""#, 1);
    Box::new(Frame { payload: text.into(), ..frame.clone() })
}

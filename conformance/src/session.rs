//! A recorded session: what was run, and what went over each connection, step by step.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value as Json;

use crate::Frame;

/// One recorded session; [`Session::parse`] reads it from its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Its name, which is the file's.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// With what it was recorded. This is not compared when it is recorded again.
    pub recorded_with: String,
    /// The rules of the protocol that it holds, as `RULES.md` numbers them.
    pub holds: Vec<String>,
    /// What a comparison may overlook.
    pub free: Vec<Free>,
    /// The nodes that took part.
    pub nodes: Vec<NodeSpec>,
    /// Where nodes of this project differ on purpose.
    pub differences: Vec<Difference>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// What a comparison may overlook; everything else is compared byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Free {
    /// JSON of arguments, results and errors is compared as a value, so blanks and escapes may
    /// differ.
    JsonForm,
    /// Pickles are compared as values, so protocol, memo and framing may differ.
    PickleForm,
    /// A reply to an upgrade is compared by its status and the headers that make a WebSocket.
    UpgradeForm,
    /// The functions of a member may come in any order.
    MethodOrder,
    /// The members may come in any order.
    MemberOrder,
    /// Calls may have other numbers, if one number stands for another throughout a connection.
    Uuid,
    /// A call may have less time left than it was recorded with.
    TimeLeft,
    /// Items that follow each other may share their DATA with others, or stand in one of their own:
    /// how many are ready when a frame is written is a matter of moments.
    ItemPacking,
}

impl Free {
    /// All of them, by the words they have in a file.
    pub const ALL: [(&'static str, Self); 8] = [
        ("json-form", Self::JsonForm),
        ("pickle-form", Self::PickleForm),
        ("upgrade-form", Self::UpgradeForm),
        ("method-order", Self::MethodOrder),
        ("member-order", Self::MemberOrder),
        ("uuid", Self::Uuid),
        ("time-left", Self::TimeLeft),
        ("item-packing", Self::ItemPacking),
    ];
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// Listens and exposes callbacks.
    Service,
    /// Listens and forwards.
    Router,
    /// Connects.
    Client,
}

impl NodeKind {
    /// All of them, by the words they have in a file.
    pub const ALL: [(&'static str, Self); 3] =
        [("service", Self::Service), ("router", Self::Router), ("client", Self::Client)];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Router => "router",
            Self::Client => "client",
        }
    }

    /// Whether it accepts connections.
    #[must_use]
    pub const fn listens(self) -> bool {
        !matches!(self, Self::Client)
    }
}

/// A node that took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Who it was.
    pub by: By,
    /// Callbacks that run at once.
    pub workers: usize,
    /// The callbacks it exposes at its start, in this order. What they do is told in
    /// [`Node`](crate::Node).
    pub exposes: Vec<String>,
}

/// Who a node was when a session was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A node of 3.0.1.
    Original,
    /// A node of this project, which spoke level 4 with others.
    LevelFour,
    /// A script that spoke byte by byte.
    Hand,
}

impl By {
    /// All of them, by the words they have in a file.
    pub const ALL: [(&'static str, Self); 3] =
        [("3.0.1", Self::Original), ("level-4", Self::LevelFour), ("by-hand", Self::Hand)];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Original => "3.0.1",
            Self::LevelFour => "level-4",
            Self::Hand => "by-hand",
        }
    }
}

/// A difference on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key, by which steps refer to it.
    pub key: String,
    /// The kinds of node that differ.
    pub kinds: Vec<NodeKind>,
    /// What 3.0.1 does.
    pub theirs: String,
    /// What nodes of this project do instead.
    pub ours: String,
    /// The promise of the design that asks for it.
    pub promise: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Whether it happens with every node.
    pub only: Option<Only>,
    /// What happens.
    pub what: What,
}

/// A step that belongs to one of two variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// 3.0.1 does so and nodes of this project do not; the key tells the difference.
    Theirs(String),
    /// Nodes of this project do so instead.
    Ours(String),
}

/// What happens in a step.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A client opens a connection.
    Connects {
        /// The connection, counted from 1.
        connection: u32,
        /// The node.
        node: String,
    },
    /// Something goes over a connection.
    Sends {
        /// The connection.
        connection: u32,
        /// To where.
        direction: Direction,
        /// What.
        item: Item,
    },
    /// The program around a node asks it for something.
    Does {
        /// The node.
        node: String,
        /// A number by which its outcome refers to it.
        number: u32,
        /// What it is to do.
        action: Action,
    },
    /// What the program got for that.
    Gets {
        /// The node.
        node: String,
        /// The number of the action.
        number: u32,
        /// What it got.
        outcome: Outcome,
    },
}

/// Which way something goes over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Client to server.
    ToServer,
    /// Server to client.
    ToClient,
}

impl Direction {
    /// `>` or `<`.
    #[must_use]
    pub const fn arrow(self) -> char {
        match self {
            Self::ToServer => '>',
            Self::ToClient => '<',
        }
    }
}

/// What goes over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The nine bytes that open a native connection, whatever they are.
    Syn(Bytes),
    /// An HTTP request for, or an answer to, an upgrade to WebSocket.
    Upgrade(String),
    /// A frame. Behind an upgrade: one binary message that holds it.
    Frame(Box<Frame>),
    /// A WebSocket message that is no binary message with one frame: its opcode and its payload.
    Message(u8, Bytes),
    /// Bytes that are no frame.
    Raw(Bytes),
    /// The end of the stream.
    End,
}

/// What the program around a node asks of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// `rpc`, `rpc_nowait`, `cast`, `cast_nowait`, `stream`, `stream_nowait`: a call. `late`:
    /// expose one more callback, which takes nothing and gives `"late NAME"`. `wait`: until a
    /// member is known. `stop`: end. Of level 4 `results`, `send` and `duplex`: take results one by
    /// one, send arguments so, or both.
    pub verb: String,
    /// The callback; the name of a member for `wait`.
    pub method: String,
    /// Positional arguments as a JSON array, chunks for streams. What JSON cannot carry is an
    /// object with one key that starts with `$`, as in `daffi/tests/python/README.md`.
    pub args: Json,
    /// Keyword arguments.
    pub kwargs: Json,
    /// `serde`, `receiver`, `timeout` (in seconds), as far as the caller set them. Of level 4
    /// `headers`, `items` that go one by one, `take` so many results and no more, and
    /// `give_up_after` so many seconds.
    pub options: BTreeMap<String, Json>,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With a value, in the JSON form of arguments; `null` where there is none.
    Value(Json),
    /// With an error of the callback or the receiver: class and text.
    Remote(String, String),
    /// With an error of the node itself: `timeout`, `no receiver`, `receiver gone`, `disconnected`,
    /// `evicted`, `refused`, `does not fit` or another word for it.
    Failed(String),
}

impl Session {
    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The Service or Router.
    #[must_use]
    pub fn server(&self) -> Option<&NodeSpec> {
        self.nodes.iter().find(|node| node.kind.listens())
    }

    /// The nodes that a replay can put another node in place of: those that no script spoke for.
    pub fn parts(&self) -> impl Iterator<Item = &NodeSpec> {
        self.nodes.iter().filter(|node| node.by != By::Hand)
    }

    /// Whether it was recorded between nodes of this project.
    #[must_use]
    pub fn is_level_four(&self) -> bool {
        self.nodes.iter().any(|node| node.by == By::LevelFour)
    }

    /// What programs ask of their nodes, in order: the node and the action.
    pub fn actions(&self) -> impl Iterator<Item = (&str, &Action)> {
        self.steps.iter().filter_map(|step| match &step.what {
            What::Does { node, action, .. } => Some((node.as_str(), action)),
            _ => None,
        })
    }

    /// Whether a WebSocket takes part.
    #[must_use]
    pub fn has_websocket(&self) -> bool {
        self.steps.iter().any(|step| matches!(&step.what, What::Sends { item: Item::Upgrade(_), .. }))
    }

    /// Everything that was sent over one connection in one direction, as it was on the wire
    /// (without the framing of WebSocket); what 3.0.1 took part in, not what our nodes do instead.
    /// Seeds for fuzzing.
    ///
    /// ```
    /// let session = conformance::recording("rpc-json").expect("it is in the tree");
    /// let bytes: Vec<_> = session.bytes(1, conformance::Direction::ToServer).collect();
    /// assert_eq!(bytes[0][..], [0x1f; 9], "the SYN comes first");
    /// ```
    pub fn bytes(&self, connection: u32, direction: Direction) -> impl Iterator<Item = Bytes> {
        self.frames(connection, direction).map(Item::to_bytes)
    }

    /// The items behind [`bytes`](Self::bytes).
    pub fn frames(&self, connection: u32, direction: Direction) -> impl Iterator<Item = &Item> {
        self.steps.iter().filter(|step| !matches!(step.only, Some(Only::Ours(_)))).filter_map(move |step| {
            match &step.what {
                What::Sends { connection: c, direction: d, item } if (*c, *d) == (connection, direction) => Some(item),
                _ => None,
            }
        })
    }

    /// The connections, in the order they were opened.
    pub fn connections(&self) -> impl Iterator<Item = u32> {
        self.steps.iter().filter_map(|step| match step.what {
            What::Connects { connection, .. } => Some(connection),
            _ => None,
        })
    }
}

impl Item {
    /// As it is on the wire, without the framing of WebSocket; nothing for the end.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Syn(bytes) | Self::Raw(bytes) | Self::Message(_, bytes) => bytes.clone(),
            Self::Upgrade(text) => Bytes::copy_from_slice(text.as_bytes()),
            Self::Frame(frame) => frame.encode(),
            Self::End => Bytes::new(),
        }
    }
}

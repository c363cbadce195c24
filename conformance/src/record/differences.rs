//! Where nodes of this project differ from 3.0.1 on purpose.

use crate::{Difference, NodeKind};

struct Known {
    key: &'static str,
    kinds: &'static [NodeKind],
    theirs: &'static str,
    ours: &'static str,
    promise: &'static str,
}

const SERVERS: &[NodeKind] = &[NodeKind::Service, NodeKind::Router];

/// Every difference that a recording may name.
const KNOWN: &[Known] = &[
    Known {
        key: OFFERS_LEVEL,
        kinds: &[NodeKind::Client],
        theirs: "a client's handshake carries the type `client`",
        ours: "it carries `client/4`, which 3.0.1 takes like any other text",
        promise: "Wire levels: a node is level 3 until its peer has shown level 4",
    },
    Known {
        key: NEWCOMER_ONLY,
        kinds: &[NodeKind::Service],
        theirs: "a Service sends the answer to a newcomer's handshake to every connected client",
        ours: "only the newcomer gets it",
        promise: "Memory is bounded: joining costs no frame per connected client",
    },
    Known {
        key: "nowait-is-one-call",
        kinds: &[NodeKind::Client],
        theirs: "`rpc_nowait` makes one call of each element of a list given first, and drops all other arguments",
        ours: "one call, with the arguments as given",
        promise: "Names and defaults: `rpc_nowait` is one request; protocol, 10.24: not repeated",
    },
    Known {
        key: "names-unknown-function",
        kinds: &[NodeKind::Service, NodeKind::Client],
        theirs: "a call of an unknown function fails with `'NoneType' object is not callable`",
        ours: "the error names the function",
        promise: "Nothing fails silently: bad input gets an error that names the rule, the limit and the value",
    },
    Known {
        key: "opaque-errors-in-json",
        kinds: &[NodeKind::Service, NodeKind::Client],
        theirs: "the error of a call in OPAQUE is pickled",
        ours: "it is JSON, which 3.0.1 reads for every format",
        promise: "Reply format: errors in the request's, but JSON for OPAQUE and users' formats",
    },
    Known {
        key: "eviction-is-final",
        kinds: &[NodeKind::Client],
        theirs: "an evicted client connects again at its next call, and so evicts its successor",
        ours: "its calls fail with `Evicted`",
        promise: "Names: one name, one connection; `evicted` is final, it does not fight back",
    },
    Known {
        key: "stream-keeps-receiver",
        kinds: &[NodeKind::Client],
        theirs: "each chunk of a stream goes to the next worker",
        ours: "one worker gets the whole stream",
        promise: "Streams: one receiver for the whole stream",
    },
    Known {
        key: "unroutable-is-answered",
        kinds: &[NodeKind::Router],
        theirs: "what cannot be delivered is dropped without a word; the caller waits for its own timeout",
        ours: "the caller gets an error at once",
        promise: "Every call ends: a router answers a request it cannot deliver (never a nowait one)",
    },
    Known {
        key: "answers-match-calls",
        kinds: &[NodeKind::Router, NodeKind::Client],
        theirs: "any answer of any member is forwarded, and taken for the call of its number",
        ours: "only answers to open calls of that caller to that receiver are; others are dropped",
        promise: "Every call ends: a Router passes only replies that match an open call of that caller to that receiver",
    },
    Known {
        key: "names-stay-whole",
        kinds: &[NodeKind::Router],
        theirs: "a function `a,b` is listed as two, and blanks around names are dropped",
        ours: "a handshake with such a name is refused",
        promise: "Nothing fails silently: bad input gets an error that names the rule; no peer can stop a node with \
                  a name with separators in it",
    },
    Known {
        key: "no-empty-notice",
        kinds: &[NodeKind::Router],
        theirs: "a function with an empty name makes the Router give notice of a member without functions",
        ours: "an empty name is no function, and a member without functions is told by its event alone",
        promise: "Protocol, 5.3: a notice is sent only if the newcomer has functions",
    },
    Known {
        key: "eviction-closes",
        kinds: SERVERS,
        theirs: "an evicted WebSocket is cut off",
        ours: "it is closed with a closing message",
        promise: "WebSocket: clean close",
    },
    Known {
        key: "close-ends",
        kinds: SERVERS,
        theirs: "after the closing handshake of a WebSocket the TCP connection stays open",
        ours: "the server ends it, as RFC 6455 asks",
        promise: "WebSocket: clean close; protocol, 10.19: not repeated",
    },
    Known {
        key: "late-by-new-connection",
        kinds: &[NodeKind::Client],
        theirs: "a callback registered after connecting is announced by a second handshake, which costs the connection",
        ours: "over a 3.0.1 server a new connection takes the place of the old one, when no call is open",
        promise: "Late callbacks: announced at once; over a 3.0.1 server by a new connection in place of the old",
    },
    Known {
        key: "readable-refusal",
        kinds: SERVERS,
        theirs: "a refused handshake is answered with an ERROR that real clients cannot read, and the connection stays open",
        ours: "it is answered with a handshake whose `error` says why, which clients show, and the connection ends",
        promise: "Nothing fails silently: bad input gets an error that names the rule, the limit and the value",
    },
    Known {
        key: "answers-unreadable-payload",
        kinds: &[NodeKind::Service, NodeKind::Client],
        theirs: "a payload that cannot be read is not answered, and ends one executing thread for good",
        ours: "the caller gets an error that says what cannot be read; everybody else is served on",
        promise: "Every call ends; No peer can stop a node",
    },
    Known {
        key: "executor-survives",
        kinds: &[NodeKind::Service, NodeKind::Client],
        theirs: "a caller that is gone before its answer ends one executing thread for good",
        ours: "everybody else is served on",
        promise: "No peer can stop a node",
    },
    Known {
        key: "second-handshake-updates",
        kinds: SERVERS,
        theirs: "a second handshake evicts its own connection",
        ours: "it is an update, and is answered",
        promise: "Late callbacks are announced at once; a second handshake is an update, from 3.0.1 clients too",
    },
    Known {
        key: "one-name-per-connection",
        kinds: SERVERS,
        theirs: "a second handshake under another name adds a second name to the connection, which is never removed",
        ours: "it is refused",
        promise: "One name, one connection; a transmitter must be who its handshake said",
    },
    Known {
        key: "late-callbacks-are-told",
        kinds: &[NodeKind::Service],
        theirs: "a callback registered on a running Service is told to nobody until the next client comes",
        ours: "all clients get a notice at once",
        promise: "Late callbacks are announced at once",
    },
    Known {
        key: "out-of-step-ends",
        kinds: SERVERS,
        theirs: "a peer that breaks the protocol is not read any more, and its connection stays open",
        ours: "its connection ends",
        promise: "No peer can stop a node; Nothing fails silently",
    },
    Known {
        key: "speaks-for-itself",
        kinds: SERVERS,
        theirs: "a request under another node's name is run, and its answer goes to that node",
        ours: "it is refused with a PermissionError",
        promise: "No peer can stop a node: a transmitter must be who its handshake said",
    },
];

/// The key of the level that our clients offer.
pub(super) const OFFERS_LEVEL: &str = "offers-level";

/// The key of the answer that only the newcomer gets.
pub(super) const NEWCOMER_ONLY: &str = "newcomer-only";

/// The difference of this key.
pub(super) fn find_known(key: &str) -> Option<Difference> {
    KNOWN.iter().find(|known| known.key == key).map(|known| Difference {
        key: known.key.to_owned(),
        kinds: known.kinds.to_vec(),
        theirs: known.theirs.to_owned(),
        ours: known.ours.to_owned(),
        promise: known.promise.to_owned(),
    })
}

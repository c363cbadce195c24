//! Where nodes of this project differ from 3.0.1 on purpose.

use crate::{Difference, NodeKind};

struct Known {
    key: &'static str,
    kinds: &'static [NodeKind],
    theirs: &'static str,
    ours: &'static str,
    promise: &'static str,
}


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
];

/// The key of the level that our clients offer.
pub(super) const OFFERS_LEVEL: &str = "offers-level";

/// The key of the answer that only the newcomer gets.
pub(super) const NEWCOMER_ONLY: &str = "newcomer-only";

/// The difference of this key.
pub(super) fn known(key: &str) -> Option<Difference> {
    KNOWN.iter().find(|known| known.key == key).map(|known| Difference {
        key: known.key.to_owned(),
        kinds: known.kinds.to_vec(),
        theirs: known.theirs.to_owned(),
        ours: known.ours.to_owned(),
        promise: known.promise.to_owned(),
    })
}

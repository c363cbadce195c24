//! What a client says in the function section of its HANDSHAKEs.

use daffi_wire::{Attempt, Handshake};

/// The words of level 4 that a client may say there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Says {
    /// Nobody is to be told of this node, which only looks ([level
    /// 4](daffi_wire::level_four#clients-that-only-look)).
    pub(crate) looks: bool,
    /// A Router is to say who calls ([level 4](daffi_wire::level_four#who-calls)).
    pub(crate) identities: bool,
    /// A Router is to tell of nobody but those whom this node watches ([level
    /// 4](daffi_wire::level_four#watching)).
    pub(crate) watches: bool,
    /// This node knows another address, and goes there when the server stops ([level
    /// 4](daffi_wire::level_four#a-server-that-stops)).
    pub(crate) moves: bool,
    /// Which of its attempts to connect this is: one that arrives behind a later one takes no name
    /// from it ([level 4](daffi_wire::level_four#attempts)).
    pub(crate) attempt: Option<Attempt>,
}

impl Says {
    /// As it is written.
    pub(super) fn section(self) -> String {
        if self.looks {
            return Handshake::LOOK_ONLY.to_owned();
        }
        let words = [
            self.identities.then_some(Handshake::TELL_IDENTITIES),
            self.watches.then_some(Handshake::WATCH_NONE),
            self.moves.then_some(Handshake::MOVES_ON),
        ];
        let words = words.into_iter().flatten().map(str::to_owned);
        words.chain(self.attempt.map(|attempt| attempt.to_string())).collect::<Vec<_>>().join(",")
    }
}

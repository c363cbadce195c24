//! What a frame is to the peer that it is queued for.

/// What a frame is to the peer that it is queued for, which says what happens when there is no room
/// for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A request that this node's own program makes: it waits for room.
    Own,
    /// A request that wants an answer. Its caller hears that the receiver is `Overloaded`.
    Request,
    /// A request that wants none. It always enters: its sender paid for it with credit.
    Nowait,
    /// What a callback gave. Its caller gets an `AnswerLost` in its place.
    Answer,
    /// What the peer provoked itself, a refusal or the answer to a handshake. It always enters, and
    /// a peer that takes none of them is held back for it.
    Provoked,
    /// What this node says of itself or others. It enters; whoever sends many merges them, see
    /// [`Handler::on_room`](super::Handler::on_room).
    Notice,
    /// The end of an open call. It enters, on the account of that call.
    Terminal,
}

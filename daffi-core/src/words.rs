//! What is true of a call or a node whoever documents it, as one source: the facade says it in the
//! same words.

/// The paragraphs on when a call is sent, on dropping it and on its errors; and on connecting a
/// node, waiting for it and stopping it.
#[doc(hidden)]
#[macro_export]
macro_rules! words {
    (call) => {
        "Arguments are written here, so they may be borrowed; the call is sent, and its timeout begins, when the future is \
         polled first.\n\nCancelling: dropping the future gives the call up, and so does its timeout. A receiver of this \
         project is told: what it has not begun never runs, and a callback that runs can see it by \
         `Context::cancelled`. One of 3.0.1 is not, and its answer is dropped.\n\n# Errors\n`CallError`; every call ends, with its result or with an \
         error that says what happened."
    };
    (results) => {
        "Arguments are written here, so they may be borrowed; the call is sent, and its timeout begins, when the future is \
         polled first. `()` takes any result. Each is taken as it is read here, so a slow reader holds its callback up. The timeout is that of the first \
         result, counted from the call, and of each further one, counted from when it is waited for. A callback that has not \
         returned its stream by then, or its plain value, sees that as its deadline.\n\nCancelling: dropping the future, or what it gives, gives the \
         call up: the callback's stream is dropped.\n\n# Errors\n`CallError`, if the callback failed before its first result; \
         later ones are the last thing that the stream gives."
    };
    (send_items) => {
        "Arguments are written here, so they may be borrowed; the call is sent when the future is polled first. Items are \
         written in the format of the call; an item may be as large as a frame. The timeout begins when all items \
         were sent, and before that bounds how long the call waits for a connection and a receiver; the callback does not know it.\n\nCancelling: dropping \
         the future gives the call up: the callback's next item is an error.\n\n# Errors\n`CallError`; \
         `CallError::LevelUnsupported` for a receiver of daffi 3.0.1, which takes no arguments one by one."
    };
    (duplex) => {
        "Arguments are written here, so they may be borrowed; the call is sent when the future is polled first. The timeout \
         is that of finding a receiver, and of each result, counted from when it is waited for; the callback does not \
         know it.\n\nCancelling: dropping the future, or the results that \
         it gives, gives the call up. Dropping the sender says that these were all arguments.\n\n# Errors\n`CallError`, as far \
         as it shows before the callback runs; all others are the last thing that the results give."
    };
    (call_nowait) => {
        "Arguments are written here, so they may be borrowed. The future waits while the connection's queue is full, and \
         behind a Router of this project while the receiver has as much waiting as it takes. What is queued is sent behind this; \
         whether it was tells `join` once the client was stopped, and `ClientStats`.\n\nCancel safe: dropped, it \
         has queued all of the request or nothing.\n\n# Errors\n`CallError` when the request could \
         not be queued."
    };
    (cast) => {
        "Arguments are written here, so they may be borrowed; the calls are sent when the future is polled first. The \
         timeout holds for each member: one that is late costs nobody else's answer.\n\nCancelling: dropping the future \
         gives all calls up, as dropping one call does.\n\n# Errors\n`CallError` when nothing could be sent at all: no \
         connection, nobody who exposes the callback, arguments that can't be written."
    };
    (cast_results) => {
        "Arguments are written here, so they may be borrowed. Last of each member comes that it has ended or failed. Each member has a window of its own: a slow reader here holds \
         all callbacks up, and no member another. The timeout holds for each member as for the results of one call. The calls are \
         sent when the future is polled first.\n\nCancelling: dropping the future, or the results, gives all calls \
         up.\n\n# Errors\n`CallError` when nothing could be sent at all: no connection, nobody who exposes the callback."
    };
    (cast_nowait) => {
        "Arguments are written here, so they may be borrowed.\n\nCancelling: dropping the future may leave some members \
         called and others not.\n\n# Errors\nThe first error; members that could be called were called."
    };
    (members) => {
        "The members as last told by the server, and what they expose. A client that was built with `watch_called` is told \
         first of those alone who expose what it calls; this asks for all from then on, and \
         `wait_for_members(&[], ..)` waits until they are there. To look without asking is `known_members`.\n\nWhile there is \
         no connection, and when the client has ended, these are the members that were told last, some of whom may be gone: \
         whether there is a connection is in `is_connected` and `state`. From the next connection on the list is that server's."
    };
    (added_callbacks) => {
        "This does not wait until anybody has heard: a call that is made in the same moment, by a client of the same process for one, \
         may find that no member exposes the callback. With `wait_for_receiver()` on the call it waits, within its timeout, until \
         the client has heard."
    };
    (known_members) => {
        "The members of whom this client was told: all, unless it was built with `watch_called` and has not asked for them."
    };
    (events) => {
        "The events of those who join and leave from now on. What was missed without a connection is made up for by comparing \
         lists. A client that was built with `watch_called` asks for all members when this is used first, and those who were there \
         before and not known to it are told as added then, so that nobody is missed."
    };
    (watch_called) => {
        "Has a Router of this project tell this client of those members alone who expose what it calls, casts to or waits for, \
         and of all once it asks who is there, by `members`, `events` or `wait_for_members`. Default: it is told of \
         all.\n\nIt is for networks of thousands, in which a client that is told of all costs its Router a message for everybody \
         who comes and goes: a worker that calls nothing is told of nobody. The first call of each callback asks the Router \
         who exposes it, so it is sent only when that has answered; a call that the Router addresses (`by_router`) needs no \
         such question. A client that calls more than 1 024 callbacks is told of all."
    };
    (token) => {
        "Shows the server a token, by which its policy knows this node. It is sent over TLS to a server whose certificate was \
         verified, over a Unix socket, or to this host; never to a server of daffi 3.0.1. Elsewhere connecting fails with \
         `Disconnected::TokenWithheld`. Default: none."
    };
    (set_policy) => {
        "Sets another policy, or none, in the place of the one before. Connections that it does not let be what they are end \
         now; what others send is held against it from their next frame on. Calls that are open go on."
    };
    (reconfigure) => {
        "Takes over those of these settings that may change while a node runs: `grace`, `max_pending_handshakes` and \
         `name_policy`. The others wait for another start."
    };
    (policy) => {
        "Sets who may connect, bear which name, and do what. Default: everybody may do everything."
    };
    (admit) => {
        "Asks this function, after the policy, whether a newcomer may have the name that it asks for: before it takes that \
         from whoever bears it. Who only looks on is asked about as well. The error is told to the newcomer. One \
         with a long name or list of callbacks, for which others wait, it is asked about twice. It runs where frames are read, so it \
         must not block."
    };
    (stream) => {
        "Cancelling: dropping the future ends the stream after a whole number of chunks.\n\n# Errors\n\
         `StreamError` names the chunk that failed."
    };
    (state) => {
        "How it stands, now and from now on: `wait_for(|state| ..)` waits for a state. Only the newest state is kept, so that \
         short ones may be missed. Cancel safe."
    };
    (wait_for_members) => {
        "Waits until all these nodes are members. A Router of 3.0.1 does not tell of a member without callbacks that joins \
         later.\n\nCancel safe.\n\n# Errors\n`CallError::Timeout` names those that are missing; `CallError::Stopped`, \
         `CallError::Evicted`, `CallError::CannotConnect` and `CallError::RuntimeGone` say that they cannot come."
    };
    (wait_for_connection) => {
        "Waits until there is a connection. Cancel safe.\n\n# Errors\n`CallError::Stopped`, `CallError::Evicted`, \
         `CallError::CannotConnect` or `CallError::RuntimeGone`: there will be none."
    };
    (connect) => {
        "Cancelling: dropping the future gives the attempt up, and the node with it.\n\n# Errors\n`InitializationError` says \
         which step failed, and where to."
    };
    (stop_client) => {
        "Stops in order: what was received runs, up to `grace`; replies and queued requests are sent; open calls of this node \
         end with `CallError::Stopped`. Of queued requests that nobody answers, and that the server had not taken when \
         `grace` was over, `join` tells: `Ended::Unsent`. `ClientStats` counts them, with those that were queued when a \
         connection was lost.\n\nCancel safe: dropped, the node goes on stopping. A callback of this node that \
         waits for it waits for itself: it is cut off after `grace`, so let it spawn a task that stops."
    };
    (stop_service) => {
        "Stops in order: lets run what was received and sends the replies, then closes the listeners and the connections, in \
         one moment. Calls that come meanwhile are refused; what takes longer than `grace` is cut off. Further calls wait \
         for the same end.\n\nCancel safe: dropped, the service goes on stopping. A callback of this service that waits \
         for it waits for itself: it is cut off after `grace`, so let it spawn a task that stops."
    };
    (stop_router) => {
        "Stops in order: waits for the answers to open calls and sends them, then closes the listeners and the connections, \
         in one moment. Calls that come meanwhile are refused; what takes longer than `grace` is cut off. Further calls \
         wait for the same end.\n\nCancel safe: dropped, the router goes on stopping."
    };
}

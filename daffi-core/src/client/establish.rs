//! How a client gets one connection.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use daffi_transport::{Link, LinkConfig};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until},
};

use super::{
    ClientConn, ClientCore,
    addresses::Patience,
    attempts::Attempts,
    callers::Callers,
    connection::ClientHandler,
    hello_line::{FLOOR, HelloFloor, HelloLine},
    schedule::{Schedule, Tried},
    token,
};
use crate::{
    conn::{Alive, Class, Conn, Driver},
    deadline::in_time,
    error::{Disconnected, InitializationError},
    serve::Node,
    session::{ClientSession, InFlight, Says},
};

/// Where a connection that has ended says so, and why.
pub(super) type Ends = mpsc::UnboundedSender<(u64, Disconnected)>;

/// A link that waits for the floor for so long is closed, and made anew when that comes: its server
/// gives it the time of one handshake, of which nothing was sent, and closes the oldest of such
/// links when there are many.
const LINK_WAITS: Duration = Duration::from_millis(500);

/// Tries each address once, beginning with the one that is next. The one that works first has
/// it from then on.
///
/// `schedule`: what came of the attempts before.
pub(super) async fn establish_any(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    schedule: &mut Schedule,
) -> Result<Arc<ClientConn>, InitializationError> {
    let (first, count) = (shared.addresses.at(), shared.addresses.len());
    let mut attempts = Attempts::new(shared, ends, None, FLOOR);
    let (mut begun, mut failed) = (0, Vec::new());
    while failed.len() < count {
        let next_at = attempts.next_at();
        tokio::select! {
            biased;
            (at, made) = attempts.next_end() => match made {
                Ok(conn) => {
                    // Another attempt may have failed after this one showed its connection.
                    shared.set_last_failure(None);
                    return Ok(conn);
                }
                Err(error) if shared.node.life.is_stopping() && attempts.is_empty() => return Err(error),
                Err(error) => {
                    shared.note_failure(&error);
                    schedule.note_tried(at, Tried::once(&error));
                    failed.push(error);
                }
            },
            () = sleep_until(next_at), if begun < count => {
                let at = (first + begun) % count;
                attempts.begin(at, schedule.tries(at));
                begun += 1;
            }
        }
    }
    shared.addresses.choose(first);
    Err(InitializationError::of_all(failed))
}

/// Makes a connection to that address, and waits for the server's answer to the handshake, which is
/// begun when it has the floor of this line.
///
/// `before`: the connection whose call numbers go on.
///
/// Gives the attempt up by itself when the node is stopped: either it fails then, or the connection
/// stands and is to be ended in order.
pub(super) async fn establish(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    (line, tried): (&HelloLine, Tried),
    (at, patience): (usize, Patience),
) -> Result<Arc<ClientConn>, InitializationError> {
    let link = connect(shared, at, patience).await?;
    let failed = |source| {
        let endpoint = shared.addresses.connector(at).endpoint().to_string();
        InitializationError::Handshake { endpoint, source }
    };
    let stood = tokio::select! {
        biased;
        () = shared.node.life.stopping.cancelled() => Err(Disconnected::Stopped),
        stood = stand_in_line(link, line.floor(tried)) => stood,
    };
    let (link, mut floor) = stood.map_err(failed)?;
    let link = match link {
        Some(link) => link,
        None => connect_anew(shared, &mut floor, (at, patience)).await.map_err(failed)?,
    };
    shake_hands(shared, ends, before, (link, floor), (at, patience)).await
}

/// Waits for the floor, and gives the link back unless it has become old meanwhile. Who waits with
/// one that ends waits no more.
async fn stand_in_line<'a>(
    mut link: Link,
    floor: impl Future<Output = HelloFloor<'a>>,
) -> Result<(Option<Link>, HelloFloor<'a>), Disconnected> {
    let mut floor = pin!(floor);
    tokio::select! {
        biased;
        floor = &mut floor => return Ok((Some(link), floor)),
        read = poll_fn(|cx| link.reader.poll_fill(cx, 1)) => match read {
            Ok(0) => return Err(Disconnected::PeerClosed),
            // A server that speaks before it is spoken to has given this link up.
            Ok(_) => {}
            Err(error) => return Err(Disconnected::Link(error)),
        },
        () = sleep(LINK_WAITS) => {}
    }
    drop(link);
    Ok((None, floor.await))
}

/// Makes a link again to an address where one stood, in the time of this floor.
async fn connect_anew(
    shared: &ClientCore,
    floor: &mut HelloFloor<'_>,
    (at, patience): (usize, Patience),
) -> Result<Link, Disconnected> {
    let connected = tokio::select! {
        biased;
        connected = connect(shared, at, patience) => connected,
        within = floor.is_over() => return Err(Disconnected::HandshakeTimeout(within)),
    };
    // It had the floor, so that this counts as a handshake that failed.
    connected.map_err(|error| match error {
        InitializationError::Handshake { source, .. } => source,
        InitializationError::ConnectTimeout { after, .. } => Disconnected::HandshakeTimeout(after),
        error => {
            tracing::debug!(node = %shared.node.name, error = &error as &dyn std::error::Error, "a link could not be made anew");
            Disconnected::PeerClosed
        }
    })
}

/// Makes a connection over a link that stands.
pub(super) async fn shake_hands(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    (link, mut floor): (Link, HelloFloor<'_>),
    (at, patience): (usize, Patience),
) -> Result<Arc<ClientConn>, InitializationError> {
    let (node, config, addresses) = (&shared.node, &shared.node.config, &shared.addresses);
    let endpoint = addresses.connector(at).endpoint().to_string();
    let conn = Conn::new(link.peer.clone(), &node.budget);
    let in_flight = before.map(|conn| InFlight::follow(&conn.session.lock().in_flight)).unwrap_or_default();
    let mut session = ClientSession::new(node.name.clone(), config.limits, in_flight)
        .saying(Says {
            looks: shared.looks,
            identities: config.trust_router_identities,
            watches: !shared.looks && !shared.wanted.lock().is_all(),
            moves: addresses.len() > 1,
            attempt: shared.attempts.next(),
        })
        .with_token(shared.token.clone());
    let failed = |source| InitializationError::Handshake { endpoint, source };
    if shared.token.is_some() && !token::may_pass(&link.peer) {
        return Err(failed(token::NOT_HERE));
    }
    let hello =
        session.first_hello(shared.serving.methods()).map_err(|source| InitializationError::Hello { source })?;
    let client = ClientConn::new(shared, Arc::clone(&conn), session);
    let (opened, answer) = oneshot::channel();
    let handler = handler(shared, &client, opened, ends);
    let mut attempt = OpenAttempt::begin(shared, &conn, before);
    // The connection is new: its outbox is open and empty.
    let _open = conn.send(Class::Notice, &hello);
    let driver = Driver::new(link, Arc::clone(&conn), handler, config, patience.handshake, None);
    let cut = node.life.cut.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = driver.run() => {}
            () = cut.cancelled() => {}
        }
    });
    let answered = await_answer(answer, node, &conn, &mut floor).await;
    attempt.came_to = match &answered {
        Ok(()) => CameTo::Works,
        Err(Disconnected::HandshakeTimeout(_)) => CameTo::GivenUp,
        // A proxy may have closed it, and hands on what it had of it all the same.
        Err(Disconnected::PeerClosed | Disconnected::Link(_)) if addresses.len() > 1 => CameTo::GivenUp,
        Err(_) => CameTo::Refused,
    };
    answered.map(|()| client).map_err(failed)
}

/// An attempt of which the handshake was sent. Dropped, its connection ends unless it works.
struct OpenAttempt<'a> {
    shared: &'a ClientCore,
    conn: &'a Conn,
    /// The connection before, which may stand.
    before: Option<&'a ClientConn>,
    came_to: CameTo,
}

enum CameTo {
    Works,
    /// Its server has said so, or has closed the only way to it: it takes no name any more.
    Refused,
    /// Nothing came in time, or it is not waited for. Its server may take the handshake for the
    /// connection of this node whenever it comes to it.
    GivenUp,
}

impl<'a> OpenAttempt<'a> {
    /// From here on an eviction of the connection before is likely to be its doing.
    fn begin(shared: &'a ClientCore, conn: &'a Conn, before: Option<&'a ClientConn>) -> Self {
        before.inspect(|before| before.contest.begin());
        Self { shared, conn, before, came_to: CameTo::GivenUp }
    }
}

impl Drop for OpenAttempt<'_> {
    fn drop(&mut self) {
        if matches!(self.came_to, CameTo::Works) {
            return;
        }
        if let Some(before) = self.before {
            before.contest.end_one();
        }
        if matches!(self.came_to, CameTo::GivenUp) {
            self.before.inspect(|before| before.contest.begin());
            self.shared.unanswered.begin();
        }
        self.conn.end(Disconnected::Replaced, false);
    }
}

/// What a connection makes of the frames that it gets: `opened` is told of the server's answer, and
/// `ends` of the end.
pub(super) fn handler(
    shared: &Arc<ClientCore>,
    connection: &Arc<ClientConn>,
    opened: oneshot::Sender<Result<(), Disconnected>>,
    ends: &Ends,
) -> ClientHandler {
    ClientHandler {
        shared: Arc::clone(shared),
        connection: Arc::clone(connection),
        opened: Some(opened),
        ends: ends.clone(),
        unshown: false,
        asks_again: false,
        asks_for_all: None,
        answered_all: false,
        untold: Vec::new(),
        caller: None,
        intake: shared.serving.intake(),
        callers: Callers::new(Arc::clone(connection.conn.inbound.account())),
        alive: Alive::default(),
    }
}

/// Makes a link to that address, unless the node is stopped.
pub(super) async fn connect(
    shared: &ClientCore,
    at: usize,
    Patience { link: after, .. }: Patience,
) -> Result<Link, InitializationError> {
    let (node, config, connector) = (&shared.node, &shared.node.config, shared.addresses.connector(at));
    let endpoint = || connector.endpoint().to_string();
    let limits = LinkConfig::default().limits(config.limits);
    tokio::select! {
        biased;
        () = node.life.stopping.cancelled() => {
            Err(InitializationError::Handshake { endpoint: endpoint(), source: Disconnected::Stopped })
        }
        connected = in_time(after, connector.connect(&limits)) => match connected {
            Ok(link) => Ok(link?),
            Err(_) => Err(InitializationError::ConnectTimeout { endpoint: endpoint(), after }),
        },
    }
}

/// Waits for the answer to the handshake. Of a node that is stopped the connection ends, and if it
/// was answered before that, it does so in order.
async fn await_answer(
    mut answer: oneshot::Receiver<Result<(), Disconnected>>,
    node: &Node,
    conn: &Conn,
    floor: &mut HelloFloor<'_>,
) -> Result<(), Disconnected> {
    let answered = loop {
        tokio::select! {
            biased;
            answered = &mut answer => break answered,
            () = node.life.stopping.cancelled() => {
                conn.drain();
                break answer.await;
            }
            within = floor.is_over() => conn.hurry_handshake(within),
        }
    };
    answered.unwrap_or(Err(Disconnected::Stopped))
}

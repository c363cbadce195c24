//! How a client gets one connection.

use std::sync::Arc;

use daffi_transport::{Link, LinkConfig};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use super::{
    ClientConn, ClientCore,
    addresses::Patience,
    attempts::Attempts,
    callers::Callers,
    connection::ClientHandler,
    hello_line::{HelloLine, HelloTurn},
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

/// Tries each address once, beginning with the one whose turn it is. The one that works first has
/// it from then on.
///
/// `round`: how often that was done before, counted from 0.
pub(super) async fn establish_any(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    round: u32,
) -> Result<Arc<ClientConn>, InitializationError> {
    let (first, count) = (shared.addresses.at(), shared.addresses.len());
    let mut attempts = Attempts::new(shared, ends, None);
    let (mut begun, mut failed) = (0, Vec::new());
    while failed.len() < count {
        let next_at = attempts.next_at();
        tokio::select! {
            biased;
            (_, made) = attempts.ended() => match made {
                Ok(conn) => return Ok(conn),
                Err(error) if shared.node.life.is_stopping() && attempts.is_empty() => return Err(error),
                Err(error) => failed.push(error),
            },
            () = sleep_until(next_at), if begun < count => {
                attempts.begin((first + begun) % count, round);
                begun += 1;
            }
        }
    }
    shared.addresses.choose(first);
    Err(InitializationError::of_all(failed))
}

/// Makes a connection to that address, and waits for the server's answer to the handshake, which is
/// begun when it has its turn in this line.
///
/// `before`: the connection whose call numbers go on.
///
/// Gives the attempt up by itself when the node is stopped: either it fails then, or the connection
/// stands and is to be ended in order.
pub(super) async fn establish(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    line: &HelloLine,
    (at, patience): (usize, Patience),
) -> Result<Arc<ClientConn>, InitializationError> {
    let link = connect(shared, at, patience).await?;
    let turn = tokio::select! {
        biased;
        () = shared.node.life.stopping.cancelled() => {
            let endpoint = shared.addresses.connector(at).endpoint().to_string();
            return Err(InitializationError::Handshake { endpoint, source: Disconnected::Stopped });
        }
        turn = line.turn(patience.handshake) => turn,
    };
    shake_hands(shared, ends, before, (link, turn), (at, patience)).await
}

/// The same over a link that stands.
pub(super) async fn shake_hands(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    (link, mut turn): (Link, HelloTurn<'_>),
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
    let mut attempt = Attempt { shared, conn: &conn, before, works: false };
    attempt.contest();
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
    answered(answer, node, &conn, &mut turn).await.map_err(failed)?;
    attempt.works = true;
    shared.unanswered.end();
    Ok(client)
}

/// An attempt of which the handshake was sent: its server may take it for the connection of this
/// node, whatever comes of it here. Dropped, it ends unless it works.
struct Attempt<'a> {
    shared: &'a ClientCore,
    conn: &'a Conn,
    /// The connection before, which may stand.
    before: Option<&'a ClientConn>,
    works: bool,
}

impl Attempt<'_> {
    /// From here on an eviction of the connection before is likely to be its doing.
    fn contest(&self) {
        self.before.inspect(|before| before.contest.begin());
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.works {
            self.contest();
            self.shared.unanswered.begin();
            self.conn.end(Disconnected::Replaced, false);
        }
    }
}

/// What a connection makes of the frames that it gets: `opened` is told of the server's answer, and
/// `ends` of the end.
fn handler(
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
async fn answered(
    mut answer: oneshot::Receiver<Result<(), Disconnected>>,
    node: &Node,
    conn: &Conn,
    turn: &mut HelloTurn<'_>,
) -> Result<(), Disconnected> {
    let answered = loop {
        tokio::select! {
            biased;
            answered = &mut answer => break answered,
            () = node.life.stopping.cancelled() => {
                conn.drain();
                break answer.await;
            }
            within = turn.is_over() => conn.hurry_handshake(within),
        }
    };
    answered.unwrap_or(Err(Disconnected::Stopped))
}

//! How a client gets one connection.

use std::sync::{Arc, atomic::Ordering};

use daffi_transport::{Link, LinkConfig};
use tokio::sync::{mpsc, oneshot};

use super::{ClientConn, ClientCore, callers::Callers, connection::ClientHandler, token};
use crate::{
    conn::{Alive, Class, Conn, Driver},
    deadline::in_time,
    error::{Disconnected, InitializationError},
    serve::Node,
    session::{ClientSession, InFlight, Says},
};

/// Where a connection that has ended says so, and why.
pub(super) type Ends = mpsc::UnboundedSender<(u64, Disconnected)>;

/// Tries each address once, beginning with the one whose turn it is. The one that works has it from
/// then on.
///
/// `round`: how often that was done before, counted from 0. `before`: the connection whose call
/// numbers go on.
pub(super) async fn establish_any(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    round: u32,
) -> Result<Arc<ClientConn>, InitializationError> {
    let mut failed = Vec::new();
    loop {
        match establish(shared, ends, before, round).await {
            Ok(conn) => return Ok(conn),
            Err(error) if shared.node.life.is_stopping() => return Err(error),
            Err(error) => failed.push(error),
        }
        shared.addresses.advance();
        if failed.len() == shared.addresses.len() {
            return Err(InitializationError::of_all(failed));
        }
    }
}

/// Makes a connection to the address whose turn it is, and waits for the server's answer to the
/// handshake.
///
/// Gives the attempt up by itself when the node is stopped: either it fails then, or the connection
/// stands and is to be ended in order. Who drops this future may leave one behind that nobody ends.
pub(super) async fn establish(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    round: u32,
) -> Result<Arc<ClientConn>, InitializationError> {
    let (node, config, addresses) = (&shared.node, &shared.node.config, &shared.addresses);
    let endpoint = addresses.endpoint().to_string();
    let link = connect(shared, round).await?;
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
    // The connection is new: its outbox is open and empty.
    let _open = conn.send(Class::Notice, &hello);
    let patience = addresses.patience(config.handshake_timeout, round);
    let driver = Driver::new(link, Arc::clone(&conn), handler, config, patience, None);
    let cut = node.life.cut.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = driver.run() => {}
            () = cut.cancelled() => {}
        }
    });
    match answered(answer, node, &conn).await {
        Ok(()) => Ok(client),
        Err(reason) => {
            shared.unanswered.store(true, Ordering::Relaxed);
            Err(failed(reason))
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

/// Makes a link to the address whose turn it is, unless the node is stopped.
async fn connect(shared: &ClientCore, round: u32) -> Result<Link, InitializationError> {
    let (node, config, addresses) = (&shared.node, &shared.node.config, &shared.addresses);
    let endpoint = || addresses.endpoint().to_string();
    let after = addresses.patience(config.connect_timeout, round);
    let limits = LinkConfig::default().limits(config.limits);
    tokio::select! {
        biased;
        () = node.life.stopping.cancelled() => {
            Err(InitializationError::Handshake { endpoint: endpoint(), source: Disconnected::Stopped })
        }
        connected = in_time(after, addresses.connector().connect(&limits)) => match connected {
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
) -> Result<(), Disconnected> {
    let answered = tokio::select! {
        biased;
        answered = &mut answer => answered,
        () = node.life.stopping.cancelled() => {
            conn.drain();
            answer.await
        }
    };
    answered.unwrap_or(Err(Disconnected::Stopped))
}

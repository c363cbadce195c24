//! Connecting, as far as a byte stream.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use daffi_transport::{ConnectError, Endpoint, EndpointError, Phase};
use futures::{
    future::{Either, select},
    stream::{FuturesUnordered, StreamExt},
};
use tokio::{net::TcpStream, time::sleep};

use crate::{
    resolve::{ResolveError, resolve},
    socket::{canonical, configure, join_failures},
};

/// How long an attempt to connect has before the next address is tried beside it (RFC 8305, section
/// 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long silent addresses are waited for once all were tried and one of them has refused: a host
/// that is there refuses while its program starts anew, and is to be asked again soon. A lost first
/// packet is sent again within this time.
const SILENCE_BESIDE_A_REFUSAL: Duration = Duration::from_secs(2);

/// Makes a TCP connection to an endpoint of any scheme, with its options set, and gives the address
/// it went to. It is for transports that run on top of TCP.
///
/// The addresses of a host name are tried as RFC 8305 says: IPv6 and IPv4 in turn, the next one
/// when the one before failed or has not answered within [`ATTEMPT_DELAY`], and the first that
/// answers is taken. So an address that is silent costs that much. When all were tried and one has
/// refused, those that are silent are given up 2 s later; else there is no time limit of its own.
/// Cancel safe: dropped attempts are given up.
///
/// # Errors
/// [`ConnectError::Endpoint`] when the endpoint is not `host:port`, or its port is 0;
/// [`ConnectError::Failed`] when the host name can't be resolved (the error names it) or no address
/// can be reached (the error lists them, when there are several).
///
/// # Panics
/// When the host has several addresses, on a runtime without time enabled.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
/// use daffi_transport_tcp::{StreamListener, connect_stream};
/// let listener = StreamListener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
/// let (stream, address) = connect_stream(listener.endpoint()).await.unwrap();
/// assert_eq!(stream.peer_addr().unwrap(), address);
/// # });
/// ```
pub async fn connect_stream(endpoint: &Endpoint) -> Result<(TcpStream, SocketAddr), ConnectError> {
    connect_stream_by(endpoint, &AddressOrder::default()).await
}

/// Whether `endpoint` is one to connect to, whatever its scheme: `host:port`, and not port 0.
///
/// # Errors
/// The rule that it breaks.
pub fn check_to_connect(endpoint: &Endpoint) -> Result<(), EndpointError> {
    match endpoint.host_port()? {
        (_, 0) => {
            let rule = "port 0 is any that is free, and only to listen: connect to the one that the other end tells";
            Err(EndpointError::new(endpoint, rule))
        }
        _ => Ok(()),
    }
}

/// Connects as [`connect_stream`] does, for who connects again and again: the address that gave way
/// is tried last, by whatever attempt shares this order.
///
/// # Errors
/// The errors of [`connect_stream`].
///
/// # Panics
/// As [`connect_stream`] does.
pub async fn connect_stream_by(
    endpoint: &Endpoint,
    order: &AddressOrder,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    check_to_connect(endpoint)?;
    let addresses = resolve(endpoint).await.map_err(|error| match error {
        ResolveError::Endpoint(error) => error.into(),
        ResolveError::Host(source) => ConnectError::failed(endpoint, Phase::Resolve, source),
    })?;
    match first_of(order.apply(in_turn(addresses)), connect).await {
        Ok((address, stream)) => {
            order.note(address);
            Ok((stream, canonical(address)))
        }
        Err(failures) => Err(ConnectError::failed(endpoint, Phase::Connect, join_failures(failures))),
    }
}

/// Which of the addresses of one endpoint is tried last, because it was of no use. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct AddressOrder(Arc<Mutex<TriedAddresses>>);

#[derive(Debug, Default)]
struct TriedAddresses {
    /// Where the last stream went to.
    last: Option<SocketAddr>,
    gave_way: Option<SocketAddr>,
}

impl AddressOrder {
    /// The address to which the last stream went is tried last from now on.
    pub fn give_way(&self) {
        let mut tried = self.lock();
        tried.gave_way = tried.last.or(tried.gave_way);
    }

    fn note(&self, address: SocketAddr) {
        self.lock().last = Some(address);
    }

    fn apply(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let gave_way = self.lock().gave_way;
        // The addresses behind it are next, so that each is tried however many are of no use.
        if let Some(at) = addresses.iter().position(|address| Some(*address) == gave_way) {
            addresses.rotate_left(at + 1);
        }
        addresses
    }

    fn lock(&self) -> MutexGuard<'_, TriedAddresses> {
        // Nothing in it can be half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives addresses of both families in turn, beginning with the family that the resolver puts
/// first; each family in the resolver's order.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first = |address: &SocketAddr| addresses.first().is_some_and(|first| first.is_ipv4() == address.is_ipv4());
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::with_capacity(addresses.len());
    while first.len() + second.len() > 0 {
        ordered.extend(first.next().into_iter().chain(second.next()));
    }
    ordered
}

/// Gives the first attempt that succeeds. Each begins when the one before failed, or after
/// [`ATTEMPT_DELAY`].
async fn first_of<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<(SocketAddr, T), Vec<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            let outcome = attempt(address);
            running.push(async move { (address, outcome.await) });
        }
        let refused = failures.iter().any(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
        let patience = match waiting.len() {
            0 if refused => Some(SILENCE_BESIDE_A_REFUSAL),
            0 => None,
            _ => Some(ATTEMPT_DELAY),
        };
        let outcome = match patience {
            None => running.next().await,
            Some(patience) => match select(running.next(), pin!(sleep(patience))).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) if waiting.len() == 0 => return Err(with_silent(&addresses, failures)),
                Either::Right(_) => continue,
            },
        };
        match outcome {
            Some((address, Ok(value))) => return Ok((address, value)),
            Some((address, Err(error))) => failures.push((address, error)),
            None => return Err(failures),
        }
    }
}

/// The addresses of which nothing was heard, and behind them all that failed.
fn with_silent(all: &[SocketAddr], failures: Vec<(SocketAddr, io::Error)>) -> Vec<(SocketAddr, io::Error)> {
    let silent = all.iter().copied().filter(|one| failures.iter().all(|(address, _)| address != one));
    let error = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {SILENCE_BESIDE_A_REFUSAL:?}"));
    silent.map(|address| (address, error())).collect::<Vec<_>>().into_iter().chain(failures).collect()
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Some systems call it invalid to ask about a connection that the other end has reset already.
    let gone = |error| io::Error::new(io::ErrorKind::ConnectionAborted, error);
    // Whoever keeps trying a free local port gets it as its own port one day, and meets itself.
    if stream.local_addr().map_err(gone)? == stream.peer_addr().map_err(gone)? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    configure(&stream).map_err(gone)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        for (given, ordered) in [
            (&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"][..], &["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"][..]),
            (&["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
        ] {
            assert_eq!(in_turn(addresses(given)), addresses(ordered));
        }
    }

    #[test]
    fn an_address_that_took_the_stream_and_was_of_no_use_is_tried_last() {
        let all = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1"]);
        let order = AddressOrder::default();
        order.give_way();
        assert_eq!(order.apply(all.clone()), all, "there was none");
        order.note(all[0]);
        assert_eq!(order.apply(all.clone()), all, "it may be of use");
        order.clone().give_way();
        assert_eq!(order.apply(all.clone()), [all[1], all[2], all[0]]);
        order.note(all[1]);
        order.give_way();
        assert_eq!(order.apply(all.clone()), [all[2], all[0], all[1]]);
        assert_eq!(order.apply(vec![all[1]]), [all[1]], "the only one is tried");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_moment_and_a_refused_one_nothing() {
        let all = addresses(&["1.1.1.1:1", "1.1.1.2:2", "1.1.1.3:3", "1.1.1.4:4"]);
        let start = Instant::now();
        let (address, began) = first_of(all.clone(), |address| async move {
            let began = start.elapsed();
            match address.port() {
                1 | 3 => pending().await,
                2 => Err(io::ErrorKind::ConnectionRefused.into()),
                _ => Ok(began),
            }
        })
        .await
        .unwrap();
        assert_eq!((address, began, start.elapsed()), (all[3], 2 * ATTEMPT_DELAY, 2 * ATTEMPT_DELAY));

        // One that is slow is not given up for those behind it.
        let slow = |address: SocketAddr| async move {
            if address.port() > 1 {
                pending::<()>().await;
            }
            sleep(4 * ATTEMPT_DELAY).await;
            Ok(())
        };
        assert_eq!(first_of(all.clone(), slow).await.unwrap().0, all[0]);

        // Of the others one has refused: they are not waited for as long as the caller would.
        let start = Instant::now();
        let one_refused = |address: SocketAddr| async move {
            match address.port() {
                4 => Err::<(), _>(io::ErrorKind::ConnectionRefused.into()),
                _ => pending().await,
            }
        };
        let failures = first_of(all.clone(), one_refused).await.unwrap_err();
        assert_eq!(failures.iter().map(|(address, _)| *address).collect::<Vec<_>>(), all);
        assert_eq!(failures[0].1.to_string(), "no answer within 2s");
        assert_eq!(start.elapsed(), 3 * ATTEMPT_DELAY + SILENCE_BESIDE_A_REFUSAL);

        let refused = |_| async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)) };
        let failures = first_of(all.clone(), refused).await.unwrap_err();
        assert_eq!(failures.into_iter().map(|(address, _)| address).collect::<Vec<_>>(), all);
    }
}

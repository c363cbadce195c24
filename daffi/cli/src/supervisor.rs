//! What a supervisor such as systemd is told of a node (`NOTIFY_SOCKET`): that it is ready, reads
//! its settings again, stops, and still turns.

use std::{
    convert::Infallible,
    env,
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::{Arc, LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use sd_notify::NotifyState;

/// Everything for the supervisor goes through it, in order: one that reads nothing stops no node.
/// `None`: there is none, or no thread to be had.
static SUPERVISOR: LazyLock<Option<Arc<NewsLine>>> = LazyLock::new(|| {
    let place = env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty())?;
    let (line, news) = NewsLine::new();
    let (line, mut supervisor) = (Arc::new(line), Supervisor { place, socket: None });
    let taken = Arc::clone(&line);
    let telling = move || {
        for news in news {
            taken.take(news);
            supervisor.tell(news);
            taken.note_told();
        }
    };
    thread::Builder::new().name("supervisor".to_owned()).spawn(telling).ok()?;
    Some(line)
});

/// What waits at most for a supervisor that reads nothing; the rest is lost.
const UNREAD: usize = 64;

/// What waits for the supervisor. That the node turns stands there once: else one that reads late
/// would hear of nothing else.
struct NewsLine {
    news: mpsc::SyncSender<News>,
    untold: Mutex<Untold>,
    told: Condvar,
}

#[derive(Default)]
struct Untold {
    count: usize,
    says_alive: bool,
}

impl NewsLine {
    fn new() -> (Self, mpsc::Receiver<News>) {
        let (news, waiting) = mpsc::sync_channel(UNREAD);
        (Self { news, untold: Mutex::default(), told: Condvar::new() }, waiting)
    }

    fn tell(&self, news: News) {
        let mut untold = self.untold.lock();
        if news == News::Alive && untold.says_alive {
            return;
        }
        // Where nobody reads it is lost.
        if self.news.try_send(news).is_ok() {
            untold.count += 1;
            untold.says_alive |= news == News::Alive;
        }
    }

    /// Notes that this is being told.
    fn take(&self, news: News) {
        if news == News::Alive {
            self.untold.lock().says_alive = false;
        }
    }

    fn note_told(&self) {
        self.untold.lock().count -= 1;
        self.told.notify_all();
    }

    /// Waits until all was told, for so long at most.
    fn finish(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut untold = self.untold.lock();
        while untold.count > 0 && !self.told.wait_until(&mut untold, until).timed_out() {}
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Ready,
    Reloading,
    /// What it was to take over cannot be used.
    NotReloaded,
    Stopping,
    /// It still stops, as orderly as its settings say, and is not to be killed meanwhile.
    StillStopping,
    /// The runtime still turns.
    Alive,
}

/// How often the supervisor is told that a node still stops; it waits twice as long.
const STILL: Duration = Duration::from_micros(STILL_MICROS as u64);
const STILL_MICROS: u32 = 10_000_000;

/// Tells the supervisor, if there is one. Never waits.
pub(crate) fn tell(news: News) {
    if let Some(supervisor) = &*SUPERVISOR {
        supervisor.tell(news);
    }
}

/// Waits for so long at most until the supervisor of a node that has ended was told all.
pub(crate) fn finish(patience: Duration) {
    if let Some(supervisor) = &*SUPERVISOR {
        supervisor.finish(patience);
    }
}

/// The supervisor, and the socket to it: one that is kept needs no file descriptor when none is
/// left, just when a supervisor that hears nothing would end the node.
struct Supervisor {
    place: OsString,
    socket: Option<UnixDatagram>,
}

impl Supervisor {
    fn tell(&mut self, news: News) {
        let told = message(news).and_then(|message| {
            // It may have been started again since the last time.
            self.send(&message).or_else(|_| self.send(&message))
        });
        if let Err(error) = told {
            tracing::warn!(%error, ?news, "the supervisor at NOTIFY_SOCKET cannot be told");
        }
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        socket.send(message.as_bytes())?;
        self.socket = Some(socket);
        Ok(())
    }

    /// As `sd_notify(3)` says: `@` begins an abstract name, all else is a path.
    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        match self.place.as_bytes() {
            [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            _ => socket.connect(&self.place)?,
        }
        Ok(socket)
    }
}

fn message(news: News) -> io::Result<String> {
    Ok(match news {
        News::Ready => NotifyState::Ready.to_string(),
        // The time tells this reload from others; what came of the last one says nothing any more.
        News::Reloading => {
            let (time, status) = (NotifyState::monotonic_usec_now()?, NotifyState::Status(""));
            format!("{}\n{time}\n{status}", NotifyState::Reloading)
        }
        News::NotReloaded => {
            NotifyState::Status("not reloaded, and all stays as it is: the log has the reason").to_string()
        }
        News::Stopping => NotifyState::Stopping.to_string(),
        News::StillStopping => NotifyState::ExtendTimeoutUsec(2 * STILL_MICROS).to_string(),
        News::Alive => NotifyState::Watchdog.to_string(),
    })
}

/// Tells that the node stops, and then for as long as it is polled that it still does.
pub(crate) async fn keep_stopping() -> Infallible {
    tell(News::Stopping);
    let mut turns = tokio::time::interval(STILL);
    loop {
        turns.tick().await;
        tell(News::StillStopping);
    }
}

/// Tells for as long as it is polled that the runtime turns, as often as the supervisor wants it
/// (`WATCHDOG_USEC`).
pub(crate) async fn keep_telling() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut turns = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        turns.tick().await;
        tell(News::Alive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_that_reads_late_hears_what_happened() {
        let (line, news) = NewsLine::new();
        for what in [News::Reloading, News::Ready, News::Stopping] {
            (0..2 * UNREAD).for_each(|_| line.tell(News::Alive));
            line.tell(what);
        }
        let told = |news| {
            line.take(news);
            line.note_told();
            news
        };
        let heard = || news.try_iter().map(told).collect::<Vec<_>>();
        assert_eq!(heard(), [News::Alive, News::Reloading, News::Ready, News::Stopping]);
        // One that reads nothing for very long hears again that the node turns.
        (0..2 * UNREAD).for_each(|_| line.tell(News::Ready));
        line.tell(News::Alive);
        assert_eq!(heard(), [News::Ready; UNREAD]);
        line.tell(News::Alive);
        assert_eq!(heard(), [News::Alive]);
    }

    #[test]
    fn a_node_that_ends_waits_for_a_while_until_all_was_told() {
        let (line, news) = NewsLine::new();
        line.tell(News::Stopping);
        line.finish(Duration::ZERO);
        thread::scope(|scope| {
            let ends = scope.spawn(|| line.finish(Duration::from_secs(60)));
            assert_eq!(news.recv(), Ok(News::Stopping));
            line.note_told();
            ends.join().unwrap();
        });
        assert_eq!(line.untold.lock().count, 0);
    }
}

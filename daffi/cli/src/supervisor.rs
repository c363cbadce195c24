//! What a supervisor such as systemd is told of a node (`NOTIFY_SOCKET`): that it is ready, reads
//! its settings again, stops, and still turns.

use std::{
    env,
    sync::{LazyLock, mpsc},
    thread,
    time::Duration,
};

use sd_notify::NotifyState;

/// Everything for the supervisor goes through it, in order: one that reads nothing stops no node.
/// `None`: there is none, or no thread to be had.
static SUPERVISOR: LazyLock<Option<mpsc::SyncSender<News>>> = LazyLock::new(|| {
    env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?;
    let (sender, news) = mpsc::sync_channel(UNREAD);
    let telling = move || news.into_iter().for_each(tell_now);
    thread::Builder::new().name("supervisor".to_owned()).spawn(telling).ok()?;
    Some(sender)
});

/// What waits at most for a supervisor that reads nothing; the rest is lost.
const UNREAD: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    Ready,
    Reloading,
    Stopping,
    /// The runtime still turns.
    Alive,
}

/// Tells the supervisor, if there is one. Never waits.
pub(crate) fn tell(news: News) {
    if let Some(supervisor) = &*SUPERVISOR {
        let _lost_where_nobody_reads = supervisor.try_send(news);
    }
}

fn tell_now(news: News) {
    let told = match news {
        News::Ready => sd_notify::notify(&[NotifyState::Ready]),
        // The time tells this reload from others.
        News::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
        }
        News::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        News::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
    };
    if let Err(error) = told {
        tracing::warn!(%error, ?news, "the supervisor at NOTIFY_SOCKET cannot be told");
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

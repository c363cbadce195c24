//! Lines of one kind that come too often: a stranger can cause as many as it likes.

use std::{
    collections::HashMap,
    fmt::Debug,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of one kind that are written at once, as when many nodes start.
const BURST: f64 = 200.0;
/// Lines of one kind that are written in each second after that.
const RATE: f64 = 20.0;
/// How often it is told what was left out.
const TELL: Duration = Duration::from_secs(2);

/// Writes lines of one kind, which are those of one place in the code, only so often, and counts
/// the rest. Debug lines are all written: somebody asked for them.
#[derive(Clone)]
pub(crate) struct Seldom(Arc<Kinds>);

#[derive(Default)]
struct Kinds {
    kinds: Mutex<HashMap<Identifier, Kind>>,
    /// Something was left out.
    some: Condvar,
}

/// The lines of one place in the code.
struct Kind {
    /// What may be written now.
    room: f64,
    looked: Instant,
    left_out: u64,
    /// What the last one that was left out says, without its fields.
    says: String,
    level: Level,
}

/// Lines of one kind that were left out.
struct LeftOut {
    lines: u64,
    like: String,
    level: Level,
}

impl Seldom {
    /// Tells what it leaves out from a thread that ends with the process.
    pub(crate) fn new() -> io::Result<Self> {
        let shared = Arc::<Kinds>::default();
        let telling = Arc::clone(&shared);
        thread::Builder::new().name("left out".to_owned()).spawn(move || telling.tell_on())?;
        Ok(Self(shared))
    }

    /// Tells what was left out since it was told last.
    pub(crate) fn tell(&self) {
        self.0.tell();
    }
}

impl<S: Subscriber> Layer<S> for Seldom {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        *event.metadata().level() > Level::INFO || self.0.admits(event)
    }
}

impl Kinds {
    fn admits(&self, event: &Event<'_>) -> bool {
        let now = Instant::now();
        let mut kinds = self.kinds.lock();
        let kind =
            kinds.entry(event.metadata().callsite()).or_insert_with(|| Kind::new(*event.metadata().level(), now));
        if kind.takes(now) {
            return true;
        }
        if kind.left_out == 0 {
            kind.says = message(event);
            self.some.notify_one();
        }
        kind.left_out += 1;
        false
    }

    fn tell_on(&self) {
        loop {
            self.some.wait_while(&mut self.kinds.lock(), |kinds| kinds.values().all(|kind| kind.left_out == 0));
            thread::sleep(TELL);
            self.tell();
        }
    }

    fn tell(&self) {
        // The lock is given back first, because what is told is an event, too.
        let left_out: Vec<_> = self.kinds.lock().values_mut().filter_map(Kind::take).collect();
        for LeftOut { lines, like, level } in left_out {
            if level == Level::ERROR {
                tracing::error!(lines, like, "lines of one kind were left out");
            } else {
                tracing::warn!(lines, like, "lines of one kind were left out");
            }
        }
    }
}

impl Kind {
    fn new(level: Level, now: Instant) -> Self {
        Self { room: BURST, looked: now, left_out: 0, says: String::new(), level }
    }

    fn takes(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.looked).as_secs_f64();
        (self.room, self.looked) = ((self.room + since * RATE).min(BURST), now);
        if self.room < 1.0 {
            return false;
        }
        self.room -= 1.0;
        true
    }

    fn take(&mut self) -> Option<LeftOut> {
        let lines = std::mem::take(&mut self.left_out);
        (lines > 0).then(|| LeftOut { lines, like: std::mem::take(&mut self.says), level: self.level })
    }
}

/// What a line says, without its fields.
fn message(event: &Event<'_>) -> String {
    struct Message(String);
    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "message" {
                self.0 = format!("{value:?}");
            }
        }
    }
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn of_one_kind_some_lines_are_written_and_the_rest_is_counted() {
        let (lines, seldom) = (Lines::default(), Seldom(Arc::default()));
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log.with(seldom.clone()), || {
            for stranger in 0..1000 {
                tracing::info!(stranger, "refused a handshake");
                tracing::debug!("asked for");
            }
            tracing::info!("another kind");
            seldom.tell();
            seldom.tell();
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        // As fast as this test is, some more than those written at once.
        let written = count("refused a handshake stranger=");
        assert!((200..1000).contains(&written), "{written}");
        assert_eq!((count("asked for"), count("another kind"), count("were left out")), (1000, 1, 1));
        let told = text.lines().last().unwrap();
        assert!(told.contains(&format!("lines={} like=\"refused a handshake\"", 1000 - written)), "{told}");
    }

    #[test]
    fn room_comes_back_with_time() {
        let now = Instant::now();
        let mut kind = Kind::new(Level::INFO, now);
        let taken = |kind: &mut Kind, at| (0..1000).filter(|_| kind.takes(at)).count();
        assert_eq!(taken(&mut kind, now), 200);
        assert_eq!(taken(&mut kind, now + Duration::from_secs(1)), 20);
        assert_eq!(taken(&mut kind, now + Duration::from_secs(1000)), 200);
    }
}

//! What the nodes of this process warned of lately, for the text of a failure.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

/// Lines that are kept.
const TAIL: usize = 40;

static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

fn lines() -> MutexGuard<'static, VecDeque<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to keep warnings, unless this process has another use for them.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let kept = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::WARN).with_writer(Keep);
        let _taken = tracing::subscriber::set_global_default(kept.finish());
    });
}

/// The last warnings, oldest first. Tests that run beside this one gave theirs, too.
pub(crate) fn warnings() -> Vec<String> {
    lines().iter().cloned().collect()
}

struct Keep;

impl MakeWriter<'_> for Keep {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl io::Write for Keep {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = lines();
        if lines.len() == TAIL {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

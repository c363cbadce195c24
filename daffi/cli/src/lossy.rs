//! A writer that never waits for its reader.

use std::{
    io::{self, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::output;

/// Bytes that wait for a reader who is slow or gone. As many again are with the thread that writes.
const ROOM: usize = 1 << 20;

/// Lines on their way to a file that may be a full pipe or a stopped terminal: a thread writes
/// them, and what does not fit is dropped. How many lines that were is told as soon as somebody
/// reads again.
#[derive(Clone)]
pub(crate) struct Lossy(Arc<Pipe>);

struct Pipe {
    room: usize,
    queue: Mutex<Queue>,
    /// Something is in the queue.
    filled: Condvar,
    /// Something was written.
    drained: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    dropped: u64,
    /// The thread has taken lines and not yet written them.
    writing: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }
}

impl Lossy {
    /// Writes to `file` from a thread that ends with the process.
    pub(crate) fn new(file: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_room(file, ROOM)
    }

    fn with_room(file: impl Write + Send + 'static, room: usize) -> io::Result<Self> {
        let (queue, filled, drained) = Default::default();
        let shared = Arc::new(Pipe { room, queue, filled, drained });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_on(file))?;
        Ok(Self(shared))
    }

    /// Waits until all is written, for so long at most; `None`: for as long as it takes.
    pub(crate) fn flush(&self, patience: Option<Duration>) {
        let until = patience.map(|patience| Instant::now() + patience);
        let mut queue = self.0.queue.lock();
        while queue.writing || !queue.is_empty() {
            match until {
                Some(until) if self.0.drained.wait_until(&mut queue, until).timed_out() => return,
                Some(_) => {}
                None => self.0.drained.wait(&mut queue),
            }
        }
    }
}

impl Write for Lossy {
    /// Each call is one line, which is queued whole, or dropped and counted.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queue = self.0.queue.lock();
        // Lines stay in order: behind a gap comes its length, and no further line before that.
        if queue.dropped > 0 || queue.lines.len() + line.len() > self.0.room {
            queue.dropped += 1;
        } else {
            queue.lines.extend_from_slice(line);
        }
        self.0.filled.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn write_on(&self, mut file: impl Write) {
        loop {
            let (lines, dropped) = {
                let mut queue = self.queue.lock();
                self.filled.wait_while(&mut queue, |queue| queue.is_empty());
                queue.writing = true;
                let Queue { lines, dropped, .. } = &mut *queue;
                (std::mem::take(lines), std::mem::take(dropped))
            };
            // A file that is closed for good takes nothing, and whatever comes is lost then.
            let _unread = file.write_all(&lines);
            if dropped > 0 {
                let note = format!("{dropped} lines of the log were dropped: nobody read it fast enough");
                let _unread = file.write_all(&output::note_line(&note));
            }
            let _unread = file.flush();
            self.queue.lock().writing = false;
            self.drained.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a write each time it is told to, and says what that was.
    struct Reader {
        go: mpsc::Receiver<()>,
        taken: mpsc::Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            let _test_is_over = self.taken.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_in_its_place() {
        let (go, taken) = (mpsc::channel(), mpsc::channel());
        let mut log = Lossy::with_room(Reader { go: go.1, taken: taken.0 }, 8).unwrap();
        log.write_all(b"one\n").unwrap();
        // The thread has it as soon as the queue is empty.
        while !log.0.queue.lock().is_empty() {
            thread::yield_now();
        }
        for line in ["two\n", "six\n", "lost\n", "x\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        log.flush(Some(Duration::ZERO));
        for _ in 0..8 {
            go.0.send(()).unwrap();
        }
        let told = "2 lines of the log were dropped: nobody read it fast enough\n";
        let mut all = String::new();
        while !all.ends_with(told) {
            all += &taken.1.recv().unwrap();
        }
        assert_eq!(all, format!("one\ntwo\nsix\n{told}"));
        log.write_all(b"on\n").unwrap();
        log.flush(None);
        assert_eq!(taken.1.recv().unwrap(), "on\n");
    }
}

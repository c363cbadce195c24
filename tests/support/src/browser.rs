use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::python::run;

/// Nothing on a page takes so long unless it hangs; a browser may start slowly.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where it is, installed where that is ours to do.
pub(crate) fn chromium() -> &'static Path {
    static CHROMIUM: OnceLock<PathBuf> = OnceLock::new();
    CHROMIUM.get_or_init(|| PathBuf::from(run("scripts/chromium")))
}

/// A folder of its own for a browser.
pub(crate) fn profile() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    env::temp_dir().join(format!("daffi-browser-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed)))
}

/// Removes such a folder once the browser has ended.
pub(crate) fn remove(profile: &Path) {
    // Its other processes end by themselves, and may still write there for a moment.
    for _ in 0..50 {
        match fs::remove_dir_all(profile) {
            Ok(()) => return,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A real Chromium without a window that shows one page. It ends with this value.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    said: Receiver<String>,
    profile: PathBuf,
}

impl Browser {
    /// Opens a page.
    ///
    /// # Panics
    /// When there is no Chromium, or it cannot be started; the text says why.
    #[must_use]
    pub fn open(url: &str) -> Self {
        let (chromium, profile) = (chromium(), profile());
        let mut child = Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(["--enable-logging=stderr", url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", chromium.display()));
        let stderr = child.stderr.take().expect("it is a pipe");
        let (sender, said) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { child, said, profile }
    }

    /// The next lines that the page writes with `console.log`, errors included. Blocks the thread.
    ///
    /// # Panics
    /// When they do not come; the text has all that the browser said instead.
    #[must_use]
    pub fn console(&self, count: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let (mut lines, mut all) = (Vec::new(), String::new());
        while lines.len() < count {
            let Ok(line) = self.said.recv_timeout(end.saturating_duration_since(Instant::now())) else {
                panic!("the page wrote {lines:?} and no {count} lines; the browser said\n{all}");
            };
            // [..:INFO:CONSOLE:9] "text", source: http://.. (9)
            if let Some((_, text)) = line.split_once(":CONSOLE")
                && let Some((_, text)) = text.split_once("] \"")
                && let Some((text, _)) = text.rsplit_once("\", source: ")
            {
                lines.push(text.to_owned());
            }
            all.push_str(&line);
            all.push('\n');
        }
        lines
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
        remove(&self.profile);
    }
}

//! `daffi top` on a whole terminal: what it shows, keys, another size, a router that is started
//! again, and how it leaves the terminal.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use daffi::Client;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use vt100::Parser;

use crate::support::{Running, command, end_of, handed, signal};

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command on a terminal of its own.
struct Top {
    child: Child,
    /// The end at which a person would sit.
    terminal: File,
    seen: Arc<Mutex<Parser>>,
    line: File,
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Top {
    fn start(at: &str) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        tcsetwinsize(&terminal, size(24, 120)).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let line = OpenOptions::new().read(true).write(true).open(&name).unwrap();
        let open = || Stdio::from(line.try_clone().unwrap());
        // So that it hears of another size, and of Ctrl-C.
        let inner = command(&["top", at, "--interval", "300ms"]);
        let mut in_session = Command::new("setsid");
        in_session.arg("--ctty").arg(inner.get_program()).args(inner.get_args());
        in_session.env("TERM", "xterm-256color").stdin(open()).stdout(open()).stderr(open());
        let child = in_session.spawn().unwrap();
        let (seen, mut reader) =
            (Arc::new(Mutex::new(Parser::new(24, 120, 0))), File::from(terminal).try_clone().unwrap());
        let terminal = reader.try_clone().unwrap();
        let shown = Arc::clone(&seen);
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut some) {
                shown.lock().unwrap().process(&some[..read]);
            }
        });
        Self { child, terminal, seen, line }
    }

    fn text(&self) -> String {
        self.seen.lock().unwrap().screen().contents()
    }

    /// Waits until what it shows is so.
    fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.text()) {
            assert!(begun.elapsed() < PATIENCE, "not {what}:\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn shows(&self, words: &str) {
        self.wait(words, |text| text.contains(words));
    }

    fn press(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end, and looks at the terminal that it leaves.
    fn ends(mut self, code: i32) {
        let seen = Arc::clone(&self.seen);
        let status = end_of(&mut self.child, || seen.lock().unwrap().screen().contents());
        assert_eq!(status.code(), Some(code), "{}", self.text());
        let begun = Instant::now();
        while self.seen.lock().unwrap().screen().alternate_screen() {
            assert!(begun.elapsed() < PATIENCE, "the screen is not as it was");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!self.seen.lock().unwrap().screen().hide_cursor());
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "{modes:?}");
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The names of the nodes, in their order.
fn order(text: &str, names: &[&str]) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with("NODE")).skip(1);
    let first = lines.filter_map(|line| line.split_whitespace().next());
    first.filter(|name| names.contains(name)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_shows_what_keys_ask_for_and_is_left_as_it_was() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", socket.local_addr().unwrap());
    let start = || handed(socket.try_clone().unwrap(), "calls", &["router", "--listen", "fd://3"]);
    let mut router = start();
    router.endpoint();
    let (_b, _a) = (Running::worker(&at, "beta"), Running::worker(&at, "alpha"));
    let hostile = Client::builder("evil\u{1b}[2J\u{202e}").connect(&at).await.unwrap();
    hostile.wait_for_members(&["alpha", "beta"], None).await.unwrap();
    let waiting = tokio::spawn(hostile.rpc().receiver("beta").call::<f64>("sleep", (600.0,)));

    let names = ["alpha", "beta"];
    tokio::task::block_in_place(|| {
        let mut top = Top::start(&at);
        top.shows("3 members");
        top.shows(r"evil\u{1b}[2J\u{202e}");
        top.shows("beta answered nothing for");
        top.wait("beta first, which needs attention", |text| order(text, &names) == ["beta", "alpha"]);
        top.press("s");
        top.wait("alpha first, by name", |text| order(text, &names) == ["alpha", "beta"]);
        top.press("r");
        top.wait("beta first, turned round", |text| order(text, &names) == ["beta", "alpha"]);
        top.press("/ALPHA");
        top.shows("names with: ALPHA_");
        top.wait("alpha alone", |text| order(text, &names) == ["alpha"]);
        top.press("\r");
        top.shows("of names with ALPHA");
        top.press("\u{1b}");
        top.wait("both again", |text| order(text, &names).len() == 2);

        // A smaller window is drawn anew.
        top.seen.lock().unwrap().screen_mut().set_size(12, 60);
        tcsetwinsize(&top.terminal, size(12, 60)).unwrap();
        top.wait("within 60 columns", |text| {
            text.lines().count() <= 12 && text.lines().last().is_some_and(|line| line.starts_with("q ends"))
        });

        router.signal("KILL");
        router.end();
        top.shows("asking again");
        router = start();
        router.endpoint();
        top.wait("the router again", |text| !text.contains("asking again") && order(text, &names).len() == 2);
        top.press("q");
        top.ends(0);

        let mut top = Top::start(&at);
        top.shows("members");
        top.press("\u{3}");
        top.ends(0);
        let top = Top::start(&at);
        top.shows("members");
        signal(&top.child, "TERM");
        top.ends(0);
    });
    waiting.abort();
}

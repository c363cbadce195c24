//! Runs the binary.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run of the command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its answer, when it succeeded and complained about nothing.
    pub(crate) fn answer(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Its answer as JSON on one line.
    pub(crate) fn json(&self) -> Value {
        let line = self.answer().strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "one line: {line}");
        serde_json::from_str(line).unwrap()
    }

    /// What it complained about in one sentence, when it failed with this code and answered
    /// nothing.
    pub(crate) fn failure(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_slice()), (Some(code), &b""[..]), "{self:?}");
        let sentence = self.stderr.strip_prefix("error: ").and_then(|text| text.strip_suffix('\n'));
        let sentence = sentence.unwrap_or_else(|| panic!("{self:?}"));
        assert!(!sentence.contains('\n'), "one line: {sentence}");
        sentence
    }
}

/// The command, without what the environment of the tests may say.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daffi"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("XDG_CONFIG_HOME", "/nobody/has/contexts");
    for name in ["DAFFI_ADDR", "RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

pub(crate) fn run(args: &[&str]) -> Ran {
    finished(command(args).spawn().unwrap())
}

/// The command where no more than so many files may be open.
pub(crate) fn command_of_few_files(most: u32, args: &[&str]) -> Command {
    in_shell(&format!(r#"ulimit -n {most}; exec "$0" "$@""#), args)
}

/// The command as a script starts it, which has it as `"$0" "$@"`. Nothing is open there but stdin,
/// stdout and stderr, whatever these tests inherited: each file counts where few may be open.
pub(crate) fn in_shell(script: &str, args: &[&str]) -> Command {
    const CLOSE_INHERITED: &str =
        r#"for fd in /proc/self/fd/*; do [ ${fd##*/} -le 2 ] || eval "exec ${fd##*/}>&-"; done; "#;
    let inner = command(args);
    // The shell of POSIX names no descriptor above 9.
    let mut shell = Command::new("bash");
    shell.args(["-c", &[CLOSE_INHERITED, script].concat()]).arg(inner.get_program()).args(args);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Starts it as a supervisor does that keeps a listening socket: it finds that as descriptor 3,
/// under a name.
pub(crate) fn handed(socket: impl Into<OwnedFd>, name: &str, args: &[&str]) -> Running {
    let inner = command(args);
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 </dev/null"#]).arg(inner.get_program()).args(args);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
    Running::adopt(shell.stdin(socket.into()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Runs it with `stdin`.
pub(crate) fn run_with(args: &[&str], stdin: &[u8]) -> Ran {
    let mut child = command(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    finished(child)
}

pub(crate) fn finished(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Ran { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Sends a signal by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}

/// Waits until a process has handlers for SIGINT and SIGTERM.
pub(crate) fn hears_signals(child: &Child) {
    const BOTH: u64 = 1 << (2 - 1) | 1 << (15 - 1);
    let begun = Instant::now();
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & BOTH == BOTH {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not catch both");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A command that runs until it is stopped. Its stdout and stderr are kept line by line.
pub(crate) struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::adopt(command(args).spawn().unwrap())
    }

    /// Reads those of its pipes that nobody else does.
    pub(crate) fn adopt(mut child: Child) -> Self {
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_default();
        let stderr = child.stderr.take().map(Lines::of).unwrap_or_default();
        Self { child, stdout, stderr }
    }

    /// A demo service on a free port.
    pub(crate) fn demo() -> Self {
        Self::start(&["demo", "--listen", "tcp://127.0.0.1:0", "--name", "demo"])
    }

    /// A router on a free port.
    pub(crate) fn router() -> Self {
        Self::start(&["router", "--listen", "tcp://127.0.0.1:0"])
    }

    /// A demo worker of a router, connected.
    pub(crate) fn worker(router: &str, name: &str) -> Self {
        let worker = Self::start(&["demo", "--connect", router, "--name", name]);
        worker.log("connected to");
        worker
    }

    /// The first endpoint it prints.
    pub(crate) fn endpoint(&self) -> String {
        self.answer("://")
    }

    /// Waits for a line of stdout that contains `text`.
    pub(crate) fn answer(&self, text: &str) -> String {
        self.stdout.wait(text).unwrap_or_else(|| panic!("no {text:?} on stdout; {}", self.told()))
    }

    /// Waits until so many lines of stdout are `text`.
    pub(crate) fn nth_answer(&self, text: &str, count: usize) {
        let enough = |lines: &Vec<String>| lines.iter().filter(|line| *line == text).count() >= count;
        let lines = self.stdout.wait_for(enough);
        assert!(enough(&lines), "{lines:?}");
    }

    /// Waits for a line of stderr that contains `text`.
    pub(crate) fn log(&self, text: &str) -> String {
        self.stderr.wait(text).unwrap_or_else(|| panic!("no {text:?} on stderr; {}", self.told()))
    }

    /// Waits until the lines of stderr are so.
    pub(crate) fn log_until(&self, enough: impl Fn(&Vec<String>) -> bool) {
        let lines = self.stderr.wait_for(&enough);
        assert!(enough(&lines), "{lines:?}");
    }

    pub(crate) fn told(&self) -> String {
        format!("stdout {:?}, stderr {:?}", self.stdout.so_far(), self.stderr.so_far())
    }

    /// All lines so far.
    pub(crate) fn told_lines(&self) -> String {
        [self.stdout.so_far(), self.stderr.so_far()].concat().join("\n")
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let (stdout, stderr) = (&self.stdout, &self.stderr);
        end_of(&mut self.child, || format!("stdout {:?}, stderr {:?}", stdout.so_far(), stderr.so_far()))
    }
}

/// Waits for the end of a process.
pub(crate) fn end_of(child: &mut Child, told: impl Fn() -> String) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end; {}", told());
        thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The lines of a pipe as they come.
#[derive(Default)]
struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines: Arc<(Mutex<Vec<String>>, Condvar)> = Arc::default();
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                kept.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                kept.1.notify_all();
            }
        });
        Self(lines)
    }

    fn wait(&self, text: &str) -> Option<String> {
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        found(&self.wait_for(|lines| found(lines).is_some()))
    }

    /// What there is as soon as it is enough, or when it was waited for long enough.
    fn wait_for(&self, enough: impl Fn(&Vec<String>) -> bool) -> MutexGuard<'_, Vec<String>> {
        let lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.1.wait_timeout_while(lines, PATIENCE, |lines| !enough(lines)).unwrap().0
    }

    fn so_far(&self) -> Vec<String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A file of these bytes, which goes when it is dropped.
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let path = env::temp_dir().join(format!("daffi-cli-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

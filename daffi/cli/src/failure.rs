//! What can go wrong, in a sentence that says what to do, and as an exit code.

use std::{error::Error, io};

use daffi::{
    CallError, Disconnected, Ended, InitializationError, Shown, TlsSettingsError,
    transport::{BindError, ConnectError, LinkError},
};
use rustix::io::Errno;

use crate::{interrupts::Signal, names::shown_name, output};

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The callback raised an error, or the call failed otherwise.
    Failed(String),
    /// Something about the command line, or a file named there.
    Usage(String),
    /// There is no connection, or it was lost before the answer.
    NoConnection(String),
    /// No answer came in time.
    TimedOut(String),
    /// It cannot listen where it should.
    NotListening(String),
    /// A node ended in order, but for calls that it cut off.
    CutOff(String),
    /// A signal ended it.
    Interrupted(Signal),
    /// A signal ended a call: that it was cancelled, and how far it was.
    Cancelled(Signal, String),
    /// Nobody reads stdout any more, as under `head`.
    PipeClosed,
}

impl Failure {
    /// Says what went wrong on stderr, as a line of JSON if asked to, and gives the exit code.
    pub(crate) fn report(self, json: bool) -> u8 {
        let (code, sentence) = match self {
            Self::Failed(sentence) => (1, sentence),
            Self::Usage(sentence) => (2, sentence),
            Self::NoConnection(sentence) => (3, sentence),
            Self::TimedOut(sentence) => (4, sentence),
            Self::NotListening(sentence) => (5, sentence),
            Self::CutOff(sentence) => (6, sentence),
            Self::Interrupted(signal) => return signal.exit_code(),
            Self::Cancelled(signal, note) if json => (signal.exit_code(), note),
            Self::Cancelled(signal, note) => {
                output::tell(&note);
                return signal.exit_code();
            }
            Self::PipeClosed => return 0,
        };
        if json {
            output::complain_in_json(&sentence, code)
        } else {
            output::complain(&sentence, code)
        }
        code
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Timeout { .. } => Self::TimedOut(hinted(&text, "--timeout TIME waits longer")),
            CallError::ReceiverNotFound { ref method, ref receiver } => {
                Self::Failed(nobody(&error, method, receiver.as_deref(), "daffi members"))
            }
            // It says itself that the call did not run.
            CallError::Disconnected(_) if error.is_retryable() => Self::NoConnection(text),
            // It says itself what may become of the call.
            CallError::Stopped => Self::NoConnection(text),
            CallError::CannotConnect(ref why) => {
                Self::NoConnection(format!("the call was not sent: {}", cannot_connect(Some(&Shown::new(why).to_string()))))
            }
            // Its own words are for programs.
            CallError::Evicted => Self::NoConnection(
                "a newer connection took the name of this one; whether the callback ran is unknown: choose another --name, or \
                 leave it out"
                    .to_owned(),
            ),
            CallError::ReceiverGone { .. } | CallError::Disconnected(_) => {
                Self::NoConnection(format!("{text}; whether the callback ran is unknown"))
            }
            CallError::Encode { .. }
            | CallError::TransmissionFailure { .. }
            | CallError::Extensions { .. }
            | CallError::FormatUnsupported { .. } => Self::Usage(text),
            _ => Self::Failed(text),
        }
    }
}

impl Failure {
    /// What went wrong, without what it was done for.
    pub(crate) fn sentence(&self) -> &str {
        match self {
            Self::Failed(text)
            | Self::Usage(text)
            | Self::NoConnection(text)
            | Self::TimedOut(text)
            | Self::NotListening(text)
            | Self::CutOff(text)
            | Self::Cancelled(_, text) => text,
            Self::Interrupted(_) => "interrupted",
            Self::PipeClosed => "nobody reads the answer",
        }
    }

    /// The same failure with words before its sentence.
    pub(crate) fn preceded_by(self, words: &str) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(words.to_owned() + &text),
            Self::Usage(text) => Self::Usage(words.to_owned() + &text),
            Self::NoConnection(text) => Self::NoConnection(words.to_owned() + &text),
            Self::TimedOut(text) => Self::TimedOut(words.to_owned() + &text),
            Self::NotListening(text) => Self::NotListening(words.to_owned() + &text),
            Self::CutOff(text) => Self::CutOff(words.to_owned() + &text),
            other => other,
        }
    }
}

impl From<InitializationError> for Failure {
    fn from(error: InitializationError) -> Self {
        let text = with_causes(&error);
        match &error {
            InitializationError::ConnectTimeout { .. }
            | InitializationError::Handshake { source: Disconnected::HandshakeTimeout(_), .. } => {
                Self::NoConnection(hinted(&text, "--connect-timeout TIME waits longer"))
            }
            InitializationError::Connect(ConnectError::Failed { .. }) | InitializationError::Handshake { .. } => {
                let advice = advice(&error);
                Self::NoConnection(text + advice)
            }
            // It says of each address what to do.
            InitializationError::AllFailed(_) if error.is_retryable() => Self::NoConnection(text),
            InitializationError::Bind(BindError::Io { .. }) => {
                Self::NotListening(text + io_cause(&error).map_or("", lack))
            }
            InitializationError::Meaningless { setting, with, rule } => {
                let option = match *setting {
                    "websocket_keepalive" => "ws-ping".to_owned(),
                    setting => setting.replace('_', "-"),
                };
                Self::Usage(format!("--{option} has no meaning with {with}: {rule}"))
            }
            _ => Self::Usage(text),
        }
    }
}

/// What else can be done, behind a sentence: behind a question a new one begins.
fn hinted(text: &str, hint: &str) -> String {
    let join = if text.ends_with('?') { "" } else { ";" };
    format!("{text}{join} {hint}")
}

/// Nobody exposes what is called, with the command that lists who is there.
pub(crate) fn nobody(error: &CallError, method: &str, receiver: Option<&str>, list: &str) -> String {
    let name = shown_name(method);
    let text = match receiver {
        // It says itself what an empty name is.
        _ if method.is_empty() || receiver == Some("") => error.to_string(),
        Some(receiver) => format!("{} is not a member that exposes {name}", shown_name(receiver)),
        None => format!("no member exposes {name}"),
    };
    format!("{text}; `{list}` lists who is there and what they expose")
}

/// How a node ended that was not stopped, in words for who started the command; `why` is the last
/// failure of a client that has no connection. `None`: it was stopped, and all was done.
pub(crate) fn of_end(how: Ended, name: &str, why: Option<&str>) -> Option<Failure> {
    let name = shown_name(name);
    Some(match how {
        Ended::Stopped => return None,
        Ended::Evicted => {
            Failure::NoConnection(format!("a newer connection took the name {name}: choose another --name"))
        }
        Ended::CutOff(calls) => Failure::CutOff(format!(
            "{calls} {} not answered when --grace was over, and cut off: a longer --grace waits for more",
            if calls == 1 { "call was" } else { "calls were" }
        )),
        Ended::Unsent { requests, bytes } => Failure::CutOff(format!(
            "{requests} requests that nobody answers, {bytes} bytes, were not sent when --grace was over: the router takes nothing"
        )),
        Ended::CannotConnect => Failure::NoConnection(cannot_connect(why)),
        Ended::Panicked => Failure::Failed(format!(
            "{name} ended by an error of daffi itself: start it again, and report the panic that was told"
        )),
        // What is left of it are ends that this process brings about itself.
        _ => Failure::Failed(format!("{name} ended before it was told to: start it again")),
    })
}

/// It does not help to try again what cannot work as it was started.
fn cannot_connect(why: Option<&str>) -> String {
    let why = why.unwrap_or("no address can be connected to");
    format!("no connection can come about as this was started, so it tries no more: {why}; {MEND}")
}

/// What to do about a connection that can never be.
const MEND: &str = "choose another --name or address, whichever that says, and start it again";

/// Signals cannot be heard.
pub(crate) fn unheard(error: &io::Error) -> Failure {
    Failure::Failed(format!("signals cannot be listened for: {error}{}", lack(error)))
}

/// What an error says, and behind it what caused it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the system says of a node that could not be started.
fn io_cause(error: &InitializationError) -> Option<&io::Error> {
    match error {
        InitializationError::Connect(ConnectError::Failed { source, .. }) => of_system(&**source),
        InitializationError::Bind(BindError::Io { source, .. }) => Some(source),
        InitializationError::Handshake { source: Disconnected::Link(LinkError::Io(error)), .. } => Some(error),
        _ => None,
    }
}

/// The system's error, if it is one or is behind one.
fn of_system<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    match error.downcast_ref() {
        Some(io) => Some(io),
        None => of_system(error.source()?),
    }
}

/// What the command can do beyond what the error says.
fn advice(error: &InitializationError) -> &'static str {
    match error {
        InitializationError::Connect(error) if error.is_nobody_there() => " with `daffi demo --listen URL`",
        error => io_cause(error).map_or("", lack),
    }
}

/// What to do for a process that can open no file and no socket, or start no thread.
pub(crate) fn lack(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "; raise `ulimit -n`, in systemd LimitNOFILE=, or ask for fewer connections",
        Some(Errno::NFILE) => {
            "; all of this machine's files are open: raise `sysctl fs.file-max`, or end what opens so many"
        }
        Some(Errno::AGAIN) => {
            "; raise the number of threads that the user and the container may have: `ulimit -u`, in systemd TasksMax="
        }
        _ => "",
    }
}

/// Why a file cannot be read, and what to do about that.
pub(crate) fn not_read(error: &io::Error) -> String {
    format!("cannot be read: {error}{}", advice_to_read(error))
}

/// What is wrong with settings, and what to do where a file of them cannot be read.
pub(crate) fn of_settings(error: &TlsSettingsError) -> Failure {
    let advice = match error {
        TlsSettingsError::Read { source, .. } => advice_to_read(source),
        _ => "",
    };
    Failure::Usage(with_causes(error) + advice)
}

/// What to do about a file that cannot be read.
fn advice_to_read(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; check the path: one that does not begin with / begins in the current directory",
        io::ErrorKind::PermissionDenied => {
            "; this user may not read it: check the permissions of the file and of its directories"
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => "; name a file, and not a directory",
        io::ErrorKind::InvalidData => "; save it as UTF-8",
        _ => lack(error),
    }
}

/// A failure to write the answer.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Failed(format!("the answer cannot be written: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who reads both would dare to repeat nothing.
    #[test]
    fn what_did_not_run_is_not_called_unknown() {
        let said = |reason| Failure::from(CallError::Disconnected(reason)).sentence().to_owned();
        for reason in [Disconnected::NotConnected, Disconnected::ServerStopped] {
            let said = said(reason);
            assert!(said.ends_with("; the call did not run"), "{said}");
        }
        let unknown = said(Disconnected::PeerClosed);
        assert!(unknown.ends_with("whether the callback ran is unknown"), "{unknown}");
    }
}

//! Each error says what to do next, or there is a reason why it need not.

use std::{io, sync::Arc, time::Duration};

use daffi_serde::{RemoteError, SerdeError};
use daffi_transport::{BindError, ConnectError, Endpoint, EndpointError, LinkError, Phase};
use daffi_wire::{DecodeError, EncodeError, ExtensionError, FormatId, Limits, NodeName};

use super::*;
use crate::config::UnusableSetting;

/// Words of the sentence that say what to do, or why there are none.
enum Next {
    Says(&'static str),
    Needs(&'static str),
}
use Next::{Needs, Says};

/// Rows of variant, an error of it, and what it says next. A variant without a row does not
/// compile.
macro_rules! rows {
    ($type:ty: $($variant:pat => $error:expr, $next:expr;)*) => {
        for (row, error, next) in [$((stringify!($variant), $error, $next)),*] {
            let error: $type = error;
            let variant = match &error { $($variant => stringify!($variant)),* };
            assert_eq!(row, variant, "the error in the row is another");
            let said = error.to_string();
            match next {
                Says(words) => assert!(said.contains(words), "{row}: {said}"),
                Needs(why) => assert!(!why.is_empty(), "{row}"),
            }
        }
    };
}

const SECOND: Duration = Duration::from_secs(1);
const TOO_LARGE: EncodeError = EncodeError::FrameTooLarge { size: 2, limit: 1 };

fn text(of: &str) -> String {
    of.to_owned()
}

fn io_error() -> io::Error {
    io::Error::from(io::ErrorKind::Other)
}

fn serde() -> SerdeError {
    SerdeError::decode(FormatId::JSON, io_error())
}

fn timeout(waited_for: WaitedFor) -> CallError {
    CallError::Timeout { receiver: text("w"), method: text("f"), after: SECOND, waited_for, last_failure: None }
}

#[test]
fn of_calls() {
    use CallError::*;
    let (f, w) = (|| text("f"), || text("w"));
    const THERE: Next = Needs("the node that refused says it all");
    rows! { CallError:
        Remote { .. } => Remote { receiver: w(), method: f(), error: RemoteError::new("ValueError", "bad") }, Needs("the callback's own words");
        Timeout { .. } => timeout(WaitedFor::Connection), Says("is the server there?");
        ReceiverNotFound { .. } => ReceiverNotFound { method: f(), receiver: None }, Needs("the command adds who is there, and near names");
        NoReceivers { .. } => NoReceivers { method: f() }, Says("name at least one");
        ReceiverGone { .. } => ReceiverGone { receiver: w(), method: f() }, Needs("nobody did it; whether it ran is unknown");
        Overloaded(_) => Overloaded(f()), THERE;
        Stopping(_) => Stopping(f()), THERE;
        AnswerLost(_) => AnswerLost(f()), THERE;
        Unanswered(_) => Unanswered(f()), THERE;
        Disconnected(_) => Disconnected(super::Disconnected::NotConnected), Says("one is being made; the call did not run");
        Evicted => Evicted, Says("give every node a name of its own");
        Stopped => Stopped, Says("connect a new one");
        RuntimeGone => RuntimeGone, Says("keep it for as long as");
        CannotConnect(_) => CannotConnect("the name is taken".into()), Says("as it is set up, and tries no more: the name is taken");
        Encode { .. } => Encode { method: f(), source: serde() }, Needs("the format says which others carry it");
        Decode { .. } => Decode { method: f(), source: serde() }, Needs("the format says what came and what was asked for");
        TransmissionFailure { .. } => TransmissionFailure { method: f(), source: TOO_LARGE }, Needs("the limit is named");
        Cancelled { .. } => Cancelled { method: f() }, Needs("who asked for it waits no more");
        LevelUnsupported { .. } => LevelUnsupported { receiver: w(), method: f(), reason: "it takes none: send them as a list".to_owned() }, Says("send them as a list");
        BodyTooLarge(_) => BodyTooLarge(f()), THERE;
        Item { .. } => Item { method: f(), number: 1, source: serde() }, Needs("the format says what came and what was asked for");
        Items { .. } => Items { method: f(), reason: f() }, Needs("the reason says it");
        Extensions { .. } => Extensions { method: f(), source: ExtensionError::TooLong { size: 2, limit: 1 } }, Needs("the limit is named");
        ExtensionUnsupported(_) => ExtensionUnsupported(f()), THERE;
        FormatUnsupported { .. } => FormatUnsupported { receiver: w(), format: FormatId::POSTCARD }, Says("use MSGPACK");
        Layer(_) => Layer(Arc::new(io_error())), Needs("the program's own layer says it");
    }
}

#[test]
fn of_timeouts() {
    for (waited_for, next) in [
        (WaitedFor::Connection, "is the server there?"),
        (WaitedFor::Receiver, "w was no member that exposes \"f\" within 1s"),
        (WaitedFor::Members, "is it running, and connected to the same address?"),
        (WaitedFor::Readiness, "is the client connected?"),
        (WaitedFor::Room, "is it slow, or are too many sent?"),
        (WaitedFor::Answer, "no answer of w to f within 1s"),
    ] {
        // One more has a row here, too.
        match waited_for {
            WaitedFor::Connection | WaitedFor::Receiver | WaitedFor::Members => {}
            WaitedFor::Readiness | WaitedFor::Room | WaitedFor::Answer => {}
        }
        let said = timeout(waited_for).to_string();
        assert!(said.contains(next), "{said}");
    }
    let timeout = |receiver: &str, method: &str, waited_for, reason: Option<&str>| {
        let (receiver, method, last_failure) = (text(receiver), text(method), reason.map(Arc::from));
        CallError::Timeout { receiver, method, after: SECOND, waited_for, last_failure }.to_string()
    };
    let any = timeout("any member", "f", WaitedFor::Receiver, None);
    assert!(
        any.starts_with("no member exposed \"f\" within 1s") && any.contains("is a node that has it there?"),
        "{any}"
    );
    let no_connection = |method, reason| timeout("any member", method, WaitedFor::Connection, reason);
    assert_eq!(no_connection("wait_for_connection", None), "no connection within 1s; is the server there?");
    assert_eq!(
        no_connection("f", Some("no\nTLS")),
        r#"no connection within 1s, so "f" was not called: no\nTLS"#,
        "a reason that is known stands in the place of the question"
    );
}

#[test]
fn of_connections() {
    use Disconnected::*;
    const HAPPENED: Next = Needs("it happened, and a client comes back by itself");
    rows! { Disconnected:
        NotConnected => NotConnected, Says("one is being made");
        PeerClosed => PeerClosed, HAPPENED;
        ServerStopped => ServerStopped, HAPPENED;
        ServerCutOff => ServerCutOff, HAPPENED;
        Link(_) => Link(LinkError::Protocol(DecodeError::UnknownKind(77))), HAPPENED;
        Protocol(_) => Protocol(Arc::new(ProtocolError::Renamed(text("other")))), Needs("a peer's fault, of which the rule is named");
        SlowPeer { .. } => SlowPeer { moved: 1, within: SECOND, waiting: 2 }, HAPPENED;
        SlowSender { .. } => SlowSender { moved: 1, within: SECOND, unfinished: 2 }, HAPPENED;
        Silent(_) => Silent(SECOND), HAPPENED;
        Unreachable(_) => Unreachable(SECOND), HAPPENED;
        HandshakeTimeout(_) => HandshakeTimeout(SECOND), Says("is the other end a daffi node?");
        Refused(_) => Refused(text("no")), Needs("the server says why");
        TokenWithheld(_) => TokenWithheld("the server takes none: connect without one"), Says("connect without one");
        Evicted => Evicted, Says("give every node a name of its own");
        SameName(_) => SameName(text("me")), Says("give this node another name");
        Limit { .. } => Limit { what: "queue", size: 2, limit: 1 }, Needs("the limit and the value are named");
        RuntimeGone => RuntimeGone, Needs("the program did it, and the error of its calls says what to do");
        Replaced => Replaced, HAPPENED;
        Stopped => Stopped, HAPPENED;
    }
}

#[test]
fn of_nodes_that_have_ended() {
    use Ended::*;
    rows! { Ended:
        Stopped => Stopped, Needs("somebody meant it");
        CutOff(_) => CutOff(2), Says("2 calls that were not done when grace was over were cut off: a longer grace waits for more");
        Unsent { .. } => Unsent { requests: 1, bytes: 2 }, Says("does it stand still?");
        Evicted => Evicted, Says("give every node a name of its own");
        CannotConnect => CannotConnect, Says("correct what its last_failure() says");
        RuntimeGone => RuntimeGone, Says("start a new one on a runtime that is kept");
        Panicked => Panicked, Says("report the panic");
    }
    assert!(CutOff(1).to_string().contains("1 call that was not done when grace was over was cut off"));
}

#[test]
fn of_nodes_that_cannot_be_started() {
    use InitializationError::*;
    let at: Endpoint = "tcp://127.0.0.1:5000".parse().unwrap();
    let name = NodeName::new("a|b", &Limits::default()).unwrap_err();
    let setting = UnusableSetting { name: "workers", value: text("0"), rule: "must be 1 or more" };
    let meaningless = Meaningless { setting: "tls", with: text("tcp://"), rule: "write tls:// in its place" };
    rows! { InitializationError:
        Name(_) => Name(name), Needs("the character that a name may not hold is named");
        DuplicateCallback(_) => DuplicateCallback(text("f")), Says("give one of them another name");
        ResultAsValue(_) => ResultAsValue(text("f")), Says("try_callback_fn");
        Bind(_) => Bind(BindError::Endpoint(EndpointError::new(&at, "a rule"))), Needs("the rule is named, or the system says it; the command adds what to do");
        Connect(_) => Connect(ConnectError::failed(&at, Phase::Connect, io::Error::from(io::ErrorKind::ConnectionRefused))), Says("nobody listens there: check the address, or start a node there");
        ConnectTimeout { .. } => ConnectTimeout { endpoint: at.to_string(), after: SECOND }, Says("is the server there");
        Handshake { .. } => Handshake { endpoint: at.to_string(), source: Disconnected::HandshakeTimeout(SECOND) }, Says("is the other end a daffi node?");
        Hello { .. } => Hello { source: TOO_LARGE }, Needs("size and limit are named");
        Thread(_) => Thread(io_error()), Says("raise the limit");
        NoRuntime => NoRuntime, Says("begin it in #[tokio::main]");
        NoEndpoint => NoEndpoint, Says("needs at least one endpoint");
        NoAddress => NoAddress, Says("needs at least one address");
        AllFailed(_) => AllFailed(vec![NoAddress, NoEndpoint]), Says("needs at least one address");
        Setting(_) => Setting(setting), Says("must be 1 or more");
        Meaningless { .. } => meaningless, Says("write tls:// in its place");
        NotOwnFormat(_) => NotOwnFormat(FormatId::JSON), Says("FormatId::user(64)");
        LooksOnly => LooksOnly, Says("leave them out");
        Ended(_) => Ended(super::Ended::Stopped), Says("start a new one");
    }
}

/// In a sentence without quotes a name's blanks would be those of the sentence.
#[test]
fn no_blank_of_a_name_is_lost() {
    use CallError::*;
    let (f, w) = (|| text("two  blanks "), || text(" \u{a0}worker"));
    let timed_out = |waited_for| Timeout { receiver: w(), method: f(), after: SECOND, waited_for, last_failure: None };
    let waits = [WaitedFor::Connection, WaitedFor::Receiver, WaitedFor::Members, WaitedFor::Readiness, WaitedFor::Room];
    let errors = waits.into_iter().chain([WaitedFor::Answer]).map(timed_out).chain([
        Remote { receiver: w(), method: f(), error: RemoteError::new("ValueError", "bad") },
        ReceiverNotFound { method: f(), receiver: None },
        ReceiverNotFound { method: f(), receiver: Some(w()) },
        ReceiverNotFound { method: f(), receiver: Some(String::new()) },
        NoReceivers { method: f() },
        ReceiverGone { receiver: w(), method: f() },
        Encode { method: f(), source: serde() },
        Decode { method: f(), source: serde() },
        TransmissionFailure { method: f(), source: TOO_LARGE },
        Cancelled { method: f() },
        LevelUnsupported { receiver: w(), method: f(), reason: "it takes none".to_owned() },
        Item { method: f(), number: 1, source: serde() },
    ]);
    for error in errors {
        let said = error.to_string();
        // Between quotes, as names of callbacks stand with what is wrong with their arguments, each
        // blank is seen.
        let bare = said.split('"').step_by(2).collect::<Vec<_>>().join("x");
        assert!(!bare.contains("  ") && !bare.contains('\u{a0}') && !bare.contains("blanks "), "{said}");
    }
}

//! What the errors of the facade say, and what is behind them.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::{error::Error, io, sync::Arc, time::Duration};

use daffi::{
    BindError, BodyError, CallError, ConnectError, DecodeError, Disconnected, EncodeError, FormatId,
    InitializationError, LinkError, NameError, NodeName, ProtocolError, RemoteError, SendError, SerdeError,
    StreamError, WaitedFor,
    transport::{AcceptError, Endpoint, EndpointError, Phase},
};

fn boxed(error: impl Error + Send + Sync + 'static) -> Box<dyn Error + Send + Sync> {
    Box::new(error)
}

/// An error with a source of its own, as those of libraries are.
#[derive(Debug, thiserror::Error)]
#[error("refused by a library")]
struct Refused(#[source] NameError);

fn refused() -> io::Error {
    io::Error::other(Refused(name_error()))
}

fn name_error() -> NameError {
    NodeName::new("a|b", &daffi::Limits::default()).unwrap_err()
}

fn body_error() -> BodyError {
    daffi_wire::Handshake::parse(b"no JSON", &daffi::Limits::default()).unwrap_err()
}

fn disconnected() -> Vec<Disconnected> {
    let second = Duration::from_secs(1);
    vec![
        Disconnected::NotConnected,
        Disconnected::PeerClosed,
        Disconnected::ServerStopped,
        Disconnected::ServerCutOff,
        LinkError::from(refused()).into(),
        LinkError::from(DecodeError::UnknownKind(77)).into(),
        Disconnected::Protocol(Arc::new(ProtocolError::Body(body_error()))),
        Disconnected::Protocol(Arc::new(ProtocolError::Renamed("other".into()))),
        Disconnected::SlowPeer { moved: 1, within: second, waiting: 2 },
        Disconnected::Silent(second),
        Disconnected::Refused("no".into()),
        Disconnected::Evicted,
    ]
}

fn calls() -> Vec<CallError> {
    let method = || "add".to_owned();
    let serde = || SerdeError::decode(FormatId::JSON, refused());
    let mut all = vec![
        CallError::Remote { receiver: "calc".into(), method: method(), error: RemoteError::new("ValueError", "bad") },
        CallError::Timeout {
            receiver: "calc".into(),
            method: method(),
            after: Duration::from_secs(1),
            waited_for: WaitedFor::Answer,
            last_failure: None,
        },
        CallError::Overloaded("too much".into()),
        CallError::Encode { method: method(), source: serde() },
        CallError::Decode { method: method(), source: serde() },
        CallError::Item { method: method(), number: 1, source: serde() },
        CallError::TransmissionFailure { method: method(), source: EncodeError::FrameTooLarge { size: 2, limit: 1 } },
        CallError::Layer(Arc::new(refused())),
    ];
    all.extend(disconnected().into_iter().map(CallError::Disconnected));
    all
}

fn setups() -> Vec<InitializationError> {
    let at: Endpoint = "tcp://127.0.0.1:5000".parse().unwrap();
    let endpoint = || EndpointError::new(&at, "a rule");
    let mut all = vec![
        InitializationError::Name(name_error()),
        InitializationError::DuplicateCallback("add".into()),
        BindError::Endpoint(endpoint()).into(),
        BindError::Io { endpoint: at.clone(), source: refused() }.into(),
        BindError::Settings { endpoint: at.clone(), source: boxed(refused()) }.into(),
        ConnectError::Endpoint(endpoint()).into(),
        ConnectError::Settings { endpoint: at.clone(), source: boxed(refused()) }.into(),
        ConnectError::failed(&at, Phase::Connect, refused()).into(),
        InitializationError::Hello { source: EncodeError::FrameTooLarge { size: 2, limit: 1 } },
        InitializationError::Thread(refused()),
    ];
    let handshake = |source| InitializationError::Handshake { endpoint: at.to_string(), source };
    all.extend(disconnected().into_iter().map(handshake));
    all
}

#[test]
fn no_error_says_what_its_source_says() {
    let mut all: Vec<Box<dyn Error>> = Vec::new();
    all.extend(disconnected().into_iter().map(|error| Box::new(error) as Box<dyn Error>));
    all.extend(calls().into_iter().map(|error| Box::new(error) as Box<dyn Error>));
    let streams = calls().into_iter().map(|source| StreamError::new(3, source));
    all.extend(streams.map(|error| Box::new(error) as Box<dyn Error>));
    all.extend(setups().into_iter().map(|error| Box::new(error) as Box<dyn Error>));
    let phases = [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Opening];
    all.extend(phases.map(|phase| Box::new(AcceptError::failed(phase, refused())) as Box<dyn Error>));
    all.push(Box::new(AcceptError::Silent));
    all.push(Box::new(LinkError::from(refused())));
    all.push(Box::new(body_error()));
    all.push(Box::new(ProtocolError::Body(body_error())));
    all.push(Box::new(daffi::NotAClient));
    #[cfg(feature = "tls")]
    {
        let file = || "CA file \"ca.pem\"".to_owned();
        all.push(Box::new(daffi::TlsSettingsError::Read { file: file(), source: refused() }));
        all.push(Box::new(daffi::TlsSettingsError::Unusable { file: file(), source: boxed(refused()) }));
        all.push(Box::new(daffi::TlsError::Tls(boxed(refused()))));
        all.push(Box::new(daffi::TlsError::Io(refused())));
    }
    let mut sources = 0;
    for error in &all {
        let mut outer: &dyn Error = &**error;
        while let Some(inner) = outer.source() {
            let (said, behind) = (outer.to_string(), inner.to_string());
            assert!(!said.contains(&behind), "{error:?}: {said:?} has the words of its source, {behind:?}");
            outer = inner;
            sources += 1;
        }
    }
    assert!(sources > 15, "errors have sources: {sources}");
}

#[test]
fn what_can_be_done_about_an_error_is_in_its_sentence_or_behind_it() {
    let said = |error: &dyn Error| {
        let (mut text, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    };
    let at: Endpoint = "tcp://127.0.0.1:5000".parse().unwrap();
    let taken = || io::Error::new(io::ErrorKind::AddrInUse, "the address is taken");
    let bind = InitializationError::from(BindError::Io { endpoint: at, source: taken() });
    assert_eq!(said(&bind), "cannot listen on tcp://127.0.0.1:5000: the address is taken");
    let reset = LinkError::from(io::Error::new(io::ErrorKind::ConnectionReset, "reset by the peer"));
    assert_eq!(said(&CallError::Disconnected(reset.into())), "disconnected: reset by the peer");
    let broken = LinkError::from(DecodeError::UnknownKind(77));
    assert_eq!(
        said(&CallError::Disconnected(broken.into())),
        "disconnected: the peer broke the protocol: unknown frame kind 77: a link of level 3 carries 0 to 4"
    );
}

/// Most programs print an error by `{error}`, and not what is behind it.
#[test]
fn an_error_says_its_cause_by_itself() {
    let at: Endpoint = "tcp://127.0.0.1:5000".parse().unwrap();
    let cause = || io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens");
    let said = |error: &dyn Error| {
        let text = error.to_string();
        assert!(text.ends_with("nobody listens") && error.source().is_none(), "{text}");
        text
    };
    let failed = |phase| ConnectError::failed(&at, phase, cause());
    assert_eq!(said(&failed(Phase::Connect)), "cannot connect to tcp://127.0.0.1:5000: nobody listens");
    for phase in [Phase::Resolve, Phase::Tls, Phase::Opening] {
        said(&failed(phase));
        said(&InitializationError::from(failed(phase)));
        said(&AcceptError::failed(phase, cause()));
    }
    said(&ConnectError::Settings { endpoint: at.clone(), source: boxed(cause()) });
    said(&BindError::Io { endpoint: at.clone(), source: cause() });
    said(&BindError::Settings { endpoint: at.clone(), source: boxed(cause()) });
    said(&SendError::<_, CallError>::Source(cause()));
    #[cfg(feature = "tls")]
    {
        let file = || "CA file \"ca.pem\"".to_owned();
        said(&daffi::TlsSettingsError::Read { file: file(), source: cause() });
        said(&daffi::TlsSettingsError::Pem { file: file(), source: boxed(cause()) });
        said(&daffi::TlsSettingsError::Unusable { file: file(), source: boxed(cause()) });
    }
}

/// Who loops on it neither spins on a slip of the pen nor gives up on what may work later.
#[test]
fn what_may_work_later_is_told_from_what_cannot() {
    let at: Endpoint = "tcp://127.0.0.1:5000".parse().unwrap();
    let endpoint = || EndpointError::new(&at, "a rule");
    let of_kind = |kind: io::ErrorKind| io::Error::new(kind, "why");
    let bind = |kind| InitializationError::from(BindError::Io { endpoint: at.clone(), source: of_kind(kind) });
    let connect = |phase, kind| InitializationError::from(ConnectError::failed(&at, phase, of_kind(kind)));
    let handshake = |source| InitializationError::Handshake { endpoint: at.to_string(), source };
    let timeout = || InitializationError::ConnectTimeout { endpoint: at.to_string(), after: Duration::from_secs(1) };
    let later = [
        bind(io::ErrorKind::AddrInUse),
        bind(io::ErrorKind::AddrNotAvailable),
        connect(Phase::Resolve, io::ErrorKind::Other),
        connect(Phase::Connect, io::ErrorKind::ConnectionRefused),
        connect(Phase::Tls, io::ErrorKind::Other),
        timeout(),
        handshake(Disconnected::PeerClosed),
        handshake(Disconnected::HandshakeTimeout(Duration::from_secs(1))),
        handshake(Disconnected::Refused("the name is taken".into())),
        handshake(LinkError::from(DecodeError::UnknownKind(77)).into()),
        InitializationError::Thread(refused()),
        InitializationError::AllFailed(vec![ConnectError::Endpoint(endpoint()).into(), timeout()]),
    ];
    let never = [
        InitializationError::Name(name_error()),
        InitializationError::DuplicateCallback("add".into()),
        BindError::Endpoint(endpoint()).into(),
        BindError::Settings { endpoint: at.clone(), source: boxed(refused()) }.into(),
        bind(io::ErrorKind::InvalidInput),
        ConnectError::Endpoint(endpoint()).into(),
        ConnectError::Settings { endpoint: at.clone(), source: boxed(refused()) }.into(),
        connect(Phase::Connect, io::ErrorKind::InvalidInput),
        handshake(Disconnected::TokenWithheld("why")),
        handshake(Disconnected::SameName("calc".into())),
        handshake(Disconnected::Stopped),
        InitializationError::AllFailed(vec![ConnectError::Endpoint(endpoint()).into()]),
        InitializationError::NoAddress,
        InitializationError::LooksOnly,
    ];
    for error in later {
        assert!(error.is_retryable(), "{error:?}");
    }
    for error in never {
        assert!(!error.is_retryable(), "{error:?}");
    }
}

#[test]
fn a_call_whose_time_was_up_before_it_was_sent_may_be_made_again() {
    use WaitedFor::{Answer, Connection, Members, Readiness, Receiver, Room};
    for (waited_for, again) in
        [(Connection, true), (Receiver, true), (Members, true), (Readiness, true), (Room, true), (Answer, false)]
    {
        let (receiver, method, after) = ("calc".to_owned(), "add".to_owned(), Duration::from_secs(1));
        let error = CallError::Timeout { receiver, method, after, waited_for, last_failure: None };
        assert_eq!((error.is_retryable(), waited_for.is_before_sending()), (again, again), "{error:?}");
    }
}

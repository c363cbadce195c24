//! Any frame survives a round trip, any split of the stream gives the same frames, and no input panics.

use bytes::BytesMut;
use daffi_wire::{
    CallId, EventBody, EventKind, FormatId, Frame, FrameDecoder, Handshake, Header, Kind, Level, Limits, Member,
    MethodName, NodeName, NodeType, Opening, Role, credit_amount, credit_frame,
};
use proptest::prelude::*;

fn frames() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![
        Just(Kind::Handshake),
        Just(Kind::Request),
        Just(Kind::Response),
        Just(Kind::Error),
        Just(Kind::Events)
    ];
    let format = prop_oneof![
        Just(FormatId::OPAQUE),
        Just(FormatId::JSON),
        Just(FormatId::PICKLE),
        Just(FormatId::MSGPACK),
        Just(FormatId::POSTCARD)
    ];
    let name = "[^|]{0,12}";
    (
        kind,
        any::<u16>(),
        format,
        any::<bool>(),
        any::<bool>(),
        (name, name, name),
        prop::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(kind, id, format, text, wants, (a, b, c), payload)| {
            let header = Header::new(kind, CallId(id), format, text, wants);
            Frame::new(header, &a, &b, &c, &payload, &Limits::default()).expect("small names and payloads fit")
        })
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let limits = Limits::default();
    let name = "[^|]{1,12}".prop_map(move |name| NodeName::new(name, &limits).expect("no separator in it"));
    let methods = prop::collection::vec("[^|,]{1,12}", 0..4).prop_map(move |names| {
        // Outer blanks, blanks only included, make no name.
        names.iter().filter_map(|name| MethodName::new(name.trim(), &limits).ok()).collect()
    });
    prop::collection::vec((name, methods).prop_map(|(name, methods)| Member::new(name, methods)), 0..4)
}

fn node_types() -> impl Strategy<Value = NodeType> {
    let role = prop_oneof![Just(Role::Client), Just(Role::Service), Just(Role::Router)];
    (role, prop_oneof![Just(Level::THREE), Just(Level::FOUR)]).prop_map(|(role, level)| NodeType::new(role, level))
}

proptest! {
    #[test]
    fn any_handshake_is_read_as_it_was_written(node_type in node_types(), members in members(), error in prop::option::of(".{1,20}")) {
        let handshake = Handshake { error, ..Handshake::new(node_type, members) };
        let body = handshake.to_json();
        let read = Handshake::parse(&body, &Limits::default());
        prop_assert_eq!(read.map_err(|error| error.to_string()), Ok(handshake));
        for end in 0..body.len() {
            prop_assert!(Handshake::parse(&body[..end], &Limits::default()).is_err());
        }
    }

    #[test]
    fn any_event_and_credit_is_read_as_it_was_written(member in ".{0,20}", amount in any::<u32>(), kind in 0usize..3) {
        let kind = [EventKind::Connected, EventKind::Disconnected, EventKind::Evicted][kind];
        let event = EventBody { kind, member };
        let body = event.to_json();
        prop_assert_eq!(EventBody::parse(&body, &Limits::default()).ok(), Some(event));
        for end in 0..body.len() {
            prop_assert!(EventBody::parse(&body[..end], &Limits::default()).is_err());
        }
        let amount = usize::try_from(amount).expect("32 bits fit");
        let frame = credit_frame("worker", "caller", amount, &Limits::default()).expect("small names fit");
        prop_assert_eq!(credit_amount(&frame.payload_bytes()).ok(), Some(amount));
    }

    #[test]
    fn more_bytes_change_no_verdict_on_the_first(bytes in prop::collection::vec(any::<u8>(), 0..20), word in 0usize..4) {
        let words: [&[u8]; 4] = [b"", b"GeT", b"HTTP/1.", b"\x16\x03"];
        let bytes = [words[word], &bytes].concat();
        let verdicts: Vec<_> = (0..=bytes.len()).map(|end| Opening::classify(&bytes[..end])).collect();
        let told: Vec<_> = verdicts.iter().skip_while(|verdict| verdict.is_none()).collect();
        prop_assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{verdicts:?}");
        prop_assert!(bytes.len() < Opening::LEN || !told.is_empty());
    }

    #[test]
    fn any_split_gives_the_same_frames(frames in prop::collection::vec(frames(), 1..6), cuts in prop::collection::vec(1usize..40, 1..60)) {
        let stream: Vec<u8> = frames.iter().flat_map(|f| f.as_bytes().to_vec()).collect();
        let mut decoder = FrameDecoder::new(Limits::default());
        let (mut buffer, mut seen, mut rest) = (BytesMut::new(), Vec::new(), &stream[..]);
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                seen.push(frame);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(decoder.finish(&buffer), Ok(()));
        prop_assert_eq!(&seen, &frames);
        for (seen, sent) in seen.iter().zip(&frames) {
            prop_assert_eq!(seen.header(), sent.header());
            prop_assert_eq!((seen.transmitter(), seen.receiver(), seen.method()), (sent.transmitter(), sent.receiver(), sent.method()));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut decoder = FrameDecoder::new(Limits::default());
        while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
            let _ = (frame.transmitter(), frame.receiver(), frame.method(), frame.payload());
        }
        let _ = Frame::from_message(bytes.clone().into(), &Limits::default());
        let _ = Handshake::parse(&bytes, &Limits::default());
        let _ = EventBody::parse(&bytes, &Limits::default());
    }

    #[test]
    fn no_damaged_frame_panics(frame in frames(), at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = frame.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let message = Frame::from_message(bytes.clone().into(), &Limits::default());
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut decoder = FrameDecoder::new(Limits::default());
        let decoded = decoder.decode(&mut buffer);
        if let Ok(None) = decoded {
            prop_assert!(decoder.finish(&buffer).is_err());
        }
        // A message and a stream are read alike, where the message is one whole frame.
        match message {
            Ok(frame) => prop_assert_eq!(decoded, Ok(Some(frame))),
            Err(daffi_wire::DecodeError::NotOneFrame { .. }) => prop_assert!(!matches!(decoded, Ok(Some(_)) if buffer.is_empty())),
            Err(error) => prop_assert_eq!(decoded, Err(error)),
        }
    }
}

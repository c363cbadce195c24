//! Any frame survives a round trip, any split of the stream gives the same frames, and no input
//! panics.

use bytes::BytesMut;
use daffi_wire::{
    BodyError, BodyParts, CallCredit, CallId, Cancel, CancelReason, Credit, Data, DataEnd, DecodeError, EventBody,
    EventKind, Extensions, FlowId, FormatId, Frame, FrameDecoder, FrameWriter, Grant, Handshake, Header, InData, Kind,
    Level, Limits, MAX_CALL_WINDOW, Member, MethodName, NodeName, NodeType, Opening, PackedItems, Ping, Role,
    StreamFlags, TraceParent,
};
use proptest::prelude::*;

fn frames() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![
        Just(Kind::Handshake),
        Just(Kind::Request),
        Just(Kind::Response),
        Just(Kind::Error),
        Just(Kind::Events),
        Just(Kind::Credit),
        Just(Kind::Data),
        Just(Kind::Ping)
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

fn extensions() -> impl Strategy<Value = Extensions> {
    let trace = any::<([u8; 16], [u8; 8], u8)>()
        .prop_filter_map("a number without a bit set is none", |(trace, span, flags)| {
            TraceParent::new(trace, span, flags).ok()
        });
    let flags =
        any::<(bool, bool)>().prop_map(|(items_follow, takes_results)| StreamFlags { items_follow, takes_results });
    let numbers = (any::<Option<u32>>(), prop::option::of(trace), any::<Option<u64>>(), flags, any::<Option<u32>>());
    let headers = prop::collection::vec((".{1,20}", ".{0,40}"), 0..6);
    (numbers, headers, prop::option::of(".{0,30}"), prop::option::of(".{0,30}")).prop_map(
        |((time_left, trace, body, flags, window), headers, state, identity)| {
            let mut builder = Extensions::builder().stream(flags);
            builder = time_left.into_iter().fold(builder, daffi_wire::ExtensionsBuilder::time_left_ms);
            builder = trace.into_iter().fold(builder, daffi_wire::ExtensionsBuilder::trace);
            builder = body.into_iter().fold(builder, daffi_wire::ExtensionsBuilder::body);
            builder = window.into_iter().fold(builder, daffi_wire::ExtensionsBuilder::window);
            for (key, value) in &headers {
                builder = builder.header(key, value).expect("short");
            }
            builder = state.iter().fold(builder, |builder, state| builder.trace_state(state).expect("short"));
            builder = identity.iter().fold(builder, |builder, who| builder.identity(who).expect("short"));
            builder.build().expect("small")
        },
    )
}

proptest! {
    #[test]
    fn any_extensions_are_read_as_they_were_written(said in extensions(), payload in prop::collection::vec(any::<u8>(), 0..40), cut in any::<prop::sample::Index>()) {
        let (limits, mut bytes) = (Limits::default(), BytesMut::new());
        let header = Header::new(Kind::Request, CallId(2), FormatId::MSGPACK, false, true);
        let mut writer = FrameWriter::begin(&mut bytes, "caller", "worker", "echo").expect("short names");
        writer.extensions(&said);
        writer.body().extend_from_slice(&payload);
        writer.finish(header, 0, &limits).expect("small");
        let mut frame = Frame::from_message(bytes.freeze(), &limits).expect("a whole frame");
        prop_assert_eq!(frame.header().has_extensions(), !said.is_empty());
        let read = frame.take_extensions().expect("as it was written");
        prop_assert_eq!(&read, &said);
        prop_assert_eq!(read.headers().collect::<Vec<_>>(), said.headers().collect::<Vec<_>>());
        prop_assert_eq!((frame.transmitter(), frame.receiver(), frame.method(), frame.payload()), ("caller", "worker", "echo", &payload[..]));
        // A piece of a block is refused, or is a block that says less.
        let piece = said.as_bytes().slice(..cut.index(said.as_bytes().len() + 1));
        if let Ok(less) = Extensions::read(piece.clone()) {
            prop_assert_eq!(less.as_bytes(), &piece);
        }
    }

    #[test]
    fn any_extensions_at_all_are_read_or_refused(bytes in prop::collection::vec(prop_oneof![0u8..12, any::<u8>()], 0..60)) {
        if let Ok(read) = Extensions::read(bytes.clone().into()) {
            prop_assert_eq!(&read.as_bytes()[..], &bytes[..]);
            let _ = (read.headers().count(), read.identity(), read.trace_state());
        }
    }

    #[test]
    fn any_data_and_cancel_is_read_as_it_was_written(id in 1u16.., from_caller: bool, end in 0usize..3, bytes in prop::collection::vec(any::<u8>(), 0..300), reason in 0u8..7) {
        let end = [DataEnd::Nothing, DataEnd::Item, DataEnd::Direction][end];
        let data = Data { id: CallId(id), from_caller, end, packed: false, bytes: bytes.clone().into() };
        let frame = data.frame("a", "b", &Limits::default()).expect("small");
        prop_assert_eq!(Data::read(frame).ok(), Some(data));
        let items: Vec<_> = PackedItems::new(bytes.into()).collect();
        prop_assert!(items.iter().rev().skip(1).all(Result::is_ok), "after an error nothing follows");

        let header = Header::new(Kind::Cancel, CallId(id), FormatId::OPAQUE, false, from_caller);
        let cancel = Cancel::read(&Frame::new(header, "a", "b", "", &[reason], &Limits::default()).expect("small"));
        let cancel = cancel.expect("a reason that has no meaning yet is the plainest");
        prop_assert_eq!(cancel.reason.is_from_caller(), from_caller);
        prop_assert!(from_caller || cancel.reason == CancelReason::EnoughItems);
        let again = cancel.frame("a", "b", &Limits::default()).expect("small");
        prop_assert_eq!(Cancel::read(&again).ok(), Some(cancel));
    }

    #[test]
    fn any_credit_of_a_call_is_read_as_it_was_written(id in 1u16.., from_caller: bool, worked_off: u64, window: u32) {
        let Ok(credit) = CallCredit::new(CallId(id), from_caller, worked_off, window) else {
            prop_assert!(worked_off > u64::MAX - u64::from(MAX_CALL_WINDOW));
            return Ok(());
        };
        let frame = credit.frame("a", "b", &Limits::default()).expect("small");
        prop_assert_eq!(CallCredit::read(&frame).ok(), Some(credit));
    }

    #[test]
    fn any_body_in_parts_is_the_frame_that_it_would_have_been(said in extensions(), body in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), lie in -2i64..3) {
        let limits = Limits::default();
        let header = Header::new(Kind::Response, CallId(2), FormatId::MSGPACK, false, false);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
        cuts.sort_unstable();
        let mut parts = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]);
        let total = u64::try_from(body.len() as i64 + lie).unwrap_or(0);
        let mut bytes = BytesMut::new();
        let mut writer = FrameWriter::begin(&mut bytes, "worker", "caller", "get").expect("short names");
        if said.body().is_none() {
            writer.extensions(&said);
        }
        writer.body_total(total);
        writer.body().extend_from_slice(parts.next().unwrap_or_default());
        writer.finish(header, 0, &limits).expect("small");
        let mut first = Frame::from_message(bytes.freeze(), &limits).expect("a whole frame");
        let seen = first.in_data().expect("as it was written").expect("it says so");
        prop_assert_eq!((seen.body, InData::of(&first.take_extensions().expect("the same"))), (Some(total), seen));
        let put_together = BodyParts::begin(first, total).and_then(|mut whole| {
            for part in parts {
                whole.push(part)?;
                assert!(whole.missing() <= total);
            }
            whole.finish()
        });
        if total == body.len() as u64 {
            let whole = Frame::new(header, "worker", "caller", "get", &body, &limits).expect("small");
            prop_assert_eq!(put_together.ok(), Some(whole));
        } else {
            let refused = matches!(put_together, Err(BodyError::Total { total: said, .. }) if said == total);
            prop_assert!(refused);
        }
    }

    #[test]
    fn items_in_one_frame_are_read_as_they_were_written(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut packed = BytesMut::new();
        for item in &items {
            PackedItems::put(&mut packed, item);
        }
        let read: Result<Vec<_>, _> = PackedItems::new(packed.freeze()).collect();
        prop_assert_eq!(read.expect("as they were written"), items);
    }

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
    fn any_event_is_read_as_it_was_written(member in ".{0,20}", kind in 0usize..5) {
        use EventKind::{Connected, Disconnected, Evicted, Stopped, Stopping};
        let kind = [Connected, Disconnected, Evicted, Stopping, Stopped][kind];
        let event = EventBody { kind, member };
        let body = event.to_json();
        prop_assert_eq!(EventBody::parse(&body, &Limits::default()).ok(), Some(event));
        for end in 0..body.len() {
            prop_assert!(EventBody::parse(&body[..end], &Limits::default()).is_err());
        }
    }

    #[test]
    fn any_credit_and_ping_is_read_as_it_was_written(flow in any::<u32>(), worked_off in any::<u64>(), window in any::<u32>(), token in any::<[u8; 8]>()) {
        let begins = Credit::Begins(FlowId(flow));
        let grant = Grant::new(FlowId(flow), worked_off, window);
        prop_assert_eq!(grant.is_ok(), worked_off.checked_add(u64::from(window)).is_some());
        for credit in [Some(begins), grant.ok().map(Credit::Grants)].into_iter().flatten() {
            let frame = credit.frame("worker", "caller", &Limits::default()).expect("small names fit");
            prop_assert_eq!(Credit::read(&frame).ok(), Some(credit));
            prop_assert!(Ping::read(&frame).is_err());
        }
        for ping in [Ping::Asks(token), Ping::Answers(token)] {
            prop_assert_eq!(Ping::read(&ping.frame()).ok(), Some(ping));
            prop_assert!(Credit::read(&ping.frame()).is_err());
        }
    }

    #[test]
    fn a_frame_of_an_unknown_kind_is_skipped_whatever_it_holds(kind in 10u8..16, between in frames(), rest in prop::collection::vec(any::<u8>(), 0..300), metadata in 0usize..300) {
        // Any header bits, and metadata that is none.
        let header = Header::new(Kind::from_number(kind), CallId(9), FormatId::OPAQUE, false, true);
        let head = header.encode(metadata.min(rest.len()), rest.len() - metadata.min(rest.len()), &Limits::default());
        let unknown = [&head.expect("small")[..], &rest].concat();
        let hello = Frame::new(Header::control(Kind::Handshake, CallId(1), true), "a", "", "", b"{}", &Limits::default());
        let hello = hello.expect("small");
        let mut stream = BytesMut::from(&[hello.as_bytes(), &unknown[..], between.as_bytes()].concat()[..]);
        let mut decoder = FrameDecoder::new(Limits::default());
        prop_assert_eq!(decoder.decode(&mut stream), Ok(Some(hello)));
        prop_assert_eq!(decoder.clone().decode(&mut stream.clone()), Err(DecodeError::UnknownKind(kind)));
        decoder.set_level(Level::FOUR);
        let frame = decoder.decode(&mut stream).expect("no error").expect("whole");
        prop_assert_eq!((frame.transmitter(), frame.receiver(), frame.method()), ("", "", ""));
        prop_assert!(!frame.is_to("") && !frame.calls("") && frame.is_from(""));
        prop_assert_eq!(frame.as_bytes(), &unknown);
        prop_assert_eq!(frame.check_level(Level::FOUR), Ok(false));
        prop_assert_eq!(frame.check_level(Level::THREE), Err(DecodeError::UnknownKind(kind)));
        prop_assert_eq!(decoder.decode(&mut stream), Ok(Some(between)));
        prop_assert_eq!(FrameDecoder::new(Limits::default()).decode(&mut BytesMut::from(&unknown[..])), Err(DecodeError::TooEarly(Kind::from_number(kind))));
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
        decoder.set_level(Level::FOUR);
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
        prop_assert_eq!(decoder.finish(buffer.len()), Ok(()));
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
        decoder.set_level(if bytes.len().is_multiple_of(2) { Level::FOUR } else { Level::THREE });
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
        decoder.set_level(Level::FOUR);
        let decoded = decoder.decode(&mut buffer);
        if let Ok(None) = decoded {
            prop_assert!(decoder.finish(buffer.len()).is_err());
        }
        // A message and a stream are read alike, where the message is one whole frame.
        match message {
            Ok(frame) => prop_assert_eq!(decoded, Ok(Some(frame))),
            Err(daffi_wire::DecodeError::NotOneFrame { .. }) => prop_assert!(!matches!(decoded, Ok(Some(_)) if buffer.is_empty())),
            Err(error) => prop_assert_eq!(decoded, Err(error)),
        }
    }
}

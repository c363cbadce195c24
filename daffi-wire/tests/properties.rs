//! Any frame survives a round trip, any split of the stream gives the same frames, and no input panics.

use bytes::BytesMut;
use daffi_wire::{CallId, EventBody, FormatId, Frame, FrameDecoder, Handshake, Header, Kind, Limits};
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

proptest! {
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

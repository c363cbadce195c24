use super::*;
use crate::FormatId;

#[test]
fn an_unfinished_frame_leaves_no_trace() {
    let mut dst = BytesMut::from(&b"before"[..]);
    let mut writer = FrameWriter::begin(&mut dst, "a", "b", "c").unwrap();
    writer.body().put_slice(b"payload");
    drop(writer);
    assert_eq!(&dst[..], b"before");

    let mut writer = FrameWriter::begin(&mut dst, "a", "b", "c").unwrap();
    writer.body().put_slice(b"payload");
    let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, false, true);
    let limits = Limits { max_frame_bytes: 11, ..Limits::default() };
    assert_eq!(writer.finish(header, 0, &limits), Err(EncodeError::FrameTooLarge { size: 12, limit: 11 }));
    assert_eq!(&dst[..], b"before");
}

#[test]
fn separators_are_found_wherever_they_are() {
    for length in 0..40 {
        for first in 0..length {
            for second in first + 1..length {
                let mut names = vec![b'}'; length];
                (names[first], names[second]) = (b'|', b'|');
                assert_eq!(separators(&names), Ok((first, second)));
                if first > 0 {
                    names[0] = 0xfc;
                    assert_eq!(separators(&names), Err(DecodeError::NamesNotUtf8(0)));
                    names[0] = b'|';
                    assert_eq!(separators(&names), Err(DecodeError::Separators(3)));
                }
            }
        }
        assert_eq!(separators(&vec![b'{'; length]), Err(DecodeError::Separators(0)));
    }
}

#[test]
fn extensions_that_the_frame_cuts_short_are_refused() {
    let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, false, true).with_extensions(true);
    let frame = |payload: &[u8]| Frame::new(header, "a", "b", "c", payload, &Limits::default()).unwrap();
    let cases: [(&[u8], ExtensionError); 4] = [
        (b"", ExtensionError::Cut { have: 0, need: 2 }),
        (b"\x03", ExtensionError::Cut { have: 1, need: 2 }),
        (b"\x03\0\x05\x01", ExtensionError::Cut { have: 4, need: 5 }),
        (b"\x01\x20", ExtensionError::TooLong { size: 8193, limit: 8192 }),
    ];
    for (payload, error) in cases {
        let mut frame = frame(payload);
        assert_eq!(frame.take_extensions(), Err(error));
        assert_eq!((frame.method(), frame.payload()), ("c", payload));
    }
    let mut whole = frame(b"\x03\0\x05\x01\x01rest");
    assert!(whole.take_extensions().unwrap().stream().items_follow);
    assert_eq!((whole.method(), whole.payload()), ("c", &b"rest"[..]));
    assert!(whole.take_extensions().unwrap().is_empty(), "they were taken");
    let mut none = frame(b"\0\0rest");
    assert!(none.take_extensions().unwrap().is_empty());
    assert_eq!(none.payload(), b"rest");
}

#[test]
fn only_calls_and_their_ends_have_extensions() {
    for number in 0..16 {
        let header = Header::new(Kind::from_number(number), CallId(1), FormatId::OPAQUE, false, true);
        assert!(!header.has_extensions());
        assert_eq!(header.with_extensions(true).has_extensions(), (1..=3).contains(&number));
    }
}

#[test]
fn another_number_changes_nothing_else() {
    let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, false, true);
    let of = |header| Frame::new(header, "a", "b", "c", b"payload", &Limits::default()).unwrap();
    let frame = of(header).with_id(CallId(0x1234));
    assert_eq!(frame, of(header.with_id(CallId(0x1234))));
    assert_eq!(frame.as_bytes()[..2], [0x34, 0x12]);
}

#[test]
fn a_part_sent_behind_the_buffer_counts() {
    let mut dst = BytesMut::new();
    let writer = FrameWriter::begin(&mut dst, "a", "b", "c").unwrap();
    let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, false, true);
    writer.finish(header, 7, &Limits::default()).unwrap();
    dst.put_slice(b"payload");
    let whole = Frame::new(header, "a", "b", "c", b"payload", &Limits::default()).unwrap();
    assert_eq!(dst, whole.as_bytes());
}

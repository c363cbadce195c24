use super::*;

fn read(bytes: &[u8]) -> Result<Extensions, ExtensionError> {
    Extensions::read(Bytes::copy_from_slice(bytes))
}

#[test]
fn the_bytes_of_a_block() {
    let flags = StreamFlags { items_follow: true, takes_results: true };
    let said = Extensions::builder().stream(flags).header("k", "v").unwrap().time_left_ms(300).build().unwrap();
    assert_eq!(&said.as_bytes()[..], b"\x01\x04\x2c\x01\0\0\x05\x01\x03\x07\x03\x01kv");
}

#[test]
fn everything_is_read_as_it_was_written() {
    let trace = TraceParent::new([1; 16], [2; 8], 1).unwrap();
    let builder = Extensions::builder().time_left_ms(1).trace(trace).body(1 << 40).window(65_536).wait_for_receiver();
    let said = builder.trace_state("a=b").unwrap().identity("anna").unwrap().header("a", "").unwrap();
    let said = said.header("a", &"x".repeat(300)).unwrap().build().unwrap();
    let seen = read(said.as_bytes()).unwrap();
    assert_eq!(seen, said);
    assert_eq!((seen.trace(), seen.body(), seen.window()), (Some(trace), Some(1 << 40), Some(65_536)));
    assert_eq!((seen.trace_state(), seen.identity()), (Some("a=b"), Some("anna")));
    assert!(seen.waits_for_receiver() && !read(b"").unwrap().waits_for_receiver());
    assert_eq!(seen.headers().map(|(key, value)| (key, value.len())).collect::<Vec<_>>(), [("a", 0), ("a", 300)]);
    assert!(!format!("{seen:?}").contains("xxx"), "values of headers are kept out of logs");
}

#[test]
fn each_broken_rule_has_its_error() {
    use ExtensionError as E;
    let cases: &[(&[u8], E)] = &[
        (b"\x09\x00", E::Unsupported(9)),
        (b"\x0a\x01x", E::Value(10)),
        (b"\x00\x00", E::Unsupported(0)),
        (b"\x05\x01\x01\x05\x01\x01", E::Doubled(5)),
        (b"\x05\x01\x01\x01\x04\0\0\0\0", E::NotFirst),
        (b"\x05", E::Length(5)),
        (b"\x05\x81\x00\x01", E::Length(5)),
        (b"\x80\x80\x80\x01", E::Length(128)),
        (b"\x05\x02\x01", E::Truncated(5)),
        (b"\x01\x03\0\0\0", E::Value(1)),
        (b"\x02\x18\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0", E::Value(2)),
        (b"\x02\x19\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01", E::Value(2)),
        (b"\x02\x19\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", E::Value(2)),
        (b"\x03\x01\xff", E::Value(3)),
        (b"\x07\x00", E::Value(7)),
        (b"\x07\x02\x00v", E::Value(7)),
        (b"\x07\x02\x02k", E::Value(7)),
        (b"\x08\x01\xff", E::Value(8)),
    ];
    for (bytes, error) in cases {
        assert_eq!(read(bytes).as_ref(), Err(error), "{bytes:?}");
    }
    assert!(read(b"\x80\x01x\x80\x01y").unwrap().headers().next().is_none(), "skipped, also twice");
}

#[test]
fn sizes_are_limited_for_writers_and_readers() {
    let half = "x".repeat(MAX_HEADER_BYTES / 2 - 1);
    let builder = Extensions::builder().header("a", &half).unwrap().header("b", &half).unwrap();
    let all = builder.clone().build().unwrap();
    assert_eq!(read(all.as_bytes()).unwrap(), all);
    assert!(matches!(builder.header("b", ""), Err(ExtensionError::Headers { size: 4_097, limit: MAX_HEADER_BYTES })));
    let mut beyond = BytesMut::from(&all.as_bytes()[..]);
    put(&mut beyond, tag::HEADER, b"\x01b");
    assert!(matches!(read(&beyond), Err(ExtensionError::Headers { size: 4_097, limit: MAX_HEADER_BYTES })));
    assert!(Extensions::builder().header("", "x").is_err());
    assert!(Extensions::builder().header(&"k".repeat(256), "x").is_err());
    assert!(Extensions::builder().trace_state(&"x".repeat(513)).is_err());
    assert!(Extensions::builder().identity("a").unwrap().identity("b").is_err());
    let mut skipped = BytesMut::new();
    put(&mut skipped, 200, &vec![0; MAX_EXTENSION_BYTES - 3]);
    assert!(read(&skipped).is_ok());
    put(&mut skipped, 200, b"");
    assert!(matches!(read(&skipped), Err(ExtensionError::TooLong { .. })));
}

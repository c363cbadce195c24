//! `stream`: a file or stdin, chunk by chunk.

use serde_json::json;

use crate::support::{Running, TempFile, run, run_with};

#[test]
fn a_file_arrives_whole() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let file = TempFile::new("stream", &vec![7; 100_001]);
    assert_eq!(run(&["stream", &at, "receive_chunk", file.path()]).answer(), "");
    assert_eq!(run(&["call", &at, "received"]).answer(), "100001\n");
    let windowed = run(&["stream", &at, "receive_chunk", file.path(), "-c", "1000", "--window", "8", "--json"]);
    assert_eq!(windowed.json(), json!({"chunks": 101, "bytes": 100_001}));
    assert_eq!(run(&["call", &at, "received"]).answer(), "200002\n");
    let unacknowledged = run(&["stream", &at, "receive_chunk", file.path(), "--nowait", "-c", "30KiB", "--json"]);
    assert_eq!(unacknowledged.json(), json!({"chunks": 4, "bytes": 100_001}));
    assert_eq!(run(&["call", &at, "received"]).answer(), "300003\n");
}

#[test]
fn stdin_is_streamed_until_it_ends() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let ran = run_with(&["stream", &at, "receive_chunk", "-", "-c", "4KiB", "--json"], &[1; 10_000]);
    assert_eq!(ran.json(), json!({"chunks": 3, "bytes": 10_000}));
    assert_eq!(
        run_with(&["stream", &at, "receive_chunk", "-", "--json"], b"").json(),
        json!({"chunks": 0, "bytes": 0})
    );
    assert_eq!(run(&["call", &at, "received"]).answer(), "10000\n");
}

#[test]
fn an_error_ends_a_stream_and_names_the_chunk() {
    let demo = Running::demo();
    let ran = run_with(&["stream", &demo.endpoint(), "fail", "-", "--serde", "json"], b"x");
    assert!(ran.failure(2).starts_with("chunk 0: arguments of fail: cannot write JSON"), "{ran:?}");
}

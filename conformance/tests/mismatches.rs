//! That a replay fails, and says why, when a node does not do what was recorded.

use std::io;

use conformance::{Action, Node, NodeSpec, Outcome, Replay, Session, Started, Stream, Why};
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

const SESSION: &str = r#"
session made-up
node "svc" service 3.0.1 workers 1
1 connects "cli"
1 > SYN
1 > HANDSHAKE uuid 1 JSON text wants-reply
    names "cli" "" ""
    text {"meta":{"type":"client","error":null},"members":[{"name":"cli","methods":null}]}
1 < HANDSHAKE uuid 1 JSON text wants-reply
    names "cli" "" ""
    text {"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["add"]}]}
1 > REQUEST uuid 2 JSON text wants-reply
    names "cli" "svc" "add"
    text {"args":[3,4],"kwargs":{}}
1 < RESPONSE uuid 2 JSON text
    names "svc" "cli" "add"
    text {"args": [7], "kwargs": {}}
"#;

/// Says the same whatever it hears.
struct Parrot(Vec<u8>);

impl Node for Parrot {
    fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        let (ours, mut theirs) = duplex(1 << 16);
        let says = self.0.clone();
        tokio::spawn(async move {
            theirs.write_all(&says).await?;
            // Open as long as the replay is.
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).await
        });
        Box::pin(async { Ok(Box::new(ours) as Stream) })
    }

    fn act(&mut self, _: &Action) -> BoxFuture<'static, Outcome> {
        Box::pin(async { Outcome::Failed("a parrot".into()) })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

fn recorded() -> Vec<u8> {
    let session = Session::parse(SESSION).expect("it is a session");
    session.bytes(1, conformance::Direction::ToClient).flatten().collect()
}

async fn replay(says: Vec<u8>) -> Result<(), conformance::Mismatch> {
    let session = Session::parse(SESSION).expect("it is a session");
    let start = |_: &NodeSpec| -> Started { Box::pin(async { Ok(Box::new(Parrot(says)) as Box<dyn Node>) }) };
    Replay::of(&session, "svc").run(start).await
}

/// The frame that differs, and the first field of it.
async fn differs(says: Vec<u8>) -> (usize, &'static str, String) {
    let mismatch = replay(says).await.expect_err("something differs");
    let text = mismatch.to_string();
    let Why::Differs(comparison) = mismatch.why else { panic!("{text}") };
    (mismatch.step, comparison.first().expect("a field differs").name, text)
}

#[tokio::test(start_paused = true)]
async fn what_was_recorded_passes() {
    replay(recorded()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_field_of_a_header_counts() {
    // Byte and bit of the first header, and the field.
    for (byte, bit, field) in [
        (0, 1, "uuid"),
        (2, 1, "flag"),
        (2, 0x10, "decoder"),
        (2, 0x40, "is_bytes"),
        (2, 0x80, "return_result"),
        (8, 2, "msg_parts"),
        (8, 0x80, "endian"),
        (9, 1, "transmitter"),
    ] {
        let mut says = recorded();
        says[byte] ^= bit;
        let (step, found, text) = differs(says).await;
        assert_eq!((step, found), (4, field), "{text}");
        assert!(text.contains(&format!(">> {field}")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_shown_by_its_member() {
    let mut says = recorded();
    let at = says.windows(3).position(|window| window == b"svc").unwrap();
    says[at] = b'S';
    let (step, field, text) = differs(says).await;
    assert_eq!((step, field), (4, "payload"));
    assert!(text.contains(r#"expected "svc" at .members[0].name"#), "{text}");
}

/// The items of a stream in one DATA, each by itself, and otherwise.
#[tokio::test(start_paused = true)]
async fn items_may_be_packed_otherwise_where_that_is_free() {
    const ITEMS: &str = "free item-packing\nnode \"svc\"";
    const DATA: &str = "1 < DATA uuid 2 OPAQUE bytes parts 5\n    names \"svc\" \"cli\" \"\"\n    hex ";
    let with = |data: &[&str]| {
        let data: String = data.iter().map(|hex| format!("{DATA}{hex}\n")).collect();
        Session::parse(&(SESSION.replace("node \"svc\"", ITEMS) + &data)).expect("it is a session")
    };
    let differ = |recorded: &'static [&'static str], comes: &'static [&'static str]| async move {
        let session = with(recorded);
        let says: Vec<u8> = with(comes).bytes(1, conformance::Direction::ToClient).flatten().collect();
        let start = |_: &NodeSpec| -> Started { Box::pin(async { Ok(Box::new(Parrot(says)) as Box<dyn Node>) }) };
        Replay::of(&session, "svc").run(start).await.map_err(|mismatch| mismatch.to_string())
    };
    for packed in
        [&["0101010201030104"][..], &["01010102", "01030104"], &["0101", "0102", "01030104"], &["0101", "010201030104"]]
    {
        differ(&["0101010201030104"], packed).await.unwrap();
        differ(packed, &["0101010201030104"]).await.unwrap();
    }
    let error = differ(&["01010102"], &["0101", "0103"]).await.unwrap_err();
    assert!(error.contains(">> payload"), "{error}");
    let error = differ(&["01010102"], &["0101"]).await.unwrap_err();
    assert!(error.contains("nothing came"), "{error}");
    let error = differ(&["0101"], &["01010102"]).await.unwrap_err();
    assert!(error.contains("on connection 1 came: DATA"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_too_much_is_told() {
    let mut more = recorded();
    more.extend(recorded());
    let mismatch = replay(more).await.unwrap_err();
    assert!(matches!(mismatch.why, Why::Unexpected(1, _)), "{mismatch}");
    assert!(mismatch.to_string().contains("on connection 1 came: HANDSHAKE"), "{mismatch}");

    let mut less = recorded();
    less.truncate(less.len() - 1);
    let mismatch = replay(less).await.unwrap_err();
    assert!(matches!(mismatch.why, Why::Missing(_)), "{mismatch}");
    assert_eq!(mismatch.step, 6);
}

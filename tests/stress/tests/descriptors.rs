//! A service without file descriptors left serves those it has, and newcomers as soon as there are
//! some again.

use std::net::TcpStream;

use daffi::{Client, FormatId};
use daffi_stress::Node;

#[tokio::test]
async fn a_flood_of_connections_uses_up_all_descriptors() {
    let node = Node::start_limited("40", env!("CARGO_BIN_EXE_slow_sink"), &["0", "0", "0"]);
    let client = Client::builder("first").connect(node.endpoint()).await.unwrap();
    let received = || async {
        let counts: [u64; 3] = client.rpc().serde(FormatId::JSON).call("received", ()).await.unwrap();
        assert_eq!(counts, [0, 0, 0]);
    };
    let flood: Vec<_> = (0..100).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    received().await;
    drop(flood);
    received().await;
    // Gets in once the service has found the flood gone.
    let newcomer = Client::builder("second").connect(node.endpoint()).await.unwrap();
    let counts: [u64; 3] = newcomer.rpc().serde(FormatId::JSON).call("received", ()).await.unwrap();
    assert_eq!(counts, [0, 0, 0]);
    assert!(node.end());
}

//! A service without file descriptors left serves those it has, and newcomers as soon as there are some again.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Command, Stdio},
};

use daffi::{Client, FormatId};

#[tokio::test]
async fn a_flood_of_connections_uses_up_all_descriptors() {
    let mut process = Command::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$0\" 0 0 0", env!("CARGO_BIN_EXE_slow_sink")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut endpoint = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
    let client = Client::builder("first").connect(endpoint.trim()).await.unwrap();
    let received = || async {
        let counts: [u64; 3] = client.rpc().serde(FormatId::JSON).call("received", ()).await.unwrap();
        assert_eq!(counts, [0, 0, 0]);
    };
    let address = endpoint.trim().trim_start_matches("tcp://");
    let flood: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    received().await;
    drop(flood);
    received().await;
    // Gets in once the service has found the flood gone.
    let newcomer = Client::builder("second").connect(endpoint.trim()).await.unwrap();
    let counts: [u64; 3] = newcomer.rpc().serde(FormatId::JSON).call("received", ()).await.unwrap();
    assert_eq!(counts, [0, 0, 0]);
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}

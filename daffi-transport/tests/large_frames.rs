//! In a process of its own, because the memory of large frames is shared by all links of a process.

use daffi_transport::{LinkConfig, mem};
use daffi_wire::{CallId, Frame, Header, Kind};

#[tokio::test]
async fn the_memory_of_a_large_frame_is_used_again_once_nobody_holds_a_part_of_it() {
    let config = LinkConfig::default();
    let header = Header::control(Kind::Events, CallId::NONE, false);
    let frame = Frame::new(header, "", "", "", &vec![7; 1024 * 1024], &config.limits).unwrap();
    let (mut client, server) = mem::pair(&config);
    let sending = tokio::spawn(async move {
        for _ in 0..3 {
            client.send(&frame).await.unwrap();
        }
    });
    let mut server = server.await.unwrap();
    let first = server.receive().await.unwrap().unwrap();
    let (at, part) = (first.as_bytes().as_ptr(), first.payload_bytes().slice(10..20));
    drop(first);
    let second = server.receive().await.unwrap().unwrap();
    assert_ne!(second.as_bytes().as_ptr(), at, "a part of the first is held");
    drop(part);
    assert_eq!(server.receive().await.unwrap().unwrap().as_bytes().as_ptr(), at);
    assert_eq!(second.payload(), [7; 1024 * 1024]);
    sending.await.unwrap();
}

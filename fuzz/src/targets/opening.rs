//! The first bytes of a connection.

use std::io::Cursor;

use daffi_transport::{Link, LinkConfig, PeerInfo};
use daffi_wire::{Opening, SYN};
use futures::FutureExt;
use tokio::io::sink;

use crate::Signature;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let firsts: [&[u8]; 6] = [
        &SYN,
        b"\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x01\x00\x90\x54\x00\x00\x08\x00\x81c1||",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"POST / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"ge",
    ];
    firsts.map(<[u8]>::to_vec).into()
}

pub(super) fn run(input: &[u8]) -> Result<Signature, String> {
    // What the first bytes tell, more bytes do not change.
    let mut told = None;
    for length in 0..=input.len().min(Opening::LEN + 8) {
        let now = Opening::classify(&input[..length]);
        if told.is_some() && now != told {
            return Err(format!("{told:?} became {now:?} with the first {length} bytes"));
        }
        if now.is_none() && length >= Opening::LEN {
            return Err(format!("{length} bytes tell nothing"));
        }
        told = now;
    }
    let (config, peer) = (LinkConfig::default(), PeerInfo::new("fuzz", "peer"));
    let link = Link::accepted(Cursor::new(input.to_vec()), sink(), &config, peer);
    let Some(opened) = link.now_or_never() else { return Err("all bytes are there, and more are waited for".into()) };
    let outcome = match opened {
        Ok(mut link) => {
            if told != Some(Opening::Native) {
                return Err(format!("{told:?} became a link"));
            }
            loop {
                match link.receive().now_or_never() {
                    None => return Err("all bytes are there, and more are waited for".into()),
                    Some(Ok(Some(_))) => {}
                    Some(Ok(None)) => break "whole".to_owned(),
                    Some(Err(_)) => break "broken".to_owned(),
                }
            }
        }
        Err(error) => error.to_string().chars().filter(|c| c.is_ascii_alphabetic()).collect(),
    };
    Ok(Signature::of((format!("{told:?}"), outcome)))
}

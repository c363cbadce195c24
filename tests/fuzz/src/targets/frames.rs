//! A stream of frames, whole and in pieces.

use bytes::BytesMut;
use daffi_wire::{CallId, FormatId, Frame, FrameDecoder, Header, Kind, Level, Limits};

use crate::{Signature, Tape, recorded::conversations};

/// Small limits, so that they are reached.
const LIMITS: Limits =
    Limits::new().max_frame_bytes(4_096).max_control_bytes(1_024).max_name_bytes(64).max_list_bytes(1_024);

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let limits = Limits::default();
    let mut seeds: Vec<Vec<u8>> = (0..12)
        .filter_map(|kind| {
            let header = Header::new(Kind::from_number(kind), CallId(7), FormatId::MSGPACK, false, true);
            Frame::new(header, "caller", "worker", "echo", b"\x92\x90\x80", &limits).ok()
        })
        .map(|frame| [&[5, 2], &frame.as_bytes()[..]].concat())
        .collect();
    seeds.push(seeds.iter().flat_map(|seed| seed[2..].to_vec()).collect());
    seeds.extend(conversations().iter().map(|conversation| [&[1, 3], &conversation.items.concat()[..]].concat()));
    seeds
}

/// The frames of a stream, and how it ends.
fn decode(stream: &[u8], limits: Limits, level: Level, mut piece: impl FnMut() -> usize) -> (Vec<Frame>, String) {
    let mut decoder = FrameDecoder::new(limits);
    decoder.set_level(level);
    let (mut buffer, mut frames, mut rest) = (BytesMut::new(), Vec::new(), stream);
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Err(error) => return (frames, error.to_string()),
            Ok(None) if rest.is_empty() => {
                let end = decoder.finish(buffer.len()).err().map(|error| error.to_string());
                return (frames, end.unwrap_or_default());
            }
            Ok(None) => {
                let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
                buffer.extend_from_slice(now);
                rest = later;
            }
        }
    }
}

pub(super) fn run(input: &[u8]) -> Result<Signature, String> {
    let mut tape = Tape::new(input);
    let (choice, step) = (tape.byte(), usize::from(tape.byte()));
    let limits = if choice.is_multiple_of(2) { LIMITS } else { Limits::default() };
    let level = if choice & 2 == 0 { Level::FOUR } else { Level::THREE };
    let stream = tape.rest();
    let (frames, end) = decode(stream, limits, level, || usize::MAX);
    let mut turn = 0;
    let pieces = decode(stream, limits, level, || {
        turn += 1;
        1 + step * turn % 31
    });
    if pieces != (frames.clone(), end.clone()) {
        return Err(format!(
            "whole: {} frames, then {end:?}; in pieces: {} frames, then {:?}",
            frames.len(),
            pieces.0.len(),
            pieces.1
        ));
    }
    for frame in frames.iter().filter(|frame| !matches!(frame.kind(), Kind::Unknown(_))) {
        let again =
            Frame::new(frame.header(), frame.transmitter(), frame.receiver(), frame.method(), frame.payload(), &limits);
        match again {
            Ok(again) if again.as_bytes() == frame.as_bytes() => {}
            again => return Err(format!("{frame:?} was read and is written as {again:?}")),
        }
    }
    let kinds: Vec<_> = frames.iter().take(2).map(Frame::kind).collect();
    let words: String = end.chars().filter(|c| c.is_ascii_alphabetic()).take(30).collect();
    Ok(Signature::of((format!("{kinds:?}"), words)))
}

//! Frames to bytes and back.

use std::hint::black_box;

use bytes::{BufMut, BytesMut};
use daffi_wire::{CallId, FormatId, Frame, FrameDecoder, FrameWriter, Header, Kind, Limits};
use gungraun::{library_benchmark, library_benchmark_group};

use crate::case::Case;

const MIB: usize = 1024 * 1024;

/// What one read brings at most until reads fill their buffer.
const READ: usize = 64 * 1024;

library_benchmark_group!(name = codec, benchmarks = [encode, decode]);

#[library_benchmark]
#[bench::request_32(1000, writing(Kind::Request, 32))]
#[bench::response_32(1000, writing(Kind::Response, 32))]
#[bench::request_1mib(1, writing(Kind::Request, MIB))]
#[bench::response_1mib(1, writing(Kind::Response, MIB))]
#[bench::whole_frame_32(1000, building(32))]
fn encode(times: usize, case: Case) -> Case {
    case.run(times)
}

#[library_benchmark]
#[bench::request_32(1000, reading(Kind::Request, 32, 1000))]
#[bench::response_32(1000, reading(Kind::Response, 32, 1000))]
#[bench::request_1mib(1, reading(Kind::Request, MIB, 1))]
#[bench::response_1mib(1, reading(Kind::Response, MIB, 1))]
#[bench::one_of_a_64kib_read(1000, cutting(1000))]
#[bench::in_16_pieces_1kib(100, in_pieces(100))]
#[bench::names_of_a_request(1000, names())]
fn decode(times: usize, case: Case) -> Case {
    case.run(times)
}

fn header(kind: Kind) -> Header {
    Header::new(kind, CallId(7), FormatId::MSGPACK, false, kind == Kind::Request)
}

fn method(kind: Kind) -> &'static str {
    if kind == Kind::Request { "add" } else { "" }
}

fn frame(kind: Kind, size: usize) -> Frame {
    Frame::new(header(kind), "caller", "worker", method(kind), &vec![b'x'; size], &Limits::default())
        .expect("a frame within the limits")
}

/// As calls and replies are written: into a buffer that is there already.
fn writing(kind: Kind, size: usize) -> Case {
    let (payload, limits, mut buffer) = (vec![b'x'; size], Limits::default(), BytesMut::new());
    Case::new(move || {
        buffer.clear();
        let written = FrameWriter::begin(&mut buffer, "caller", "worker", method(kind)).and_then(|mut writer| {
            writer.body().put_slice(&payload);
            writer.finish(header(kind), 0, &limits)
        });
        written.expect("a frame within the limits");
        black_box(&buffer);
    })
}

/// As a node's own notices are written.
fn building(size: usize) -> Case {
    let (payload, limits) = (vec![b'x'; size], Limits::default());
    Case::new(move || {
        black_box(Frame::new(header(Kind::Request), "caller", "worker", "add", &payload, &limits))
            .expect("a frame within the limits");
    })
}

/// Each frame from a read of its own.
fn reading(kind: Kind, size: usize, times: usize) -> Case {
    let frame = frame(kind, size);
    let mut reads: Vec<_> = (0..=times).map(|_| BytesMut::from(&frame.as_bytes()[..])).collect();
    let mut decoder = FrameDecoder::new(Limits::default());
    Case::new(move || {
        let mut read = reads.pop().expect("a read for each time");
        assert!(black_box(decoder.decode(&mut read)).is_ok_and(|frame| frame.is_some()));
    })
}

/// Many small frames from each read; the reads are made before.
fn cutting(times: usize) -> Case {
    let frame = frame(Kind::Request, 32);
    let each = READ / frame.as_bytes().len();
    let read = || BytesMut::from(&frame.as_bytes().repeat(each)[..]);
    let mut reads: Vec<_> = (0..=times / each).map(|_| read()).collect();
    let (mut read, mut decoder) = (BytesMut::new(), FrameDecoder::new(Limits::default()));
    Case::new(move || {
        if read.is_empty() {
            read = reads.pop().expect("a frame for each time");
        }
        assert!(black_box(decoder.decode(&mut read)).is_ok_and(|frame| frame.is_some()));
    })
}

/// A frame that comes bit by bit, looked for each time.
fn in_pieces(times: usize) -> Case {
    let frame = frame(Kind::Request, 1024);
    let bytes = frame.as_bytes().clone();
    let mut buffers: Vec<_> = (0..=times).map(|_| BytesMut::with_capacity(bytes.len())).collect();
    let mut decoder = FrameDecoder::new(Limits::default());
    let piece = bytes.len().div_ceil(16);
    Case::new(move || {
        let mut buffer = buffers.pop().expect("a buffer for each time");
        let mut whole = None;
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            black_box(decoder.missing_bytes(buffer.len()));
            whole = decoder.decode(&mut buffer).expect("a frame within the limits");
        }
        assert!(black_box(whole).is_some());
    })
}

/// What a receiver asks each request for.
fn names() -> Case {
    let frame = frame(Kind::Request, 32);
    Case::new(move || {
        let frame = black_box(&frame);
        black_box((frame.is_from("caller"), frame.receiver(), frame.method()));
    })
}

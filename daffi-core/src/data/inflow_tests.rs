use std::{sync::Arc, time::Instant};

use bytes::Buf;
use daffi_transport::{Batch, PeerInfo};
use daffi_wire::{CallCredit, CallId, FIRST_CALL_WINDOW, Frame, Limits, NodeName};

use super::*;
use crate::conn::{Budget, Conn};

const MIB: usize = 1 << 20;
const PART: usize = 65_280;

fn inflow(budget: usize, max_item: usize) -> (Inflow, Arc<Conn>) {
    let conn = Conn::new(PeerInfo::new("mem", "test"), &Budget::new(budget, 1.0, 100, MIB));
    let reserved = conn.data_account().try_charge(FIRST_CALL_WINDOW as usize, Instant::now()).unwrap();
    let [me, other] = ["me", "other"].map(|text| NodeName::new(text, &Limits::default()).unwrap());
    let end = CallEnd { conn: Arc::clone(&conn), me, other, id: CallId(7), is_caller: true, limits: Limits::default() };
    (Inflow::new(end, reserved, max_item), conn)
}

fn data(end: DataEnd, bytes: usize) -> Data {
    Data { id: CallId(7), from_caller: false, end, packed: false, bytes: vec![1; bytes].into() }
}

/// What was granted since it was asked before.
fn granted(conn: &Conn) -> Vec<CallCredit> {
    let mut batch = Batch::new();
    conn.outbox.take(&mut batch);
    let bytes = batch.remaining();
    let mut grants = Vec::new();
    while batch.has_remaining() {
        let frame = Frame::from_message(batch.next_frame().unwrap(), &Limits::default()).unwrap();
        grants.push(CallCredit::read(&frame).unwrap());
    }
    conn.outbox.on_written(bytes);
    grants
}

fn next(inflow: &Inflow) -> Poll<Option<Result<Bytes, FlowError>>> {
    inflow.poll_next(&Context::from_waker(Waker::noop()))
}

#[test]
fn an_item_larger_than_the_window_comes_whole() {
    let (inflow, conn) = inflow(64 * MIB, MIB);
    let mut limit = u64::from(FIRST_CALL_WINDOW);
    for parts in 1..9 {
        inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
        limit = granted(&conn).last().map_or(limit, |grant| grant.limit());
        assert!(limit >= (parts + 1) * u64::from(FIRST_CALL_WINDOW), "the rest may come");
        assert!(next(&inflow).is_pending());
    }
    inflow.on_data(data(DataEnd::Item, 10)).unwrap();
    assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(item))) if item.len() == 8 * PART + 10));
}

/// The honest slow one, and the greedy one that counts on it.
#[test]
fn a_large_item_behind_one_that_nobody_reads_holds_its_sender_up() {
    let (inflow, conn) = inflow(64 * MIB, MIB);
    inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
    inflow.on_data(data(DataEnd::Item, 10)).unwrap();
    granted(&conn);
    inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
    assert!(granted(&conn).is_empty(), "not before the first is read");
    assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(_)))));
    assert!(!granted(&conn).is_empty());
}

#[test]
fn what_waits_is_counted_until_it_is_read() {
    let (inflow, conn) = inflow(64 * MIB, 4 * MIB);
    let account = conn.data_account();
    for _ in 0..16 {
        inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
    }
    inflow.on_data(data(DataEnd::Item, 10)).unwrap();
    assert!(account.held_bytes() >= 16 * PART, "{}", account.held_bytes());
    assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(_)))));
    assert!(account.held_bytes() < 4 * MIB);
    inflow.close();
    assert_eq!(account.held_bytes(), 0);
}

#[test]
fn items_that_are_too_large_or_find_no_room_end_it() {
    let (inflow, _conn) = inflow(64 * MIB, 100_000);
    inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
    inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
    assert!(matches!(next(&inflow), Poll::Ready(Some(Err(FlowError::ItemTooLarge { limit: 100_000 })))));
    assert!(matches!(next(&inflow), Poll::Ready(None)));
    let (inflow, _conn) = self::inflow(MIB, 32 * MIB);
    while next(&inflow).is_pending() {
        inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
    }
    assert!(matches!(next(&inflow), Poll::Ready(None)), "the error was given");
}

#[test]
fn an_item_without_an_end_is_an_error() {
    let (inflow, _conn) = inflow(64 * MIB, MIB);
    inflow.on_data(data(DataEnd::Nothing, 10)).unwrap();
    inflow.on_data(data(DataEnd::Direction, 0)).unwrap();
    assert!(matches!(next(&inflow), Poll::Ready(Some(Err(FlowError::Malformed(_))))));
    let (inflow, _conn) = self::inflow(64 * MIB, MIB);
    inflow.on_data(data(DataEnd::Direction, 10)).unwrap();
    assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(item))) if item.len() == 10));
    assert!(matches!(next(&inflow), Poll::Ready(None)));
}

#[test]
fn small_items_travel_together_and_broken_ones_end_it() {
    let (inflow, _conn) = inflow(64 * MIB, MIB);
    let mut packed = BytesMut::new();
    for item in [&b"one"[..], b"", b"three"] {
        PackedItems::put(&mut packed, item);
    }
    let packed = packed.freeze();
    inflow.on_data(Data { packed: true, bytes: packed.clone(), ..data(DataEnd::Item, 0) }).unwrap();
    for item in ["one", "", "three"] {
        assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(came))) if came == item));
    }
    assert!(next(&inflow).is_pending());
    let cut = packed.slice(..packed.len() - 1);
    inflow.on_data(Data { packed: true, bytes: cut, ..data(DataEnd::Item, 0) }).unwrap();
    assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(next(&inflow), Poll::Ready(Some(Err(FlowError::Malformed(_))))));
}

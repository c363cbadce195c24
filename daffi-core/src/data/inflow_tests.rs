use std::{sync::Arc, time::Instant};

use bytes::Buf;
use daffi_transport::{Batch, PeerInfo};
use daffi_wire::{CallCredit, CallId, FIRST_CALL_WINDOW, Frame, Limits, NodeName, PackedItems};

use super::*;
use crate::conn::{Budget, Conn, DataFrom};

const MIB: usize = 1 << 20;
const PART: usize = 65_280;

fn inflow(budget: usize, max_item: usize) -> (Inflow, Arc<Conn>) {
    let conn = Conn::new(PeerInfo::new("mem", "test"), &Budget::new(budget, 1.0, 100, MIB));
    let reserved = conn.data_account().try_charge(FIRST_CALL_WINDOW as usize, Instant::now()).unwrap();
    let [me, other] = ["me", "other"].map(|text| NodeName::new(text, &Limits::default()).unwrap());
    let end = CallEnd {
        conn: Arc::clone(&conn),
        me,
        other,
        id: CallId(7),
        is_caller: true,
        from: DataFrom::Own,
        limits: Limits::default(),
    };
    (Inflow::new(end, reserved, max_item), conn)
}

fn data(end: DataEnd, bytes: usize) -> Data {
    Data { id: CallId(7), from_caller: false, end, packed: false, bytes: vec![1; bytes].into() }
}

/// What was granted since it was asked before, to a sender that takes it.
fn take_grants(conn: &Conn) -> Vec<CallCredit> {
    let lots = std::iter::from_fn(|| Some(take_unwritten(conn)).filter(|grants| !grants.is_empty()));
    lots.flatten().collect()
}

/// What of it waits to be written.
fn take_unwritten(conn: &Conn) -> Vec<CallCredit> {
    let mut batch = Batch::new();
    conn.outbox.take(&mut batch);
    let bytes = batch.remaining();
    let mut grants = Vec::new();
    while batch.has_remaining() {
        let frame = Frame::from_message(batch.next_frame().unwrap(), &Limits::default()).unwrap();
        grants.push(CallCredit::read(&frame).unwrap());
    }
    conn.outbox.on_written(bytes, &mut batch);
    grants
}

fn take(inflow: &Inflow, hand: &mut Hand) -> Poll<Option<Result<Bytes, FlowError>>> {
    let polled = inflow.poll_next(hand, &Context::from_waker(Waker::noop()));
    polled.map_ok(|came| match came {
        Came::Packed(item) => item.share(),
        Came::Whole(bytes) => bytes,
    })
}

/// Takes an item that came alone.
fn next(inflow: &Inflow) -> Poll<Option<Result<Bytes, FlowError>>> {
    take(inflow, &mut Hand::default())
}

/// Items in one frame.
fn pack_items(items: &[&[u8]]) -> Data {
    let mut packed = BytesMut::new();
    items.iter().for_each(|item| PackedItems::put(&mut packed, item));
    Data { packed: true, bytes: packed.freeze(), ..data(DataEnd::Item, 0) }
}

#[test]
fn an_item_larger_than_the_window_comes_whole() {
    let (inflow, conn) = inflow(64 * MIB, MIB);
    let mut limit = u64::from(FIRST_CALL_WINDOW);
    for parts in 1..9 {
        inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
        limit = take_grants(&conn).last().map_or(limit, |grant| grant.limit());
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
    take_grants(&conn);
    inflow.on_data(data(DataEnd::Nothing, PART)).unwrap();
    assert!(take_grants(&conn).is_empty(), "not before the first is read");
    assert!(matches!(next(&inflow), Poll::Ready(Some(Ok(_)))));
    assert!(!take_grants(&conn).is_empty());
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
    let ((inflow, _conn), mut hand) = (inflow(64 * MIB, MIB), Hand::default());
    let all = pack_items(&[b"one", b"", b"three"]);
    inflow.on_data(all.clone()).unwrap();
    inflow.on_data(pack_items(&[])).unwrap();
    for item in ["one", "", "three"] {
        assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Ok(came))) if came == item));
    }
    assert!(take(&inflow, &mut hand).is_pending());
    inflow.on_data(Data { bytes: all.bytes.slice(..all.bytes.len() - 1), ..all }).unwrap();
    inflow.on_data(data(DataEnd::Item, 1)).unwrap();
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Err(FlowError::Malformed(_))))));
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(None)), "what came behind is dropped");
}

/// Each is what it was, however they lie, and keeps no more than a few others alive.
#[test]
fn small_items_of_bytes_share_little_memory() {
    let ((inflow, _conn), mut hand) = (inflow(64 * MIB, MIB), Hand::default());
    let items: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; usize::from(n % 40) * 7]).collect();
    inflow.on_data(pack_items(&items.iter().map(Vec::as_slice).collect::<Vec<_>>())).unwrap();
    let mut came = Vec::new();
    while came.len() < items.len() {
        let Poll::Ready(Some(Ok(item))) = take(&inflow, &mut hand) else { panic!("an item is missing") };
        came.push(item);
    }
    assert!(came == items);
    let (first, others) = (came.swap_remove(1), came);
    assert!(!first.is_unique());
    drop(others);
    assert!(first.is_unique(), "what is in hand of its frame is other memory");
}

/// What its reader has in hand of a frame is worked off when that has all of it.
#[test]
fn a_frame_in_hand_holds_its_sender_up_until_it_is_read() {
    let ((inflow, conn), mut hand) = (inflow(64 * MIB, MIB), Hand::default());
    let large = vec![7; 20_000];
    inflow.on_data(pack_items(&[&large, b"last"])).unwrap();
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Ok(_)))));
    inflow.on_data(data(DataEnd::Nothing, 20_000)).unwrap();
    assert!(take_grants(&conn).is_empty(), "neither the frame nor what follows");
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Ok(item))) if item == "last"));
    assert!(take(&inflow, &mut hand).is_pending());
    assert_eq!(take_grants(&conn).last().unwrap().worked_off(), 20_008 + 256 + 20_000 + 256);
}

/// It is counted until its reader looks again, and void.
#[test]
fn what_is_in_hand_when_the_call_ends_is_void() {
    let ((inflow, conn), mut hand) = (inflow(64 * MIB, MIB), Hand::default());
    inflow.on_data(pack_items(&[b"one", b"two"])).unwrap();
    inflow.on_data(pack_items(&[b"three"])).unwrap();
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Ok(item))) if item == "one"));
    inflow.close();
    assert_eq!(conn.data_account().held_bytes(), 8 + 256);
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(Some(Err(FlowError::Ended)))));
    assert_eq!(conn.data_account().held_bytes(), 0);
    assert!(matches!(take(&inflow, &mut hand), Poll::Ready(None)));
}

struct NobodyWakes;

impl std::task::Wake for NobodyWakes {
    fn wake(self: Arc<Self>) {}
}

/// As a part of a callback that is polled only when it was woken, or that runs elsewhere.
#[test]
fn an_argument_is_waited_for_by_who_asks_in_this_turn_or_has_a_waker_of_its_own() {
    let [own, part] = [Arc::new(NobodyWakes), Arc::new(NobodyWakes)].map(Waker::from);
    for (waker, waits_on) in [(&own, false), (&part, true), (Waker::noop(), false)] {
        let (inflow, _conn) = inflow(64 * MIB, MIB);
        inflow.begin_poll();
        assert!(!inflow.is_awaited(&own), "nobody asked");
        assert!(inflow.poll_next(&mut Hand::default(), &Context::from_waker(waker)).is_pending());
        assert!(inflow.is_awaited(&own));
        inflow.begin_poll();
        assert_eq!(inflow.is_awaited(&own), waits_on);
        inflow.on_data(data(DataEnd::Item, 10)).unwrap();
        assert!(!inflow.is_awaited(&own), "there is one");
    }
}

/// Whoever says again that a body comes would have a copy of its beginning held each time.
#[test]
fn a_body_is_read_in_pieces_once_and_behind_nothing_else() {
    let first = Bytes::from(vec![1; 1000]);
    let (again, conn) = inflow(64 * MIB, MIB);
    again.begin_pieces(&first, 5000, 4000).unwrap();
    let held = conn.data_account().held_bytes();
    for _ in 0..100 {
        assert!(matches!(again.begin_pieces(&first, 5000, 4000), Err(FlowError::Malformed(_))));
    }
    assert_eq!(conn.data_account().held_bytes(), held);
    assert!(matches!(next(&again), Poll::Ready(Some(Ok(piece))) if piece.len() == 1000));
    assert!(next(&again).is_pending());
    let (behind, _conn) = inflow(64 * MIB, MIB);
    behind.on_data(data(DataEnd::Item, 10)).unwrap();
    assert!(matches!(next(&behind), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(behind.begin_pieces(&first, 5000, 4000), Err(FlowError::Malformed(_))), "items came");
}

/// A sender that goes on and reads nothing makes its reader hold one word.
#[test]
fn one_grant_waits_and_the_next_says_all() {
    let (inflow, conn) = inflow(64 * MIB, MIB);
    let mut read = 0;
    let mut pass = || {
        let item = data(DataEnd::Item, PART / 4);
        read += item.cost();
        inflow.on_data(item).unwrap();
        assert!(next(&inflow).is_ready());
        read
    };
    let worked_off = (0..1_000).map(|_| pass()).last().unwrap();
    let first = take_unwritten(&conn);
    assert!(first.len() == 1 && first[0].worked_off() < worked_off / 100, "{first:?}");
    let second = take_unwritten(&conn);
    assert!(second.len() == 1 && second[0].limit() > worked_off, "{second:?} of {worked_off}");
    assert!(take_unwritten(&conn).is_empty());
    (0..1_000).for_each(|_| _ = pass());
    inflow.close();
    assert_eq!((take_unwritten(&conn).len(), take_unwritten(&conn).len()), (1, 0), "behind the end nothing is of use");
}

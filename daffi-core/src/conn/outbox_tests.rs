use super::*;
use crate::conn::{Budget, DataFrom};

const MIB: usize = 1024 * 1024;

fn outbox(limit: usize) -> Outbox {
    Outbox::new(Budget::new(limit, 1.0, 100, MIB).open())
}

fn push(outbox: &Outbox, class: Class, bytes: usize) -> bool {
    outbox.push(class, &vec![0; bytes], None).unwrap() != Queued::Full
}

/// The peer takes all.
fn write(outbox: &Outbox) {
    let mut batch = Batch::new();
    while outbox.take(&mut batch) {
        let _is_all = write_some(outbox, &mut batch, usize::MAX);
    }
}

/// It takes so many bytes of what was taken for it. Gives whether nothing waits any more.
fn write_some(outbox: &Outbox, batch: &mut Batch, most: usize) -> bool {
    let bytes = batch.remaining().min(most);
    batch.advance(bytes);
    outbox.on_written(bytes, batch)
}

#[test]
fn each_class_has_its_own_room() {
    let outbox = outbox(16 * MIB);
    while push(&outbox, Class::Request, 10_000) {}
    let (soft, share) = (outbox.account.soft_share(), outbox.account.share());
    assert!(
        (soft..soft + 20_000).contains(&outbox.account.held_bytes()),
        "requests wait from an eighth of the share on"
    );
    while push(&outbox, Class::Answer, 10_000) {}
    assert!(outbox.account.held_bytes() > share / 3, "answers have the whole share");
    for class in [Class::Nowait, Class::Provoked, Class::Notice, Class::Terminal] {
        assert!(push(&outbox, class, 100), "{class:?}");
    }
    write(&outbox);
    assert_eq!((outbox.bytes(), outbox.account.held_bytes(), outbox.account.budget().used_bytes()), (0, 0, 0));
    assert!(push(&outbox, Class::Request, 10_000));
    outbox.close();
}

#[test]
fn a_frame_larger_than_all_room_passes_when_nothing_waits() {
    let outbox = outbox(4 * MIB);
    assert!(push(&outbox, Class::Answer, 6 * MIB));
    assert!(!push(&outbox, Class::Answer, 6 * MIB) && !push(&outbox, Class::Request, 10));
    write(&outbox);
    assert!(push(&outbox, Class::Request, 6 * MIB));
    outbox.close();
}

#[test]
fn small_frames_cost_what_they_hold() {
    let outbox = outbox(16 * MIB);
    for _ in 0..1000 {
        assert!(push(&outbox, Class::Answer, 17));
    }
    assert_eq!(outbox.account.held_bytes(), 1000 * (17 + FRAME_COST));
    let mut batch = Batch::new();
    outbox.take(&mut batch);
    assert_eq!(outbox.account.held_bytes(), 1000 * (17 + FRAME_COST), "the driver has it");
    assert_eq!(outbox.close().frames, 0);
    assert_eq!(outbox.account.held_bytes(), 0);
}

/// A part of a large read buffer, and a flag that this is gone.
fn part_of_a_read_buffer(bytes: usize) -> (Bytes, std::sync::Weak<()>) {
    struct Read(Vec<u8>, #[expect(dead_code, reason = "dropped with it")] Arc<()>);
    impl AsRef<[u8]> for Read {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let alive = Arc::new(());
    let gone = Arc::downgrade(&alive);
    (Bytes::from_owner(Read(vec![7; 128 * 1024], alive)).slice(..bytes), gone)
}

#[test]
fn what_a_peer_does_not_take_keeps_no_read_buffer_and_is_counted_as_it_is_held() {
    let outbox = outbox(16 * MIB);
    let (taken, first) = part_of_a_read_buffer(40_000);
    let (waits, second) = part_of_a_read_buffer(40_000);
    let mut batch = Batch::new();
    let _asked = outbox.push(Class::Nowait, b"", Some(taken)).unwrap();
    outbox.take(&mut batch);
    let _asked = outbox.push(Class::Nowait, b"", Some(waits)).unwrap();
    assert!(first.upgrade().is_some() && second.upgrade().is_some(), "what goes on is not copied");
    outbox.on_stall(&mut batch, 1000);
    assert!(first.upgrade().is_none() && second.upgrade().is_none());
    let (later, third) = part_of_a_read_buffer(40_000);
    let _asked = outbox.push(Class::Nowait, b"", Some(later)).unwrap();
    assert!(third.upgrade().is_none());
    for _ in 0..10_000 {
        assert!(push(&outbox, Class::Nowait, 17));
    }
    let held = batch.held_bytes() + outbox.queue.lock().batch.held_bytes() + 1000;
    assert_eq!(outbox.account.held_bytes(), held);
    assert!(held < 2 * (3 * 40_000 + 10_000 * (17 + FRAME_COST)), "{held}");
    // It goes on.
    assert!(!write_some(&outbox, &mut batch, usize::MAX) && outbox.take(&mut batch));
    assert!(write_some(&outbox, &mut batch, usize::MAX) && !outbox.is_waiting());
    assert_eq!((outbox.bytes(), outbox.account.held_bytes(), outbox.account.budget().used_bytes()), (0, 0, 0));
}

#[test]
fn other_frames_pass_between_parts_of_much_data() {
    let (outbox, part) = (outbox(16 * MIB), Bytes::from(vec![0; 10_000]));
    for id in [1, 2] {
        let key = DataKey { from: DataFrom::Conn(1), id: daffi_wire::CallId(id), from_caller: true };
        for _ in 0..20 {
            assert!(outbox.push_data(key, part.clone(), 1).is_ok());
        }
    }
    let (mut turns, mut data) = (0, 0);
    while outbox.is_waiting() {
        assert!(push(&outbox, Class::Request, 3));
        let mut batch = Batch::new();
        outbox.take(&mut batch);
        let of_turn = batch.remaining() - 3;
        assert!(of_turn < DATA_TURN + part.len(), "{of_turn} bytes stand before the next small frame");
        (turns, data) = (turns + 1, data + of_turn);
        let _is_all = write_some(&outbox, &mut batch, usize::MAX);
        outbox.take(&mut batch);
        data += batch.remaining();
        let _is_all = write_some(&outbox, &mut batch, usize::MAX);
    }
    assert_eq!(data, 40 * part.len());
    assert!(turns > 1);
    outbox.close();
}

#[test]
fn the_driver_is_asked_again_after_what_it_was_asked_for_is_forgotten() {
    let (outbox, part) = (outbox(16 * MIB), Bytes::from_static(b"part"));
    let key = |id| DataKey { from: DataFrom::Conn(1), id: daffi_wire::CallId(id), from_caller: true };
    assert_eq!(outbox.push_data(key(1), part.clone(), 1).unwrap(), Queued::Ask);
    outbox.forget_data(|data| data.forget(key(1)));
    assert!(!outbox.is_waiting());
    assert_eq!(outbox.push(Class::Own, b"request", None).unwrap(), Queued::Ask);
    assert_eq!(outbox.push_data(key(2), part, 1).unwrap(), Queued::Asked);
    outbox.forget_data(|data| data.forget(key(2)));
    assert!(outbox.is_waiting(), "it is still asked for the request");
    assert_eq!(outbox.push(Class::Own, b"request", None).unwrap(), Queued::Asked);
    outbox.close();
}

#[test]
fn what_the_peer_provoked_is_forgotten_as_it_is_taken() {
    let outbox = outbox(16 * MIB);
    for _ in 0..1000 {
        assert!(push(&outbox, Class::Provoked, 1000));
    }
    assert_eq!(outbox.provoked_bytes(), 1000 * (1000 + FRAME_COST));
    let mut batch = Batch::new();
    outbox.take(&mut batch);
    assert!(!write_some(&outbox, &mut batch, 400_000));
    assert_eq!(outbox.provoked_bytes(), 600_000 + 1000 * FRAME_COST);
    assert!(write_some(&outbox, &mut batch, 600_000));
    assert_eq!(outbox.provoked_bytes(), 0);
}

#[tokio::test]
async fn who_waits_for_room_is_woken_when_there_is_some() {
    let outbox = outbox(16 * MIB);
    outbox.room(Class::Own, 1).await;
    while push(&outbox, Class::Request, 10_000) {}
    let mut waiting = Box::pin(outbox.room(Class::Own, 1));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    write(&outbox);
    waiting.await;
    while push(&outbox, Class::Request, 10_000) {}
    let mut waiting = Box::pin(outbox.room(Class::Own, 1));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    outbox.close();
    waiting.await;
}

/// Others wait for room while a call fills it, and that call ends without any of it being written.
#[tokio::test]
async fn what_is_forgotten_makes_room_for_those_who_wait() {
    let outbox = outbox(16 * MIB);
    let key = DataKey { from: DataFrom::Own, id: daffi_wire::CallId(1), from_caller: true };
    let _asked = outbox.push_data(key, Bytes::from(vec![7; OWN_DATA]), 1).unwrap();
    let mut waiting = Box::pin(outbox.data_room());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    outbox.forget_data(|data| data.forget(key));
    assert!(futures::poll!(waiting.as_mut()).is_ready());
    drop(waiting);
    let _asked = outbox.push_data(key, Bytes::from(vec![7; 16 * MIB]), 1).unwrap();
    let mut waiting = Box::pin(outbox.room(Class::Own, 1));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    outbox.forget_data(|data| data.forget(key));
    assert!(futures::poll!(waiting.as_mut()).is_ready());
}

/// What it holds in parts of bodies counts, though it lies elsewhere.
#[test]
fn whose_answer_finds_no_room_hears_of_all_that_is_held() {
    let account = Budget::new(64 << 20, 1.0, 100, 1 << 20).open();
    let outbox = Outbox::new(Arc::clone(&account));
    let _elsewhere = account.charge(12_345_678);
    let text = outbox.lost_answer_error("f", 5, "c").message;
    assert!(text.contains("12345678 bytes are held for c"), "{text}");
}

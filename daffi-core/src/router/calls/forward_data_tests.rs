//! What is said of calls to those who take it late, or not at all.

use bytes::{Bytes, BytesMut};
use daffi_wire::{DataEnd, Extensions, FIRST_CALL_WINDOW, FormatId, FrameWriter, Header, Limits, StreamFlags};

use super::*;
use crate::router::bare::{BareMember, BareRouter};

const NUMBER: CallId = CallId(7);

/// The first frame of `kind` of a call, or of its results.
fn begins(kind: Kind, names: [&str; 3], flags: StreamFlags) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, names[0], names[1], names[2]).unwrap();
    writer.extensions(&Extensions::builder().stream(flags).build().unwrap());
    writer.finish(Header::new(kind, NUMBER, FormatId::JSON, true, kind == Kind::Request), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// A call of which both directions go in DATA.
fn with_a_call(router: &BareRouter) -> (BareMember, BareMember) {
    let (mut worker, mut caller) = (router.join("w"), router.join("c"));
    let both = StreamFlags { items_follow: true, takes_results: true };
    caller.handle(begins(Kind::Request, ["c", "w", "f"], both)).unwrap();
    let follow = StreamFlags { items_follow: true, takes_results: false };
    worker.handle(begins(Kind::Response, ["w", "c", "f"], follow)).unwrap();
    worker.take_all();
    caller.take_all();
    (worker, caller)
}

fn credits(member: &mut BareMember) -> Vec<u64> {
    let credits = member.take_frames().into_iter().filter(|frame| frame.kind() == Kind::Credit);
    credits.map(|frame| CallCredit::read(&frame).unwrap().worked_off()).collect()
}

/// Whoever sends DATA for as long as it likes, and reads nothing of what it may send, makes the
/// Router hold one word about that.
#[tokio::test]
async fn one_grant_of_a_call_waits_and_the_next_says_all() {
    let router = BareRouter::at("mem://bare-grants");
    for from_caller in [false, true] {
        let (mut worker, mut caller) = with_a_call(&router);
        let (sender, reader, names) = match from_caller {
            true => (&mut caller, &mut worker, ["c", "w"]),
            false => (&mut worker, &mut caller, ["w", "c"]),
        };
        let bytes = Bytes::from_static(&[7; FIRST_CALL_WINDOW as usize / 2]);
        let data = Data { id: NUMBER, from_caller, end: DataEnd::Item, packed: false, bytes };
        let mut worked_off = 0;
        for _ in 0..1_000 {
            sender.handle(data.frame(names[0], names[1], &Limits::default()).unwrap()).unwrap();
            assert!(reader.take_all() > 0);
            worked_off += data.cost();
            let credit = CallCredit::new(NUMBER, !from_caller, worked_off, FIRST_CALL_WINDOW).unwrap();
            reader.handle(credit.frame(names[1], names[0], &Limits::default()).unwrap()).unwrap();
        }
        assert_eq!(credits(sender), [data.cost()]);
        assert_eq!(credits(sender), [worked_off], "it says all that came meanwhile");
        assert!(credits(sender).is_empty());
        // None is left over when the call has ended.
        for _ in 0..2 {
            sender.handle(data.frame(names[0], names[1], &Limits::default()).unwrap()).unwrap();
            reader.take_all();
            worked_off += data.cost();
            let credit = CallCredit::new(NUMBER, !from_caller, worked_off, FIRST_CALL_WINDOW).unwrap();
            reader.handle(credit.frame(names[1], names[0], &Limits::default()).unwrap()).unwrap();
        }
        let end = Data { from_caller: false, end: DataEnd::Direction, bytes: Bytes::new(), ..data.clone() };
        worker.handle(end.frame("w", "c", &Limits::default()).unwrap()).unwrap();
        let sender = if from_caller { &mut caller } else { &mut worker };
        assert_eq!((credits(sender).len(), credits(sender).len()), (1, 0));
        caller.leave();
        worker.leave();
        assert_eq!(router.holds(), (0, 0, 0));
    }
}

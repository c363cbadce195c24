use std::time::Duration;

use super::*;

const NOTE: CallNote = CallNote { callback: 7, begun: 0 };

#[test]
fn only_a_reply_of_the_receiver_to_an_open_call_passes() {
    let mut calls = OpenCalls::default();
    assert_eq!(calls.open(CallId(2), 10, NOTE), Some(CallId(2)));
    assert_eq!(calls.complete(CallId(3), 10), None, "no such call");
    assert_eq!(calls.complete(CallId(2), 11), None, "another node");
    assert_eq!(calls.complete(CallId(2), 10), Some(CallId(2)));
    assert_eq!(calls.complete(CallId(2), 10), None, "a second reply");
}

#[test]
fn a_call_is_cancelled_once() {
    let mut calls = OpenCalls::default();
    calls.open(CallId(2), 10, NOTE);
    let number = calls.open(CallId(2), 11, NOTE).unwrap();
    assert_eq!(calls.cancel(CallId(3)), None, "no such call");
    assert_eq!(calls.cancel(number), None, "another's name for it");
    assert_eq!(calls.cancel(CallId(2)), Some((number, 11)), "under the number that the receiver knows");
    assert_eq!(calls.cancel(CallId(2)), None, "it was told");
    assert_eq!(calls.complete(number, 11), Some(CallId(2)), "it ends as any other");
    assert_eq!(calls.cancel(CallId(2)), None);
}

#[test]
fn what_nobody_answers_ends_and_its_number_rests() {
    let name = NodeName::new("worker", &daffi_wire::Limits::default()).unwrap();
    let (mut calls, begun) = (OpenCalls::default(), Instant::now());
    let at = |seconds| begun + Duration::from_secs(seconds);
    calls.open(CallId(1), 9, NOTE);
    for (id, since) in [(2, 0), (3, 1), (4, 1), (5, 2)] {
        calls.open_in_line(CallId(id), (10, &name), NOTE, at(since));
    }
    let second = calls.open_in_line(CallId(2), (10, &name), NOTE, at(3)).unwrap();
    calls.complete(CallId(3), 10);
    let mut unanswered = |since: u64, mut steps: usize| {
        std::iter::from_fn(|| calls.take_unanswered(at(since), &mut steps)).map(|call| call.id.0).collect::<Vec<_>>()
    };
    assert!(unanswered(1, 2).is_empty(), "one was given up, one answered, and the look is over");
    assert_eq!(unanswered(1, 2), [4]);
    assert_eq!(unanswered(3, 9), [5, 2], "not the one without a limit");
    assert_eq!((calls.waits_since(), calls.count_waiting(), calls.len()), (None, 1, 5));
    for late in [CallId(2), CallId(4), CallId(5), second] {
        assert_eq!(calls.complete(late, 10), None, "a late answer reaches nobody");
    }
    assert_eq!((calls.len(), calls.renumbered.len()), (1, 0));
}

#[test]
fn a_number_used_again_travels_under_another() {
    let mut calls = OpenCalls::default();
    calls.open(CallId(2), 10, NOTE);
    let second = calls.open(CallId(2), 10, NOTE).unwrap();
    assert_ne!(second, CallId(2));
    let third = calls.open(CallId(2), 10, NOTE).unwrap();
    assert_eq!(calls.count_waiting(), 1);
    assert_eq!(calls.complete(CallId(2), 10), None, "the reply to the first, which nobody waits for");
    assert_eq!(calls.complete(second, 10), None);
    assert_eq!(calls.complete(third, 10), Some(CallId(2)));
    assert_eq!((calls.len(), calls.renumbered.len(), calls.held.len()), (0, 0, 0));
}

#[test]
fn a_call_may_have_the_number_under_which_another_travels() {
    let mut calls = OpenCalls::default();
    calls.open(CallId(2), 10, NOTE);
    let renumbered = calls.open(CallId(2), 10, NOTE).unwrap();
    let other = calls.open(renumbered, 10, NOTE).unwrap();
    assert_ne!(other, renumbered);
    assert_eq!(calls.complete(renumbered, 10), Some(CallId(2)));
    assert_eq!(calls.complete(other, 10), Some(renumbered));
    assert!(calls.renumbered.is_empty());
}

#[test]
fn a_leaving_receiver_gives_up_its_calls_only() {
    let mut calls = OpenCalls::default();
    for (id, receiver) in [(5, 10), (2, 10), (3, 11), (5, 10)] {
        calls.open(CallId(id), receiver, NOTE);
    }
    assert_eq!(calls.end_receiver(10), [CallId(2), CallId(5)]);
    assert_eq!((calls.len(), calls.renumbered.len(), calls.count_waiting()), (1, 0, 1));
}

/// Whatever was answered and opened before, the end of one receiver ends its calls and no
/// others.
#[test]
fn the_calls_to_each_receiver_are_known_after_any_history() {
    let (mut calls, mut open) = (OpenCalls::default(), HashMap::new());
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..50_000 {
        let (id, receiver) = (CallId(rng.u16(1..200)), rng.u64(..8));
        match rng.u8(..16) {
            0 => {
                let gone: Vec<u16> = calls.end_receiver(receiver).iter().map(|id| id.0).collect();
                let mut expected: Vec<u16> =
                    open.extract_if(|_, (_, to)| *to == receiver).filter_map(|(_, (id, _))| id).collect();
                expected.sort_unstable();
                assert_eq!(gone, expected);
            }
            1..8 => {
                let to = open.get(&id.0).map_or(receiver, |(_, to)| *to);
                let caller = open.remove(&id.0).and_then(|(caller, _)| caller).map(CallId);
                assert_eq!(calls.complete(id, to), caller);
            }
            _ => {
                open.values_mut().for_each(|(caller, _)| *caller = caller.filter(|caller| *caller != id.0));
                let number = calls.open(id, receiver, NOTE).unwrap();
                assert!(open.insert(number.0, (Some(id.0), receiver)).is_none());
            }
        }
        assert_eq!(calls.len(), open.len());
    }
    (0..8).for_each(|receiver| drop(calls.end_receiver(receiver)));
    assert!(calls.calls.is_empty() && calls.held.is_empty() && calls.renumbered.is_empty() && calls.waiting == 0);
}

/// The one that answers stays callable, whatever the others do not answer, and however often
/// the caller goes around.
#[test]
fn receivers_that_never_answer_leave_numbers_for_the_others() {
    let mut calls = OpenCalls::default();
    let mut refused = [0; 3];
    for round in 0..3 {
        for id in 1..=u16::MAX {
            for (hung, refused) in refused.iter_mut().enumerate() {
                *refused += usize::from(calls.open(CallId(id), 10 + hung as u64, NOTE).is_none());
            }
            let number = calls.open(CallId(id), 99, NOTE).unwrap_or_else(|| panic!("call {id} of round {round}"));
            assert_eq!(calls.complete(number, 99), Some(CallId(id)));
        }
    }
    assert!(refused.iter().all(|refused| *refused > 0), "{refused:?}");
    assert!(calls.len() < IDS - IDS / 5, "{} numbers", calls.len());
    assert!(calls.count_waiting() <= IDS);
    for hung in 10..13 {
        calls.end_receiver(hung);
    }
    assert_eq!((calls.len(), calls.count_waiting(), calls.renumbered.len(), calls.held.len()), (0, 0, 0, 0));
}

/// A caller that comes and goes, whatever it leaves behind, finds numbers as long as its receiver
/// says that all is said.
#[test]
fn what_is_said_back_takes_no_numbers() {
    let mut calls = OpenCalls::default();
    let mut told = 0;
    for round in 0..200_u32 {
        for id in 1..=1_000 {
            assert!(calls.open(CallId(id), 10, NOTE).is_some(), "call {id} of round {round}");
        }
        calls.complete(CallId(7), 10);
        calls = calls.close();
        told += 1;
        assert!(calls.is_untold(10) && !calls.is_untold(11));
        calls.tell(10, told);
        assert!(!calls.is_untold(10));
        // One caller behind.
        calls.end_told(10, told - 1);
        calls.end_told(11, told);
        calls.end_told(10, told + 1);
        assert!((999..1_001).contains(&calls.len()), "{}", calls.len());
    }
    calls.end_told(10, told);
    assert_eq!((calls.len(), calls.held.len(), calls.count_told()), (0, 0, 0));
}

/// Who never says it back takes as much as who never answers, and no more.
#[test]
fn what_is_never_said_back_is_bounded() {
    let (mut calls, mut told, mut refused) = (OpenCalls::default(), 0, 0);
    for _ in 0..50 {
        for id in 1..=1_000 {
            refused += usize::from(calls.open(CallId(id), 10, NOTE).is_none());
        }
        calls = calls.close();
        told += 1;
        calls.tell(10, told);
    }
    assert!(refused > 0 && calls.len() == IDS / 2 + 1, "{refused} of them, {} open", calls.len());
    assert!(calls.open(CallId(1), 11, NOTE).is_some(), "others are called all the same");
    // A late answer to one of them frees that one.
    let before = calls.len();
    let mut late = (1..=1_000).filter(|id| calls.complete(CallId(*id), 10).is_none());
    assert!(late.next().is_some());
    drop(late);
    assert!(calls.len() < before);
    for number in 1..=told {
        calls.end_told(10, number);
    }
    assert_eq!((calls.len(), calls.count_told()), (1, 0));
}

/// Many that leave few calls each, and few that leave many.
#[test]
fn lists_are_counted_and_keep_no_room_of_a_busy_moment() {
    let mut calls = OpenCalls::default();
    for told in 1..=500 {
        assert!(calls.open(CallId(1), 10, NOTE).is_some());
        calls = calls.close();
        calls.tell(10, told);
        assert_eq!(calls.count_told(), told as usize);
    }
    let first = OpenCalls::default().held_bytes();
    assert!(calls.listed >= 336 + 500 * 96, "{}", calls.listed);
    assert!(first == 0 && calls.held_bytes() >= calls.listed);
    // Each receiver has its busy moment, and one call stays.
    for receiver in 11..31 {
        let open: Vec<_> = (0..8_000).filter_map(|_| calls.open(CallId(7), receiver, NOTE)).collect();
        assert_eq!(open.len(), 8_000);
        open[1..].iter().for_each(|number| _ = calls.complete(*number, receiver));
        assert_eq!((calls.held[&receiver].len(), calls.count_told()), (1, 500));
    }
    assert!(calls.listed < 336 + 500 * 98 + 21 * 600, "{}", calls.listed);
    // What a busy caller leaves has no room to grow.
    (0..5_000).for_each(|_| _ = calls.open(CallId(7), 40, NOTE));
    calls = calls.close();
    let before = calls.listed;
    calls.tell(40, 501);
    assert!(calls.count_told() == 501 && calls.listed <= before + 336 + 96);
    assert_eq!(calls.held[&40].held_bytes(), 336 + 96 + 2 * 5_000);
    // Late answers end all but one of them.
    let late: Vec<_> = calls.calls.iter().filter(|(_, call)| call.receiver == 40).map(|(number, _)| *number).collect();
    late[1..].iter().for_each(|number| _ = calls.complete(CallId(*number), 40));
    assert!(calls.count_told() == 501 && calls.held[&40].held_bytes() <= 336 + 96 + 2 * 256);
}

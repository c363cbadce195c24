use super::*;

const MOST: usize = 4;

/// Windows of each open lane in turn, until something is to be done.
fn until_something(policy: &mut Spreading, busy: &[u32], windows: u32) -> Option<(u32, LaneStep)> {
    (0..windows).find_map(|window| {
        (0..busy.len()).find_map(|lane| match policy.note(lane, busy, MOST) {
            LaneStep::Stay => None,
            step => Some((window, step)),
        })
    })
}

#[test]
fn one_lane_stays_one_until_it_is_hot_for_a_while() {
    let mut policy = Spreading::default();
    assert_eq!(until_something(&mut policy, &[HOT - 1], 1000), None);
    assert_eq!(policy.note(0, &[HOT], MOST), LaneStep::Stay);
    assert_eq!(policy.note(0, &[HOT - 1], MOST), LaneStep::Stay, "a short load is none");
    assert_eq!(until_something(&mut policy, &[HOT], 1000), Some((HEATING - 1, LaneStep::Watch)));
    assert_eq!(until_something(&mut policy, &[HOT], 1000), Some((0, LaneStep::Arrange(2))));
}

#[test]
fn the_last_lane_stays_when_there_is_nothing_to_do() {
    let mut policy = Spreading::default();
    assert_eq!(until_something(&mut policy, &[0], 1000), None);
    assert_eq!(until_something(&mut policy, &[0, 0], 1000), Some((COOLING - 1, LaneStep::Retire)));
    assert_eq!(until_something(&mut policy, &[0], 1000), None);
}

#[test]
fn a_load_that_went_away_while_it_was_watched_opens_no_lane() {
    let mut policy = Spreading::default();
    assert!(until_something(&mut policy, &[1000], 10).is_some());
    assert_eq!(policy.note(0, &[100], MOST), LaneStep::Arrange(1));
}

#[test]
fn a_single_lane_is_never_watched_when_there_may_be_no_other() {
    let mut policy = Spreading::default();
    assert!((0..1000).all(|_| policy.note(0, &[1000], 1) == LaneStep::Stay));
}

#[test]
fn what_could_not_be_spread_is_not_watched_all_the_time() {
    let mut policy = Spreading::default();
    assert!(until_something(&mut policy, &[1000], 10).is_some());
    assert!(until_something(&mut policy, &[1000], 10).is_some());
    policy.note_nothing_found(1);
    let (windows, step) = until_something(&mut policy, &[1000], 1000).unwrap();
    assert!(windows >= LOOK - 1 && step == LaneStep::Watch, "{windows}");
}

#[test]
fn lanes_are_fewer_when_all_fits_with_a_margin_and_stays_so() {
    let mut policy = Spreading::default();
    let (fits, does_not) = ([COOL / 2, COOL / 2], [COOL / 2, COOL / 2 + 1]);
    assert_eq!(until_something(&mut policy, &fits, COOLING - 1), None);
    assert_eq!(until_something(&mut policy, &does_not, 1), None, "it begins anew");
    assert_eq!(until_something(&mut policy, &fits, 1000), Some((COOLING - 1, LaneStep::Retire)));
    // What retires a lane does not open it again, even if it is a fifth more on one lane.
    const { assert!(COOL + COOL / 5 < HOT) };
    // The third lane goes first.
    assert_eq!(until_something(&mut policy, &[400, 400, 400], 1000), Some((COOLING - 1, LaneStep::Retire)));
}

#[test]
fn lanes_in_use_are_watched_now_and_then_without_becoming_more() {
    let mut policy = Spreading::default();
    let busy = [500, 500];
    let (windows, step) = until_something(&mut policy, &busy, 1000).unwrap();
    assert!(windows + 1 >= LOOK && step == LaneStep::Watch, "{windows} {step:?}");
    assert_eq!(until_something(&mut policy, &busy, 1000), Some((0, LaneStep::Arrange(2))));
}

#[test]
fn a_lane_that_is_hot_beside_a_cold_one_gives_away_before_a_further_one_opens() {
    let mut policy = Spreading::default();
    let busy = [900, 300];
    assert_eq!(until_something(&mut policy, &busy, 1000).unwrap().1, LaneStep::Watch);
    assert_eq!(until_something(&mut policy, &busy, 1000).unwrap().1, LaneStep::Arrange(2));
    let full = [950, 900];
    assert_eq!(until_something(&mut policy, &full, 1000).unwrap().1, LaneStep::Watch);
    assert_eq!(until_something(&mut policy, &full, 1000).unwrap().1, LaneStep::Arrange(3));
}

fn seat_work(seat: u64, lane: usize, nanos: u64) -> Worked {
    Worked { seat, lane, nanos }
}

/// Where each seat is afterwards.
fn lanes_after(seats: &[Worked], exchanges: &[(u64, u64, u64)], lanes: usize) -> Vec<usize> {
    let exchanges = exchanges.iter().map(|(a, b, frames)| ((*a, *b), *frames)).collect();
    let moves: FxHashMap<_, _> = arrange(seats, &exchanges, lanes).into_iter().collect();
    assert!(moves.values().all(|lane| *lane < lanes));
    seats.iter().map(|seat| moves.get(&seat.seat).copied().unwrap_or(seat.lane)).collect()
}

#[test]
fn those_who_talk_to_each_other_stay_together() {
    // Four pairs on one lane, whose members lie apart in the list.
    let seats: Vec<_> = (0..8).map(|seat| seat_work(seat, 0, 100)).collect();
    let pairs: Vec<_> = (0..4).map(|a| (a, a + 4, 1000)).collect();
    let at = lanes_after(&seats, &pairs, 2);
    assert!((0..4).all(|a| at[a] == at[a + 4]), "{at:?}");
    assert_eq!(at.iter().filter(|lane| **lane == 1).count(), 4, "{at:?}");
}

#[test]
fn a_rare_exchange_binds_nobody() {
    let seats: Vec<_> = (0..8).map(|seat| seat_work(seat, 0, 100)).collect();
    let mut exchanges: Vec<_> = (0..4).map(|a| (a, a + 4, 1000)).collect();
    exchanges.extend((1..8).map(|other| (0, other, 1)));
    let at = lanes_after(&seats, &exchanges, 2);
    assert!((0..4).all(|a| at[a] == at[a + 4]), "{at:?}");
    assert_eq!(at.iter().filter(|lane| **lane == 1).count(), 4, "{at:?}");
}

#[test]
fn a_group_that_is_too_much_for_one_lane_is_cut_and_nobody_is_left_out() {
    // One worker and 16 callers.
    let mut seats = vec![seat_work(100, 0, 1600)];
    seats.extend((0..16).map(|seat| seat_work(seat, 0, 100)));
    let exchanges: Vec<_> = (0..16).map(|caller| (caller, 100, 10)).collect();
    let at = lanes_after(&seats, &exchanges, 2);
    let load = |lane| seats.iter().zip(&at).filter(|(_, at)| **at == lane).map(|(seat, _)| seat.nanos).sum::<u64>();
    assert_eq!(load(0) + load(1), 3200);
    assert!(load(0).abs_diff(load(1)) <= 640, "{at:?}");
}

#[test]
fn one_connection_alone_goes_nowhere() {
    assert_eq!(lanes_after(&[seat_work(1, 0, 1000)], &[], 4), [0]);
    assert_eq!(
        lanes_after(&[seat_work(1, 0, 1000), seat_work(2, 0, 10)], &[(1, 2, 5)], 2),
        [0, 0],
        "a tenth is the least gain"
    );
    assert!(arrange(&[], &Exchanges::default(), 2).is_empty());
}

#[test]
fn who_talks_across_lanes_is_brought_together_and_then_left_alone() {
    let mut seats: Vec<_> = (0..8).map(|seat| seat_work(seat, usize::from(seat >= 4), 100)).collect();
    let pairs: Vec<_> = (0..4).map(|a| (a, a + 4, 1000)).collect();
    let at = lanes_after(&seats, &pairs, 2);
    assert!((0..4).all(|a| at[a] == at[a + 4]), "{at:?}");
    for (seat, lane) in seats.iter_mut().zip(&at) {
        seat.lane = *lane;
    }
    assert!(arrange(&seats, &pairs.iter().map(|(a, b, n)| ((*a, *b), *n)).collect(), 2).is_empty());
}

use std::time::Duration;

use super::*;

const MIB: usize = 1024 * 1024;

fn budget() -> Arc<Budget> {
    Budget::new(256 * MIB, 1.0, 20_000, 32 * MIB)
}

/// Takes until there is no room.
fn fill(account: &Arc<Account>, piece: usize) -> Vec<Charge> {
    std::iter::from_fn(|| account.try_charge(piece, Instant::now())).collect()
}

#[test]
fn what_an_ended_connection_owned_is_free_when_nothing_is_held_for_it() {
    let budget = budget();
    let remembered = budget.open();
    let request = remembered.charge(1000);
    remembered.end();
    assert_eq!(budget.owned_bytes(), remembered.own(), "a request of it still runs");
    drop(request);
    assert_eq!((budget.owned_bytes(), budget.used_bytes()), (0, 0));
    drop(remembered);
    let idle = budget.open();
    idle.end();
    assert_eq!(budget.owned_bytes(), 0);
    drop(idle);
    assert_eq!((budget.owned_bytes(), budget.used_bytes()), (0, 0), "once");
}

#[test]
fn one_alone_gets_half_and_many_leave_room_for_the_next() {
    for greedy in [1, 2, 8, 17, 100, 1000] {
        let budget = budget();
        let accounts: Vec<_> = (0..greedy).map(|_| budget.open()).collect();
        // A little of each after the other, as they would come.
        let mut held: Vec<Vec<Charge>> = accounts.iter().map(|_| Vec::new()).collect();
        let mut went_on = true;
        while std::mem::take(&mut went_on) {
            for (account, charges) in accounts.iter().zip(&mut held) {
                if let Some(charge) = account.try_charge(40_000, Instant::now()) {
                    charges.push(charge);
                    went_on = true;
                }
            }
        }
        let next = budget.open();
        let (least, room) = (accounts.iter().map(|a| a.held_bytes()).min().unwrap(), next.share());
        assert!(room + 2 * 64 * 1024 >= least, "{greedy}: {least} each, {room} for the next");
        assert!(next.try_charge(10, Instant::now()).is_some());
        assert!(budget.used_bytes() + budget.owned.load(Relaxed) <= budget.limit);
    }
}

#[test]
fn a_large_step_leaves_as_much_to_others_as_small_ones() {
    let budget = budget();
    let (account, next) = (budget.open(), budget.open());
    let most = |step: usize| {
        let mut charges = Vec::new();
        while account.held_bytes() + step <= account.share_after(step) {
            charges.push(account.charge(step));
        }
        (account.held_bytes(), next.share())
    };
    let ((small, left), (large, left_after_large)) = (most(10_000), most(40 * MIB));
    assert!(large <= small && left_after_large >= left, "{large} and {small}, {left_after_large} and {left}");
}

#[test]
fn in_a_race_the_first_leave_something_for_the_last() {
    let budget = budget();
    let accounts: Vec<_> = (0..30).map(|_| budget.open()).collect();
    let held: Vec<_> = accounts.iter().map(|account| fill(account, 100_000)).collect();
    let last = accounts.last().unwrap();
    // Each took half of what was free: after 12 of them only own parts are left, and later ones
    // have theirs.
    assert!(last.held_bytes() + 100_000 > last.own());
    assert!(budget.open().try_charge(10, Instant::now()).is_some());
    drop(held);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn own_parts_are_half_of_the_budget_at_most() {
    let budget = budget();
    let accounts: Vec<_> = (0..20_000).map(|_| budget.open()).collect();
    assert_eq!(accounts[0].own(), MOST_OWN);
    assert!(accounts.last().unwrap().own() > 3000);
    let owned: usize = accounts.iter().map(|account| account.own()).sum();
    assert_eq!(owned, budget.owned.load(Relaxed));
    assert!(owned <= budget.limit / 2, "{owned}");
    drop(accounts);
    assert_eq!((budget.owned.load(Relaxed), budget.open().own()), (0, MOST_OWN));
}

#[test]
fn small_budgets_have_small_parts() {
    let budget = Budget::new(64 * 1024, 1.0, 20_000, 1024);
    let account = budget.open();
    assert_eq!(account.own(), 0);
    assert!(account.admits(10_000) && !account.admits(100_000));
}

#[test]
fn what_is_counted_is_what_is_held() {
    let budget = budget();
    let accounts: Vec<_> = (0..20).map(|_| budget.open()).collect();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut charges: Vec<Charge> = Vec::new();
    for _ in 0..20_000 {
        if rng.bool() || charges.is_empty() {
            let account = &accounts[rng.usize(..accounts.len())];
            let most = [100, 10_000, 3_000_000][rng.usize(..3)];
            let bytes = rng.usize(..most);
            charges.extend(account.try_charge(bytes, Instant::now()));
        } else {
            charges.swap_remove(rng.usize(..charges.len()));
        }
        let beyond: usize = accounts.iter().map(|account| account.held_bytes().saturating_sub(account.own())).sum();
        let used = budget.used_bytes();
        assert!((beyond..beyond + accounts.len() * STEP).contains(&used), "{used} for {beyond}");
        assert!(used <= budget.limit);
    }
    let held: usize = charges.iter().map(Charge::bytes).sum();
    assert_eq!(held, accounts.iter().map(|account| account.held_bytes()).sum::<usize>());
    drop(charges);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn threads_count_what_they_hold() {
    let budget = budget();
    let account = budget.open();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let account = &account;
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                for _ in 0..10_000 {
                    drop(account.charge(rng.usize(..100_000)));
                }
            });
        }
    });
    assert_eq!((account.held_bytes(), budget.used_bytes()), (0, 0));
}

#[test]
fn large_arguments_are_read_one_at_a_time_or_as_there_is_room() {
    let (budget, now) = (Budget::new(8 * MIB, 1.0, 10, MIB), Instant::now());
    let account = budget.open();
    let read = |bytes, must| account.read_arguments(bytes, || 24 * bytes, must, || now);
    let small: Vec<_> = (0..1000).map(|_| read(1000, false).unwrap()).collect();
    assert_eq!(account.held_bytes(), 0);
    let first = read(MIB, false).unwrap();
    assert_eq!(account.held_bytes(), 2 * MIB, "a quarter of the budget at most");
    let second = read(MIB, false).unwrap();
    let refused = read(MIB, false).unwrap_err();
    assert!(refused.may_hold == 2 * MIB && budget.presses(usize::MAX, now));
    let must = read(MIB, true).unwrap();
    drop((small, first, second, must));
    assert_eq!((account.held_bytes(), budget.readings.load(Relaxed)), (0, 0));
    let full = account.charge(8 * MIB);
    assert!(read(MIB, false).is_ok(), "one always may");
    drop(full);
}

/// The callback that has the first arguments may run for hours.
#[tokio::test(start_paused = true)]
async fn large_arguments_wait_for_room_and_not_for_those_before_them() {
    let budget = Budget::new(8 * MIB, 1.0, 100, 1 << 20);
    let account = budget.open();
    let _first = account.read_arguments(MIB, || 24 * MIB, false, Instant::now).unwrap();
    let other = account.charge(5 * MIB);
    let mut second = pin!(timeout(Duration::from_secs(3600), account.may_read(24 * MIB)));
    assert!(futures::poll!(second.as_mut()).is_pending());
    drop(other);
    second.await.expect("there is room");
    assert!(account.read_arguments(MIB, || 24 * MIB, false, Instant::now).is_ok());
}

#[test]
fn pressure_is_felt_by_those_who_hold_more_than_the_refused() {
    let (budget, now) = (budget(), Instant::now() + Duration::from_secs(1));
    assert!(!budget.presses(usize::MAX, now));
    budget.note_refusal(1000, now);
    assert!(budget.presses(1001, now) && !budget.presses(1000, now));
    let soon = now + Duration::from_secs(1);
    budget.note_refusal(5000, soon);
    assert!(budget.presses(1001, soon), "the smallest counts");
    let later = now + Duration::from_millis(PRESSED_FOR);
    assert!(!budget.presses(usize::MAX, later), "and no longer, whoever was refused with more since");
    budget.note_refusal(5000, later);
    assert!(!budget.presses(5000, later));
}

#[test]
fn the_overdraft_is_bounded() {
    let budget = budget();
    let account = budget.open();
    let full = account.charge(256 * MIB);
    assert!(!budget.is_overdrawn());
    budget.draw(0, 65 * MIB);
    assert!(budget.is_overdrawn());
    budget.draw(65 * MIB, 0);
    drop(full);
    assert_eq!((budget.used_bytes(), budget.is_overdrawn()), (0, false));
}

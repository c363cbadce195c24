//! What a thread knows of the connection that it runs just now.

use std::cell::{Cell, RefCell};

use daffi_transport::run_on_lane;

#[derive(Debug)]
struct Here {
    seat: Cell<u64>,
    lane: Cell<usize>,
    may_move: Cell<bool>,
    watched: Cell<bool>,
}

thread_local! {
    static HERE: Here = const {
        Here { seat: Cell::new(0), lane: Cell::new(0), may_move: Cell::new(false), watched: Cell::new(false) }
    };
    static EXCHANGES: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// What one poll of a connection showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The connection may move from now on.
    pub(super) may_move: bool,
    /// Frames for others, by their seats.
    pub(super) exchanges: Vec<(u64, u64)>,
}

/// Runs a poll of the connection in `seat` on `lane`, which sockets know by `number`.
pub(super) fn run<T>(seat: u64, lane: usize, number: u32, watched: bool, poll: impl FnOnce() -> T) -> (T, Seen) {
    struct Back<'a>(&'a Here);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            self.0.seat.set(0);
            self.0.lane.set(0);
            self.0.watched.set(false);
        }
    }
    HERE.with(|here| {
        let _back = Back(here);
        here.seat.set(seat);
        here.lane.set(lane);
        here.watched.set(watched);
        let polled = run_on_lane(number, poll);
        let exchanges = if watched { EXCHANGES.take() } else { Vec::new() };
        (polled, Seen { may_move: here.may_move.take(), exchanges })
    })
}

/// The seat of the connection that runs here; 0: it is on no lane.
pub(crate) fn seat() -> u64 {
    HERE.with(|here| here.seat.get())
}

/// The lane that runs here.
pub(crate) fn lane() -> usize {
    HERE.with(|here| here.lane.get())
}

/// The connection that runs here may move to another lane from now on.
pub(crate) fn allow_move() {
    HERE.with(|here| here.may_move.set(here.seat.get() != 0));
}

/// The connection that runs here has `frames` for the one in `seat`.
pub(crate) fn note_exchange(seat: u64, frames: usize) {
    if HERE.with(|here| here.watched.get() && here.seat.get() != seat) {
        EXCHANGES.with_borrow_mut(|all| all.push((seat, frames as u64)));
    }
}

//! What reading again may cost.
//!
//! Most values are read in a step or two, however long they are. Text of old protocols is looked
//! through to its end each time, and a pickle can refer to the same text again and again, from two
//! bytes each. So all that is looked through beyond one pass over the input is counted here.

use std::cell::Cell;

use crate::ReadError;

/// Steps that every pickle may take, however short it is.
const ALWAYS: usize = 64 << 10;
/// Steps for each byte of a pickle: those who refer to keys of many letters need some of them, and
/// where what is read is kept, too, its memory is what is met first.
const PER_BYTE: usize = 32;
/// Digits of an integer whose square is a step: making it of decimal text takes quadratic time.
const DIGITS_SQUARED: usize = 2048;

/// Steps that a pickle may still take. One is about what a byte of text costs.
#[derive(Debug)]
pub(super) struct Work {
    left: Cell<usize>,
    limit: usize,
}

impl Work {
    /// What a pickle of `len` bytes may take.
    pub(super) const fn of(len: usize) -> Self {
        let limit = ALWAYS.saturating_add(len.saturating_mul(PER_BYTE));
        Self { left: Cell::new(limit), limit }
    }

    /// Takes `steps`. When there were too few, nothing is left, and [`check`](Self::check) says so
    /// to whoever could not hear of it here.
    pub(super) fn take(&self, steps: usize) -> Result<(), ReadError> {
        self.left.set(self.left.get().saturating_sub(steps));
        self.check()
    }

    /// Takes what making an integer of so many digits costs.
    pub(super) fn take_digits(&self, digits: usize) -> Result<(), ReadError> {
        self.take(digits.saturating_mul(digits) / DIGITS_SQUARED)
    }

    /// Whether anything is left.
    #[inline]
    pub(super) fn check(&self) -> Result<(), ReadError> {
        if self.left.get() == 0 { Err(ReadError::Work { limit: self.limit }) } else { Ok(()) }
    }
}

/// Notes what was in fact looked at, which tests hold against what is counted.
#[inline]
pub(super) fn note_steps(steps: usize) {
    #[cfg(test)]
    noted::NOTED.set(noted::NOTED.get() + steps);
    #[cfg(not(test))]
    let _ = steps;
}

#[cfg(test)]
pub(super) mod noted {
    use std::cell::Cell;

    thread_local! {
        pub(super) static NOTED: Cell<usize> = const { Cell::new(0) };
    }

    /// What is noted while `run` runs.
    pub(in crate::read) fn during<T>(run: impl FnOnce() -> T) -> (usize, T) {
        NOTED.set(0);
        let made = run();
        (NOTED.get(), made)
    }
}

//! The state of `datetime` objects, as their constructors take it from a pickle.

use daffi_serde::value::{Date, Time};

/// The bit that is set in a month or an hour for the second of two equal times when clocks are set
/// back.
const FOLD: u8 = 0x80;

pub(super) fn date(state: [u8; 4]) -> Option<Date> {
    let [year_high, year_low, month, day] = state;
    Date::new(u16::from_be_bytes([year_high, year_low]), month, day)
}

pub(super) fn time(state: [u8; 6]) -> Option<Time> {
    let [hour, minute, second, micros @ ..] = state;
    let [high, middle, low] = micros;
    Time::new(hour & !FOLD, minute, second, u32::from_be_bytes([0, high, middle, low]))
}

/// A moment, and whether it is the second of two that clocks show alike.
pub(super) fn date_time(state: [u8; 10]) -> Option<(Date, Time, bool)> {
    let [year_high, year_low, month, day, clock @ ..] = state;
    if clock[0] & FOLD != 0 {
        return None;
    }
    Some((date([year_high, year_low, month & !FOLD, day])?, time(clock)?, month & FOLD != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        assert_eq!(date([7, 232, 2, 29]), Date::new(2024, 2, 29));
        assert_eq!(date([7, 231, 2, 29]), None);
        assert_eq!(time([0x81, 2, 3, 0x0f, 0x42, 0x3f]), Time::new(1, 2, 3, 999_999));
        assert_eq!(time([1, 2, 3, 0x0f, 0x42, 0x40]), None);
        let moment = (Date::new(2024, 2, 29).unwrap(), Time::new(1, 2, 3, 4).unwrap(), true);
        assert_eq!(date_time([7, 232, 0x82, 29, 1, 2, 3, 0, 0, 4]), Some(moment));
        assert_eq!(date_time([7, 232, 2, 29, 0x81, 2, 3, 0, 0, 4]), None);
    }
}

//! Time zones by name: what offset from UTC a clock on the wall has there.

use daffi_serde::value::{Date, DateTime, Time, TimeDelta};
use jiff::{
    Timestamp, civil,
    tz::{AmbiguousOffset, TimeZone},
};

use super::work::note_steps;

/// Whether `name` may be that of a zone: it is no path, and has nothing that ends the text it is
/// put into.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/');
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('/')
}

/// The zone of that name, if the database has it. This may read a file: not every name that a file
/// bears is that of a zone, and what is none is read again each time.
pub(super) fn find(name: &str) -> Option<TimeZone> {
    note_steps(1000);
    TimeZone::get(name).ok()
}

/// The offset of a zone that has had the same at all times, as `UTC` has.
pub(super) fn only_offset(zone: &TimeZone) -> Option<TimeDelta> {
    let is_fixed = zone.following(Timestamp::MIN).next().is_none();
    let seconds = zone.to_offset(Timestamp::UNIX_EPOCH).seconds();
    is_fixed.then(|| TimeDelta::from_microseconds(i128::from(seconds) * 1_000_000)).flatten()
}

/// A moment in a zone and the name of that, with the offset that it has there. Of two that clocks
/// show alike when they are set back, `second` says which. In a zone that the database does not
/// have the moment bears the name alone.
pub(super) fn at(date: Date, time: Time, second: bool, name: &str, zone: Option<&TimeZone>) -> DateTime {
    let offset = zone.and_then(|zone| offset(date, time, second, zone));
    let time = offset.and_then(|offset| time.at_offset(offset)).unwrap_or(time);
    DateTime::new(date, time).in_zone(name)
}

fn offset(date: Date, time: Time, second: bool, zone: &TimeZone) -> Option<TimeDelta> {
    let small = |number: u8| i8::try_from(number).ok();
    let date = civil::Date::new(i16::try_from(date.year).ok()?, small(date.month)?, small(date.day)?).ok()?;
    let nanos = i32::try_from(time.microsecond).ok()? * 1000;
    let time = civil::Time::new(small(time.hour)?, small(time.minute)?, small(time.second)?, nanos).ok()?;
    // Where clocks are set forward, too, Python takes the offset before for the first and that
    // after for the second.
    let offset = match zone.to_ambiguous_timestamp(date.to_datetime(time)).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => {
            if second {
                after
            } else {
                before
            }
        }
    };
    TimeDelta::from_microseconds(i128::from(offset.seconds()) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_that_python_finds() {
        for (moment, second, offset) in [
            ("2024-07-01T12:00:00", false, "+02:00"),
            ("2024-01-01T12:00:00", false, "+01:00"),
            // Clocks went from 3 back to 2, and from 2 on to 3.
            ("2024-10-27T02:30:00", false, "+02:00"),
            ("2024-10-27T02:30:00", true, "+01:00"),
            ("2024-03-31T02:30:00", false, "+01:00"),
            ("2024-03-31T02:30:00", true, "+02:00"),
        ] {
            let DateTime { date, time, .. } = moment.parse().unwrap();
            let text = format!("{moment}{offset}[Europe/Berlin]");
            assert_eq!(at(date, time, second, "Europe/Berlin", find("Europe/Berlin").as_ref()).to_string(), text);
        }
        let DateTime { date, time, .. } = "2024-07-01T12:00:00".parse().unwrap();
        assert!(find("Mars/Base").is_none());
        assert_eq!(at(date, time, false, "Mars/Base", None).to_string(), "2024-07-01T12:00:00[Mars/Base]");
        let only = |name| find(name).as_ref().and_then(only_offset).map(|offset| offset.seconds);
        assert_eq!((only("UTC"), only("Etc/GMT-2"), only("Europe/Berlin")), (Some(0), Some(7200), None));
        assert!(!is_name("../etc/passwd") && !is_name("/etc/passwd") && !is_name("") && !is_name("a]b"));
    }
}

//! Days, times of day and lengths of time, as Python's `datetime` knows them, and their ISO 8601
//! text.

use std::{fmt, str::FromStr};

/// A day of the proleptic Gregorian calendar. Its text is ISO 8601: `2024-02-29`.
///
/// ```
/// use daffi_serde::value::Date;
/// let day: Date = "2024-02-29".parse()?;
/// assert_eq!(Date::new(2024, 2, 29), Some(day));
/// assert_eq!(Date::new(2023, 2, 29), None);
/// # Ok::<(), daffi_serde::value::NotInCalendar>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A time of day. Its text is ISO 8601 as Python writes it: `03:04:05`, `03:04:05.000006+01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999 999.
    pub microsecond: u32,
    /// Offset from UTC when the time bears one.
    pub offset: Option<TimeDelta>,
}

/// A day and a time of that day. Its text is ISO 8601, `2024-02-29T03:04:05+01:00`, with the name
/// of its zone in brackets behind it when it has one (RFC 9557):
/// `2024-02-29T03:04:05+01:00[Europe/Berlin]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DateTime {
    /// The day.
    pub date: Date,
    /// The time, with the offset from UTC of that moment when one is known.
    pub time: Time,
    /// The name of the time zone, as IANA's database has it. PICKLE and postcard carry it; others
    /// only the offset.
    pub zone: Option<Box<str>>,
}

/// A length of time, normalised as Python does: only the days are negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeDelta {
    /// -999 999 999 to 999 999 999.
    pub days: i32,
    /// 0 to 86 399.
    pub seconds: u32,
    /// 0 to 999 999.
    pub microseconds: u32,
}

/// Text or numbers that name no day, time of day or length of time that Python can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct NotInCalendar {
    expected: &'static str,
}

const NO_DATE: NotInCalendar = NotInCalendar { expected: "a date of the years 1 to 9999 such as 2024-02-29" };
const NO_TIME: NotInCalendar = NotInCalendar { expected: "a time of day such as 03:04:05.000006+01:00" };
const NO_DATE_TIME: NotInCalendar = NotInCalendar { expected: "a date and time such as 2024-02-29T03:04:05" };

const DAY_MICROS: i128 = 86_400_000_000;

impl Date {
    /// A day, if the calendar has it.
    #[must_use]
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 0,
        };
        if matches!(year, 1..=9999) && day >= 1 && day <= last { Some(Self { year, month, day }) } else { None }
    }
}

impl Date {
    /// Whether the calendar has it. The fields can be set to what it has not; such a date is not
    /// written.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        Self::new(self.year, self.month, self.day).is_some()
    }
}

impl Time {
    /// Whether the clock has it. The fields can be set to what it has not; such a time is not
    /// written.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let time = Self::new(self.hour, self.minute, self.second, self.microsecond);
        match self.offset {
            Some(offset) => offset.is_valid() && time.is_some_and(|time| time.at_offset(offset).is_some()),
            None => time.is_some(),
        }
    }

    /// A time of day without an offset, if the clock has it.
    #[must_use]
    pub const fn new(hour: u8, minute: u8, second: u8, microsecond: u32) -> Option<Self> {
        if hour < 24 && minute < 60 && second < 60 && microsecond < 1_000_000 {
            Some(Self { hour, minute, second, microsecond, offset: None })
        } else {
            None
        }
    }

    /// The same time at an offset from UTC, which must be shorter than a day.
    #[must_use]
    pub fn at_offset(self, offset: TimeDelta) -> Option<Self> {
        (offset.total_microseconds().abs() < DAY_MICROS).then_some(Self { offset: Some(offset), ..self })
    }
}

impl DateTime {
    /// A moment, without the name of a zone.
    #[must_use]
    pub const fn new(date: Date, time: Time) -> Self {
        Self { date, time, zone: None }
    }

    /// The same moment in a zone of that name. The offset from UTC stays what it is.
    #[must_use]
    pub fn in_zone(mut self, name: impl Into<Box<str>>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// ISO 8601 without the name of the zone.
    pub(super) fn iso(&self) -> String {
        format!("{}T{}", self.date, self.time)
    }
}

impl TimeDelta {
    /// A length of time, if its parts are normalised and in range.
    #[must_use]
    pub const fn new(days: i32, seconds: u32, microseconds: u32) -> Option<Self> {
        if days.unsigned_abs() <= 999_999_999 && seconds < 86_400 && microseconds < 1_000_000 {
            Some(Self { days, seconds, microseconds })
        } else {
            None
        }
    }

    /// Whether its parts are normalised and in range. The fields can be set to what is not; such a
    /// length is not written.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        Self::new(self.days, self.seconds, self.microseconds).is_some()
    }

    /// A length of time in microseconds, unless it is beyond 999 999 999 days.
    #[must_use]
    pub fn from_microseconds(total: i128) -> Option<Self> {
        let rest = u64::try_from(total.rem_euclid(DAY_MICROS)).ok()?;
        Self::new(
            i32::try_from(total.div_euclid(DAY_MICROS)).ok()?,
            u32::try_from(rest / 1_000_000).ok()?,
            u32::try_from(rest % 1_000_000).ok()?,
        )
    }

    /// The whole length in microseconds.
    #[must_use]
    pub const fn total_microseconds(self) -> i128 {
        self.days as i128 * DAY_MICROS + self.seconds as i128 * 1_000_000 + self.microseconds as i128
    }

    /// The whole length in seconds; beyond 270 years the microseconds are rounded.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "documented")]
    pub const fn as_secs_f64(self) -> f64 {
        self.total_microseconds() as f64 / 1e6
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)?;
        if self.microsecond != 0 {
            write!(f, ".{:06}", self.microsecond)?;
        }
        let Some(offset) = self.offset else { return Ok(()) };
        let total = offset.total_microseconds();
        let (seconds, micros) = (total.unsigned_abs() / 1_000_000, total.unsigned_abs() % 1_000_000);
        let sign = if total < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)?;
        if seconds % 60 != 0 || micros != 0 {
            write!(f, ":{:02}", seconds % 60)?;
        }
        if micros != 0 {
            write!(f, ".{micros:06}")?;
        }
        Ok(())
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", self.date, self.time)?;
        self.zone.as_ref().map_or(Ok(()), |zone| write!(f, "[{zone}]"))
    }
}

/// Writes it as Python does: `1 day, 0:00:01.500000`.
impl fmt::Display for TimeDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0 {
            write!(f, "{} day{}, ", self.days, if self.days.unsigned_abs() == 1 { "" } else { "s" })?;
        }
        write!(f, "{}:{:02}:{:02}", self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60)?;
        if self.microseconds != 0 {
            write!(f, ".{:06}", self.microseconds)?;
        }
        Ok(())
    }
}

impl FromStr for Date {
    type Err = NotInCalendar;

    fn from_str(text: &str) -> Result<Self, NotInCalendar> {
        let parse = || {
            let (year, rest) = digits(text, 4)?;
            let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
            let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
            let date = Self::new(u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?)?;
            rest.is_empty().then_some(date)
        };
        parse().ok_or(NO_DATE)
    }
}

impl FromStr for Time {
    type Err = NotInCalendar;

    fn from_str(text: &str) -> Result<Self, NotInCalendar> {
        let parse = || {
            let at = text.find(['+', '-', 'Z']).unwrap_or(text.len());
            let (time, zone) = text.split_at(at);
            let (hour, minute, second, micro) = clock(time)?;
            let time = Self::new(hour, minute, second, micro)?;
            let sign = match zone.chars().next() {
                None => return Some(time),
                Some('Z') => return (zone.len() == 1).then_some(Self { offset: Some(TimeDelta::default()), ..time }),
                Some('-') => -1,
                Some(_) => 1,
            };
            let (hour, minute, second, micro) = clock(&zone[1..])?;
            let seconds = i128::from(hour) * 3600 + i128::from(minute) * 60 + i128::from(second);
            time.at_offset(TimeDelta::from_microseconds(sign * (seconds * 1_000_000 + i128::from(micro)))?)
        };
        parse().ok_or(NO_TIME)
    }
}

impl FromStr for DateTime {
    type Err = NotInCalendar;

    fn from_str(text: &str) -> Result<Self, NotInCalendar> {
        let (date, rest) = text.split_once('T').ok_or(NO_DATE_TIME)?;
        let (time, zone) = match rest.strip_suffix(']') {
            Some(rest) => rest.split_once('[').map(|(time, zone)| (time, Some(zone.into()))).ok_or(NO_DATE_TIME)?,
            None => (rest, None),
        };
        Ok(Self { date: date.parse()?, time: time.parse()?, zone })
    }
}

/// `03:04`, `03:04:05`, `03:04:05.000006`.
fn clock(text: &str) -> Option<(u8, u8, u8, u32)> {
    let byte = |number: u32| u8::try_from(number).ok();
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    if rest.is_empty() {
        return Some((byte(hour)?, byte(minute)?, 0, 0));
    }
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (micro, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest, 6)?,
        None => (0, rest),
    };
    rest.is_empty().then_some((byte(hour)?, byte(minute)?, byte(second)?, micro))
}

/// The number of exactly `count` digits that `text` begins with, and the rest.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let all = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((all.then(|| number.parse().ok())??, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_python_writes() {
        for text in [
            "00:00:00",
            "03:04:05",
            "03:04:05.000006",
            "23:59:59+01:00",
            "03:04:05-00:00:01",
            "03:04:05+00:00:00.000001",
        ] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
        }
        assert_eq!("03:04Z".parse::<Time>().unwrap().to_string(), "03:04:00+00:00");
        assert_eq!("0001-01-01".parse::<Date>().unwrap().to_string(), "0001-01-01");
        assert_eq!(TimeDelta::from_microseconds(-1).unwrap().to_string(), "-1 day, 23:59:59.999999");
        let fewest = TimeDelta { days: i32::MIN, seconds: 0, microseconds: 0 };
        assert_eq!(fewest.to_string(), "-2147483648 days, 0:00:00");
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for text in
            ["", "2024-2-9", "2023-02-29", "0000-01-01", "2024-13-01", "2024-01-01 ", "+024-01-01", "é024-01-01"]
        {
            assert_eq!(text.parse::<Date>(), Err(NO_DATE), "{text}");
        }
        for text in ["", "24:00:00", "1:2:3", "03:04:05.1", "03:04:05+24:00", "03:04:05+", "03:04:05Zz", "+", "03:60"] {
            assert_eq!(text.parse::<Time>(), Err(NO_TIME), "{text}");
        }
        assert!(TimeDelta::from_microseconds(i128::MAX).is_none());
    }
}

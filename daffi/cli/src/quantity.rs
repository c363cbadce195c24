//! Times and sizes on the command line.

use std::{fmt, str::FromStr, time::Duration};

use bytesize::ByteSize;

/// Thirty years: what any clock can add to the present.
const LONGEST: f64 = 1e9;

/// A time: seconds with or without a fraction, or with units, `5s` or `1min 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match seconds(text)? {
            seconds if (0.0..=LONGEST).contains(&seconds) => Ok(Self(Duration::from_secs_f64(seconds))),
            _ => Err(format!("a time from 0 to {LONGEST} s is expected")),
        }
    }
}

/// Reads seconds, which may be any number here.
fn seconds(text: &str) -> Result<f64, String> {
    let (sign, time) = text.strip_prefix('-').map_or((1.0, text), |time| (-1.0, time));
    match (text.parse(), humantime::parse_duration(time)) {
        (Ok(seconds), _) => Ok(seconds),
        (_, Ok(time)) => Ok(sign * time.as_secs_f64()),
        _ => Err("a number of seconds such as 30 or 0.5 is expected, or a time such as 200ms or 2min".to_owned()),
    }
}

/// Reads a time that is over at some time, but not at once.
pub(crate) fn more_than_none(text: &str) -> Result<Seconds, String> {
    match seconds(text)? {
        seconds if seconds > LONGEST || seconds.is_nan() => {
            Err(format!("a time of more than 0 and at most {LONGEST} s is expected"))
        }
        seconds => match Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() => Ok(Seconds(time)),
            _ => Err("it must be more than 0".to_owned()),
        },
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_secs_f64().fmt(f)
    }
}

/// How long to wait: a time, or `none` for as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Option<Duration>);

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            text => match more_than_none(text) {
                Ok(Seconds(after)) => Ok(Self(Some(after))),
                Err(refusal) => Err(format!("{refusal}; `none` waits for as long as it takes")),
            },
        }
    }
}

/// How many: a whole number above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) | Err(_) => Err(format!("a whole number from 1 to {} is expected", usize::MAX)),
            Ok(count) => Ok(Self(count)),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of bytes above 0: `65536`, `64KiB`, `1.5MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: ByteSize = text.parse().map_err(|_| "a size such as 65536, 64KiB or 1MB is expected".to_owned())?;
        match usize::try_from(size.as_u64()) {
            Ok(0) => Err("it must be more than 0".to_owned()),
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err("more than this machine can address".to_owned()),
        }
    }
}

/// The size as it is exactly: with a unit only where that loses nothing.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => bytes.fmt(f),
        }
    }
}

/// A time as a person reads it: three digits and a unit.
pub(crate) fn brief(time: Duration) -> String {
    let nanos = time.as_secs_f64() * 1e9;
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let places = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.places$} {unit}")
}

/// A figure for programs, with so many places behind its point: more than were measured say
/// nothing.
pub(crate) fn rounded(value: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_as_many_digits_as_they_are_worth() {
        for (value, places, said) in [
            (0.812_345_678_9, 3, "0.812"),
            (1.000_4e3, 3, "1000.4"),
            (17_391.304_347_826_088, 3, "17391.304"),
            (2.000_000_123_4, 6, "2.0"),
            (0.0, 3, "0.0"),
        ] {
            assert_eq!(format!("{:?}", rounded(value, places)), said);
        }
    }

    #[test]
    fn times_and_sizes_are_what_they_say() {
        assert_eq!("0.25".parse(), Ok(Wait(Some(Duration::from_millis(250)))));
        assert_eq!("none".parse(), Ok(Wait(None)));
        for (text, millis) in [("5s", 5000), ("200ms", 200), ("1min 30s", 90_000), ("5 s", 5000)] {
            assert_eq!(text.parse(), Ok(Wait(Some(Duration::from_millis(millis)))), "{text}");
        }
        for bad in ["0", "-1", "nan", "inf", "1e10", "5 apples", ""] {
            assert!(bad.parse::<Wait>().is_err(), "{bad:?}");
        }
        for bad in ["-1", "nan", "inf", "-inf", "2e9"] {
            let refusal = bad.parse::<Seconds>().unwrap_err();
            assert_eq!(refusal, "a time from 0 to 1000000000 s is expected", "{bad}");
        }
        for bad in ["0ms", "0", "-1", "-1s", "-0", "1e-12", "-inf"] {
            assert_eq!(more_than_none(bad), Err("it must be more than 0".to_owned()), "{bad}");
            let refusal = bad.parse::<Wait>().unwrap_err();
            assert_eq!(refusal, "it must be more than 0; `none` waits for as long as it takes", "{bad}");
        }
        for bad in ["nan", "inf", "2e9", "40years"] {
            let refusal = more_than_none(bad).unwrap_err();
            assert_eq!(refusal, "a time of more than 0 and at most 1000000000 s is expected", "{bad}");
        }
        assert_eq!(more_than_none("1ms"), Ok(Seconds(Duration::from_millis(1))));
        for bad in ["0", "-1", "1.5", "many", "18446744073709551616"] {
            assert!(bad.parse::<Count>().unwrap_err().starts_with("a whole number from 1 to "), "{bad}");
        }
        let size = |text: &str| text.parse::<Size>().map(|size| (size.0, size.to_string()));
        assert_eq!(size("7"), Ok((7, "7".to_owned())));
        assert_eq!(size("64KiB"), Ok((65_536, "64KiB".to_owned())));
        assert_eq!(size("1MB"), Ok((1_000_000, "1000000".to_owned())));
        assert_eq!(size("32 MiB"), Ok((33_554_432, "32MiB".to_owned())));
        assert!(["-1", "much", "0"].into_iter().all(|bad| size(bad).is_err()));
        assert_eq!(Seconds(Duration::from_millis(1500)).to_string(), "1.5");
    }

    #[test]
    fn brief_times_have_three_digits() {
        let brief = |nanos| brief(Duration::from_nanos(nanos));
        assert_eq!(
            [brief(7), brief(1_234), brief(98_760), brief(432_100_000)],
            ["7.00 ns", "1.23 µs", "98.8 µs", "432 ms"]
        );
        assert_eq!(brief(61_000_000_000), "61.0 s");
    }
}

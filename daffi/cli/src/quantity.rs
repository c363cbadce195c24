//! Times and sizes on the command line.

use std::time::Duration;

use bytesize::ByteSize;

/// Seconds with or without a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds such as 30 or 0.5 is expected".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// How long to wait: seconds, or `none` for as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Option<Duration>);

impl std::str::FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            text => match seconds(text) {
                Ok(Duration::ZERO) => Err("0 s are over at once; `none` waits for as long as it takes".to_owned()),
                other => other.map(|after| Self(Some(after))),
            },
        }
    }
}

/// A size in bytes: `65536`, `64KiB`, `1.5MB`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse().map_err(|_| "a size such as 65536, 64KiB or 1MB is expected".to_owned())?;
    usize::try_from(size.as_u64()).map_err(|_| "more than this machine can address".to_owned())
}

/// A size above 0.
pub(crate) fn some_size(text: &str) -> Result<usize, String> {
    match size(text) {
        Ok(0) => Err("it must be more than 0".to_owned()),
        other => other,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_what_they_say() {
        assert_eq!("0.25".parse(), Ok(Wait(Some(Duration::from_millis(250)))));
        assert_eq!("none".parse(), Ok(Wait(None)));
        for bad in ["0", "-1", "nan", "5 s", ""] {
            assert!(bad.parse::<Wait>().is_err(), "{bad:?}");
        }
        assert_eq!((size("7"), size("64KiB"), size("1MB")), (Ok(7), Ok(65_536), Ok(1_000_000)));
        assert!(size("-1").is_err() && size("much").is_err() && some_size("0").is_err());
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

//! The text of `decimal.Decimal`.

/// Whether Python's `Decimal` could have printed `text`, which is what a
/// [`Value::Decimal`](super::Value::Decimal) may hold.
#[must_use]
pub fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return true;
    }
    let quiet = unsigned.strip_prefix(['s', 'S']).unwrap_or(unsigned);
    if let Some((nan, payload)) = quiet.split_at_checked(3)
        && nan.eq_ignore_ascii_case("nan")
    {
        return payload.bytes().all(|byte| byte.is_ascii_digit());
    }
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|text| text.strip_prefix(['-', '+']).unwrap_or(text));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|text| !text.is_empty() && digits(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_prints_and_what_it_does_not() {
        for text in ["0", "-0", "1.50", "0E-10", "1E+28", "-1.5e3", "NaN", "sNaN123", "-Infinity", "inf", ".5", "5."] {
            assert!(is_decimal(text), "{text}");
        }
        for text in ["", "-", ".", "1e", "1e+", "e5", "1_000", "nanx", "infin", "s", "٣", "1.2.3", "--1", " 1"] {
            assert!(!is_decimal(text), "{text}");
        }
    }
}

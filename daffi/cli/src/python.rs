//! What Python writes of values.

/// A literal of Python that is text or bytes.
pub(crate) enum Literal {
    Text(String),
    Bytes(Vec<u8>),
}

/// Reads text or bytes between quotes, which are no JSON: with single ones, or a prefix.
pub(crate) fn literal(text: &str) -> Option<Literal> {
    let quote = text.find(['\'', '"'])?;
    let (prefix, quoted) = text.split_at(quote);
    let prefix = prefix.to_ascii_lowercase();
    if !["", "b", "br", "f", "fr", "r", "rb", "rf", "u"].contains(&prefix.as_str())
        || prefix.is_empty() && quoted.starts_with('"')
    {
        return None;
    }
    let mark = &quoted[..1];
    let within = quoted[1..].strip_suffix(mark)?;
    let (is_raw, is_bytes) = (prefix.contains('r'), prefix.contains('b'));
    let chars = if is_raw { within.chars().collect() } else { unescape(within)? };
    if !is_bytes {
        return Some(Literal::Text(chars.into_iter().collect()));
    }
    chars.into_iter().map(|c| u8::try_from(c).ok()).collect::<Option<_>>().map(Literal::Bytes)
}

/// The characters for which a text with escapes of Python stands. `None`: Python writes none such.
fn unescape(text: &str) -> Option<Vec<char>> {
    let (mut all, mut chars) = (Vec::new(), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            all.push(c);
            continue;
        }
        let digits = match chars.next()? {
            'n' => {
                all.push('\n');
                continue;
            }
            'r' => {
                all.push('\r');
                continue;
            }
            't' => {
                all.push('\t');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            mark @ ('\\' | '\'' | '"') => {
                all.push(mark);
                continue;
            }
            // Python leaves what it does not know.
            other => {
                all.extend(['\\', other]);
                continue;
            }
        };
        let number: String = chars.by_ref().take(digits).collect();
        if number.len() != digits || number.starts_with('+') {
            return None;
        }
        all.push(char::from_u32(u32::from_str_radix(&number, 16).ok()?)?);
    }
    Some(all)
}

/// Classes whose values JSON has not, by the names that Python writes them with.
const CLASSES: [(&str, &str); 18] = [
    ("set", "a set"),
    ("frozenset", "a set"),
    ("Decimal", "a decimal"),
    ("Fraction", "a fraction"),
    ("UUID", "a UUID"),
    ("date", "a date"),
    ("time", "a time"),
    ("datetime", "a date and time"),
    ("timedelta", "a duration"),
    ("ZoneInfo", "a time zone"),
    ("bytearray", "bytes"),
    ("memoryview", "bytes"),
    ("OrderedDict", "a dict"),
    ("defaultdict", "a dict"),
    ("Counter", "a dict"),
    ("deque", "a list"),
    ("complex", "a complex number"),
    ("range", "a range"),
];

/// What it is that Python writes so, where JSON has none.
pub(crate) fn without_json(text: &str) -> Option<&'static str> {
    if is_complex(text) {
        return Some("a complex number");
    }
    let (path, _) = text.strip_suffix(')')?.split_once('(')?;
    let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
    CLASSES.iter().find(|(class, _)| *class == name).map(|(_, what)| *what)
}

/// `1j`, `1+2j` and `(1+2j)`.
fn is_complex(text: &str) -> bool {
    let bare = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let Some(parts) = bare.strip_suffix('j').filter(|_| !bare.starts_with(|c: char| c.is_alphabetic())) else {
        return false;
    };
    let is_number = |part: &str| part.parse::<f64>().is_ok();
    let halves = |at: usize| is_number(&parts[..at]) && is_number(&parts[at..]);
    is_number(parts) || parts.match_indices(['+', '-']).any(|(at, _)| at > 0 && halves(at))
}

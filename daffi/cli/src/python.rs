//! Reads what Python writes of values.

use daffi::Value;

use crate::{
    json,
    meant::{self, one_line},
};

/// What Python means by a text.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// A value that JSON can carry.
    Value(Value),
    /// This, which JSON has not.
    NoJson(&'static str),
}

/// Levels of what is in each other that are read: deeper ones nobody types.
const DEPTH: usize = 32;

/// Keys of one dict that are read, each of which is compared with all.
const MOST_KEYS: usize = 256;

/// Reads a whole text: one value, or several with commas between them, which are a tuple. `None`:
/// it is nothing that Python writes, or no more than a number.
pub(crate) fn read(text: &str) -> Option<Meaning> {
    if is_complex(text) {
        return Some(Meaning::NoJson("a complex number"));
    }
    let mut reader = Reader { rest: text, no_json: None };
    let value = reader.several(None, DEPTH)?;
    match (reader.no_json, value) {
        (Some(what), _) => Some(Meaning::NoJson(what)),
        // `(1)` is no tuple, and rather a remark than a number.
        (None, Value::Int(_) | Value::BigInt(_)) => None,
        (None, Value::Float(number)) if number.is_finite() => None,
        (None, value) => Some(Meaning::Value(value)),
    }
}

/// The word of Python, JavaScript or JSON that stands for a value.
pub(crate) fn word(text: &str) -> Option<Value> {
    let (is_negative, bare) = match text.strip_prefix(['-', '+']) {
        Some(bare) => (text.starts_with('-'), bare),
        None => (false, text),
    };
    match bare {
        "NaN" | "nan" => Some(f64::NAN.into()),
        "Infinity" | "infinity" | "Inf" | "inf" if is_negative => Some(f64::NEG_INFINITY.into()),
        "Infinity" | "infinity" | "Inf" | "inf" => Some(f64::INFINITY.into()),
        _ => match text {
            "True" | "true" => Some(true.into()),
            "False" | "false" => Some(false.into()),
            "None" | "null" => Some(Value::Null),
            _ => None,
        },
    }
}

/// What is still to be read.
struct Reader<'a> {
    rest: &'a str,
    /// What was read that JSON has not. A null stands in its place.
    no_json: Option<&'static str>,
}

impl<'a> Reader<'a> {
    /// Whether this comes next, which is then read.
    fn takes(&mut self, sign: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn has_ended(&mut self, end: Option<&str>) -> bool {
        end.map_or_else(|| self.rest.trim_start().is_empty(), |end| self.takes(end))
    }

    /// The values up to this sign, or to the end of all, and whether a comma stands among them.
    fn items(&mut self, end: Option<&str>, depth: usize) -> Option<(Vec<Value>, bool)> {
        let (mut items, mut has_comma) = (Vec::new(), false);
        while !self.has_ended(end) {
            if !items.is_empty() {
                if !self.takes(",") {
                    return None;
                }
                has_comma = true;
                if self.has_ended(end) {
                    break;
                }
            }
            items.push(self.value(depth)?);
        }
        Some((items, has_comma))
    }

    /// A tuple, or the only value where there is no comma.
    fn several(&mut self, end: Option<&str>, depth: usize) -> Option<Value> {
        let (mut items, has_comma) = self.items(end, depth)?;
        match items.pop() {
            Some(only) if items.is_empty() && !has_comma => Some(only),
            Some(last) => {
                items.push(last);
                Some(Value::List(items.into()))
            }
            None => end.is_some().then(|| Value::List(items.into())),
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        if self.takes("(") {
            return self.several(Some(")"), depth);
        }
        if self.takes("[") {
            return self.items(Some("]"), depth).map(|(items, _)| Value::List(items.into()));
        }
        if self.takes("{") {
            return self.entries(depth);
        }
        if self.takes("...") {
            return Some(self.none_in_json("an ellipsis"));
        }
        match self.text()? {
            Some(text) => Some(text),
            // What stands in no brackets may be the number of a room, as in `5j, 12j`.
            None => self.number_or_call(depth),
        }
    }

    /// What stands behind `{`: the entries of a dict, or a set.
    fn entries(&mut self, depth: usize) -> Option<Value> {
        let (mut entries, mut is_set) = (Vec::new(), false);
        while !self.takes("}") {
            if !entries.is_empty() {
                if !self.takes(",") {
                    return None;
                }
                if self.takes("}") {
                    break;
                }
            }
            let key = self.value(depth)?;
            let is_alone = !self.takes(":");
            if !entries.is_empty() && is_alone != is_set {
                return None;
            }
            is_set = is_alone;
            let held = if is_set { Value::Null } else { self.value(depth)? };
            if entries.len() == MOST_KEYS {
                return None;
            }
            // The key that came first stays, with what came last.
            match entries.iter_mut().find(|(known, _)| is_same_key(known, &key)) {
                Some((_, earlier)) => *earlier = held,
                None => entries.push((key, held)),
            }
        }
        Some(if is_set { self.none_in_json("a set") } else { Value::Map(entries.into()) })
    }

    fn none_in_json(&mut self, what: &'static str) -> Value {
        self.no_json = Some(what);
        Value::Null
    }

    /// Text or bytes, of several parts where they stand behind each other. `Some(None)`: there is
    /// no quote.
    #[expect(clippy::option_option, reason = "what is no text is not what is a broken one")]
    fn text(&mut self) -> Option<Option<Value>> {
        let (mut chars, mut is_bytes) = (Vec::new(), None);
        loop {
            self.rest = self.rest.trim_start();
            let letters = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (prefix, quoted) = self.rest.split_at(letters);
            let prefix = prefix.to_ascii_lowercase();
            // What stands in an `f""` nobody knows here.
            let is_known = ["", "b", "br", "r", "rb", "u"].contains(&prefix.as_str());
            if !is_known || !quoted.starts_with(['\'', '"']) {
                break;
            }
            let mark =
                if quoted.starts_with("\'\'\'") || quoted.starts_with("\"\"\"") { &quoted[..3] } else { &quoted[..1] };
            let within = before(&quoted[mark.len()..], mark)?;
            self.rest = &quoted[within.len() + 2 * mark.len()..];
            let has_bytes = prefix.contains('b');
            if has_bytes && !within.is_ascii() || mark.len() == 1 && has_bare_break(within) {
                return None;
            }
            chars.extend(if prefix.contains('r') { within.chars().collect() } else { unescape(within, has_bytes)? });
            if *is_bytes.get_or_insert(has_bytes) != has_bytes {
                return None;
            }
        }
        Some(match is_bytes {
            None => None,
            Some(false) => Some(Value::Str(chars.into_iter().collect::<String>().into())),
            Some(true) => {
                let bytes: Option<Vec<u8>> = chars.into_iter().map(|c| u8::try_from(c).ok()).collect();
                Some(Value::Bytes(bytes?.into()))
            }
        })
    }

    /// A word that stands for a value, a number, or what Python writes as a call of a class.
    fn number_or_call(&mut self, depth: usize) -> Option<Value> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        let word_end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (found, rest) = self.rest.split_at(word_end);
        self.rest = rest;
        if let Some(value) = word(found) {
            return Some(value);
        }
        let Some(rest) = rest.strip_prefix('(') else {
            if is_complex(found) || depth + 1 < DEPTH && is_imaginary(found) {
                return Some(self.none_in_json("a complex number"));
            }
            let json = meant::number(found);
            let json = json.as_deref().unwrap_or_else(|| found.strip_prefix('+').unwrap_or(found));
            return json::parse(json).ok();
        };
        self.rest = rest;
        let args = self.arguments(depth)?;
        let name = found.rsplit_once('.').map_or(found, |(_, name)| name);
        if name == "float" {
            let [Value::Str(text)] = &args[..] else { return None };
            return word(text).filter(|value| matches!(value, Value::Float(_)));
        }
        let (.., what) = CLASSES.iter().find(|(class, takes, _)| *class == name && takes.fits(&args))?;
        Some(self.none_in_json(what))
    }

    /// What stands in the parentheses behind the name of a class: values, some behind their names.
    fn arguments(&mut self, depth: usize) -> Option<Vec<Value>> {
        let mut args = Vec::new();
        while !self.takes(")") {
            if !args.is_empty() && !self.takes(",") {
                return None;
            }
            if !args.is_empty() && self.takes(")") {
                break;
            }
            self.rest = self.rest.trim_start();
            let name_end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            let named = self.rest[name_end..].strip_prefix('=').filter(|_| name_end > 0);
            self.rest = named.unwrap_or(self.rest);
            let is_constant = CONSTANTS.iter().any(|constant| self.takes(constant));
            let value = if is_constant { Value::Null } else { self.value(depth)? };
            // What has a name is none of those that have to be first.
            args.push(if named.is_some() { Value::Null } else { value });
        }
        Some(args)
    }
}

/// What stands for itself among the arguments of classes.
const CONSTANTS: [&str; 5] =
    ["datetime.timezone.utc", "<class 'int'>", "<class 'list'>", "<class 'dict'>", "<class 'set'>"];

/// Whether Python takes both for the same key: `1`, `1.0` and `True` are one.
fn is_same_key(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        Value::Float(number) => Some(*number),
        Value::Int(_) | Value::BigInt(_) => one_line(value).parse().ok(),
        _ => None,
    };
    match (one, other) {
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same_key(one, other))
        }
        (Value::Int(_) | Value::BigInt(_), Value::Int(_) | Value::BigInt(_)) => one == other,
        _ => match (number(one), number(other)) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        },
    }
}

/// Whether a line ends in it without a backslash before, which only three quotes allow.
fn has_bare_break(within: &str) -> bool {
    let mut is_escaped = false;
    within.chars().any(|c| {
        let is_bare = c == '\n' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_bare
    })
}

/// What stands before the mark that no backslash takes for a text.
fn before<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if text[at..].starts_with(mark) => return Some(&text[..at]),
            _ => {}
        }
    }
    None
}

/// The characters for which a text with escapes of Python stands, or the bytes as such. `None`:
/// Python writes none such, or it names a character, and the names are not known here.
fn unescape(text: &str, is_bytes: bool) -> Option<Vec<char>> {
    let (mut all, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        if c != '\\' {
            all.push(c);
            continue;
        }
        let digits = match chars.next()? {
            // The line goes on.
            '\n' => continue,
            'x' => 2,
            'u' if !is_bytes => 4,
            'U' if !is_bytes => 8,
            'N' if !is_bytes => return None,
            first @ '0'..='7' => {
                let mut number = first.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                    number = number * 8 + digit;
                    chars.next();
                }
                all.push(char::from_u32(number)?);
                continue;
            }
            mark => {
                match SIMPLE_ESCAPES.iter().find(|(letter, _)| *letter == mark) {
                    Some((_, meant)) => all.push(*meant),
                    // Python leaves what it does not know.
                    None => all.extend(['\\', mark]),
                }
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

/// What stands behind a backslash, and what both mean.
const SIMPLE_ESCAPES: [(char, char); 10] = [
    ('\\', '\\'),
    ('\'', '\''),
    ('"', '"'),
    ('a', '\u{7}'),
    ('b', '\u{8}'),
    ('f', '\u{c}'),
    ('n', '\n'),
    ('r', '\r'),
    ('t', '\t'),
    ('v', '\u{b}'),
];

/// What Python writes in the parentheses of a class. Anything else is a text that reminds of it.
enum Takes {
    /// Nothing, or what is no number first.
    Parts,
    /// At least so many.
    AtLeast(usize),
}

impl Takes {
    fn fits(&self, args: &[Value]) -> bool {
        match self {
            Self::Parts => !matches!(args.first(), Some(Value::Int(_) | Value::BigInt(_) | Value::Float(_))),
            Self::AtLeast(least) => args.len() >= *least,
        }
    }
}

/// Classes whose values JSON has not, by the names that Python writes them with.
const CLASSES: [(&str, Takes, &str); 24] = [
    ("set", Takes::Parts, "a set"),
    ("frozenset", Takes::Parts, "a set"),
    ("Decimal", Takes::AtLeast(1), "a decimal"),
    ("Fraction", Takes::AtLeast(1), "a fraction"),
    ("UUID", Takes::AtLeast(1), "a UUID"),
    ("date", Takes::AtLeast(3), "a date"),
    ("time", Takes::AtLeast(2), "a time"),
    ("datetime", Takes::AtLeast(3), "a date and time"),
    ("timedelta", Takes::AtLeast(1), "a duration"),
    ("ZoneInfo", Takes::AtLeast(1), "a time zone"),
    ("bytearray", Takes::Parts, "bytes"),
    ("memoryview", Takes::Parts, "bytes"),
    ("OrderedDict", Takes::Parts, "a dict"),
    ("defaultdict", Takes::Parts, "a dict"),
    ("Counter", Takes::Parts, "a dict"),
    ("deque", Takes::Parts, "a list"),
    ("complex", Takes::AtLeast(1), "a complex number"),
    // `range(5)` is a text as much.
    ("range", Takes::AtLeast(2), "a range"),
    ("dict", Takes::Parts, "a dict"),
    ("mappingproxy", Takes::Parts, "a dict"),
    ("array", Takes::Parts, "an array"),
    ("PosixPath", Takes::Parts, "a path"),
    ("PurePosixPath", Takes::Parts, "a path"),
    ("Path", Takes::Parts, "a path"),
];

/// `1+2j` and `(1+2j)`.
fn is_complex(text: &str) -> bool {
    let bare = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let Some(parts) = bare.strip_suffix('j').filter(|_| !bare.starts_with(|c: char| c.is_alphabetic())) else {
        return false;
    };
    let halves = |at: usize| is_number(&parts[..at]) && is_number(&parts[at..]);
    parts.match_indices(['+', '-']).any(|(at, _)| at > 0 && halves(at))
}

/// `1j`, which may as well be the number of a room.
fn is_imaginary(text: &str) -> bool {
    text.strip_suffix('j').is_some_and(|part| is_number(part) && !part.starts_with(|c: char| c.is_alphabetic()))
}

fn is_number(part: &str) -> bool {
    part.parse::<f64>().is_ok()
}

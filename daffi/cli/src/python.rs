//! Reads what Python writes of values.

use daffi::Value;

use crate::{json, meant};

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
            None => self.number_or_call(),
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
            entries.push((key, held));
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
            let is_known = ["", "b", "br", "f", "fr", "r", "rb", "rf", "u"].contains(&prefix.as_str());
            if !is_known || !quoted.starts_with(['\'', '"']) {
                break;
            }
            let mark =
                if quoted.starts_with("\'\'\'") || quoted.starts_with("\"\"\"") { &quoted[..3] } else { &quoted[..1] };
            let within = before(&quoted[mark.len()..], mark)?;
            self.rest = &quoted[within.len() + 2 * mark.len()..];
            chars.extend(if prefix.contains('r') { within.chars().collect() } else { unescape(within)? });
            if *is_bytes.get_or_insert(prefix.contains('b')) != prefix.contains('b') {
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
    fn number_or_call(&mut self) -> Option<Value> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        let word_end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (found, rest) = self.rest.split_at(word_end);
        self.rest = rest;
        if let Some(value) = word(found) {
            return Some(value);
        }
        if !rest.starts_with('(') {
            if is_complex(found) {
                return Some(self.none_in_json("a complex number"));
            }
            let json = meant::number(found);
            let json = json.as_deref().unwrap_or_else(|| found.strip_prefix('+').unwrap_or(found));
            return json::parse(json).ok();
        }
        let within = &rest[1..];
        let length = call_length(within)?;
        self.rest = &within[length + 1..];
        let name = found.rsplit_once('.').map_or(found, |(_, name)| name);
        if name == "float" {
            let quoted = within[..length].trim_matches(|c: char| c == '\'' || c == '"' || c.is_whitespace());
            return word(quoted).filter(|value| matches!(value, Value::Float(_)));
        }
        let (_, what) = CLASSES.iter().find(|(class, _)| *class == name)?;
        Some(self.none_in_json(what))
    }
}

/// The bytes of a call's arguments: up to the parenthesis that ends them.
fn call_length(text: &str) -> Option<usize> {
    let (mut open, mut quote, mut is_escaped) = (1_usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => open += 1,
            (None, ')') if open == 1 => return Some(at),
            (None, ')') => open -= 1,
            (None, _) => {}
        }
    }
    None
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
const CLASSES: [(&str, &str); 23] = [
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
    ("dict", "a dict"),
    ("mappingproxy", "a dict"),
    ("array", "an array"),
    ("PosixPath", "a path"),
    ("Path", "a path"),
];

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

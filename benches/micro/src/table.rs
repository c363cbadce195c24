//! A table for people.

use std::fmt::Write;

use crate::measured::Measured;

/// A change below so many percent is none: keys are hashed with a random number, so a little
/// differs from run to run.
const NOISE: f64 = 0.1;

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    all: Vec<Measured>,
}

impl Table {
    /// The line of one more step, behind a head where a group begins.
    pub(crate) fn add(&mut self, measured: Measured) -> String {
        let mut text = String::new();
        if self.all.last().is_none_or(|last| last.group != measured.group) {
            let gap = if self.all.is_empty() { "" } else { "\n" };
            let head = format!("{:<56}{:>14}{:>14}{:>10}", measured.group, "instructions", "before", "change");
            text = format!("{gap}{head}\n");
        }
        let before = measured.before.map_or_else(|| "-".to_owned(), count);
        let change = measured.change().map_or_else(|| "-".to_owned(), percent);
        // Writing to text never fails.
        let _ = write!(text, "  {:<54}{:>14}{before:>14}{change:>10}", measured.name, count(measured.now));
        self.all.push(measured);
        text
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Which steps changed by `limit` percent or more, the one that changed most first.
    pub(crate) fn summary(&self, limit: f64) -> String {
        let compared = self.all.iter().filter(|measured| measured.before.is_some()).count();
        let mut changed: Vec<_> = self
            .all
            .iter()
            .filter_map(|measured| Some((measured, measured.change()?)))
            .filter(|(_, change)| change.abs() >= limit)
            .collect();
        changed.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
        let most = self.all.iter().filter_map(Measured::change).map(f64::abs).fold(0.0, f64::max);
        let mut text = format!("\n{} steps, {compared} of them compared", self.all.len());
        let _ = match (compared, changed.len()) {
            (0, _) => writeln!(text, "."),
            (_, 0) => writeln!(text, "; none changed by {limit} % or more, the most is {most:.3} %."),
            (_, count) => writeln!(text, "; {count} changed by {limit} % or more:"),
        };
        for (measured, change) in changed {
            let _ = writeln!(text, "{:>10}  {} {}", percent(change), measured.group, measured.name);
        }
        text
    }

    /// Whether a step takes more by `limit` percent or above.
    pub(crate) fn has_grown(&self, limit: f64) -> bool {
        self.all.iter().filter_map(Measured::change).any(|change| change >= limit)
    }
}

fn percent(change: f64) -> String {
    if change.abs() < NOISE { "=".to_owned() } else { format!("{change:+.1} %") }
}

/// A count with its digits in threes; a tenth only where it says something.
fn count(value: f64) -> String {
    if value < 1000.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(group: &str, name: &str, now: f64, before: Option<f64>) -> Measured {
        Measured { group: group.into(), name: name.into(), now, before }
    }

    #[test]
    fn counts_can_be_read() {
        assert_eq!(
            [12.0, 12.34, 999.96, 1000.4, 1_048_906.0].map(count),
            ["12", "12.3", "1000.0", "1,000", "1,048,906"]
        );
    }

    #[test]
    fn each_group_has_a_head_and_each_change_a_name() {
        let mut table = Table::default();
        let first = table.add(measurement("codec", "encode a", 100.0, Some(100.05)));
        assert!(first.starts_with("codec ") && first.ends_with("=") && first.lines().count() == 2, "{first}");
        assert!(table.add(measurement("codec", "encode b", 103.0, Some(100.0))).ends_with("+3.0 %"));
        assert!(table.add(measurement("json", "decode c", 90.0, Some(100.0))).contains("\njson"));
        assert!(table.add(measurement("json", "decode d", 90.0, None)).ends_with('-'));
        let summary = table.summary(2.0);
        assert_eq!(
            summary.lines().skip(1).collect::<Vec<_>>(),
            [
                "4 steps, 3 of them compared; 2 changed by 2 % or more:",
                "   -10.0 %  json decode c",
                "    +3.0 %  codec encode b"
            ]
        );
        assert!(table.has_grown(2.0) && !table.has_grown(3.1));
        assert!(table.summary(20.0).contains("none changed by 20 % or more, the most is 10.000 %"));
    }
}

//! What was counted for one step.

use serde::Deserialize;

/// One step: what it took now and, if that is known, before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) group: String,
    /// The benchmark's function and case.
    pub(crate) name: String,
    /// Instructions for doing it once.
    pub(crate) now: f64,
    pub(crate) before: Option<f64>,
}

impl Measured {
    /// Reads one summary of gungraun.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let summary: Summary = serde_json::from_str(line).map_err(|error| format!("not a summary: {error}: {line}"))?;
        let name = format!("{} {}", summary.function_name, summary.id.as_deref().unwrap_or_default());
        let times = times(&summary.description)
            .ok_or_else(|| format!("{name}: its arguments {:?} do not begin with a number", summary.description))?;
        let instructions = summary.profiles.into_iter().find_map(|profile| profile.data.total.metrics.instructions);
        let values = instructions.ok_or_else(|| format!("{name}: no instructions were counted"))?.values;
        let now = values.new.ok_or_else(|| format!("{name}: it was not run"))? / times;
        Ok(Self { group: summary.group, name, now, before: values.old.map(|old| old / times) })
    }

    /// By how many percent it takes more.
    pub(crate) fn change(&self) -> Option<f64> {
        self.before.map(|before| (self.now / before - 1.0) * 100.0)
    }
}

/// How often a benchmark does its step: the first of its arguments.
fn times(description: &str) -> Option<f64> {
    let digits = description.strip_prefix('(')?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|times| *times > 0.0)
}

#[derive(Deserialize)]
struct Summary {
    group: String,
    function_name: String,
    id: Option<String>,
    #[serde(default)]
    description: String,
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    total: Total,
}

#[derive(Deserialize)]
struct Total {
    metrics: Metrics,
}

#[derive(Deserialize)]
struct Metrics {
    #[serde(rename = "Ir")]
    instructions: Option<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    values: Values,
}

#[derive(Deserialize)]
struct Values {
    new: Option<f64>,
    old: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(description: &str, values: &str) -> String {
        format!(
            r#"{{"group":"codec","function_name":"encode","id":"request_32","description":"{description}","profiles":[
            {{"data":{{"parts":[],"total":{{"metrics":{{"Dr":{{"values":{{"old":5}}}},"Ir":{{"values":{values}}}}}}}}}}}]}}"#
        )
    }

    #[test]
    fn what_was_counted_is_divided_by_the_times() {
        let measured =
            Measured::parse(&summary("(1000, writing(Kind :: Req...", r#"{"new":3100,"old":3000}"#)).unwrap();
        assert_eq!((measured.group.as_str(), measured.name.as_str()), ("codec", "encode request_32"));
        assert_eq!((measured.now, measured.before), (3.1, Some(3.0)));
        assert!((measured.change().unwrap() - 3.33).abs() < 0.01);
        let first = Measured::parse(&summary("(1)", r#"{"new":7}"#)).unwrap();
        assert_eq!((first.now, first.change()), (7.0, None));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |description, values| Measured::parse(&summary(description, values)).unwrap_err();
        assert!(error("(x, 3)", r#"{"new":7}"#).contains("do not begin with a number"));
        assert!(error("(0, 3)", r#"{"new":7}"#).contains("do not begin with a number"));
        assert!(error("(1)", r#"{"old":7}"#).contains("it was not run"));
        assert!(Measured::parse("{}").unwrap_err().starts_with("not a summary"));
    }
}

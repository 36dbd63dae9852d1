//! What an evaluation found: figures with their aims, tables beside the floors, what it cost. As aligned text for people, as flat JSON for programs.

use std::fmt::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// What must be reached for a figure to be called good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Between these, both included.
    Between(f64, f64),
}

impl Aim {
    /// Whether a value reaches it.
    #[must_use]
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Between(least, most) => (least..=most).contains(&value),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, a key of the JSON.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit, or what it is a share of.
    pub unit: &'static str,
    /// What must be reached, if anything was stated.
    pub aim: Option<Aim>,
}

/// Models beside each other, figures in columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub title: String,
    /// Its key in the JSON.
    pub key: &'static str,
    /// The names of the figures.
    pub figures: Vec<String>,
    /// Each model (or site, or horizon) with its figures; NaN where there is none.
    pub rows: Vec<(String, Vec<f64>)>,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The protocol's name.
    pub protocol: String,
    /// The data files: name, SHA-256, rows. The first is the one that was trained on.
    pub data: Vec<(String, String, u64)>,
    /// What the two data files are called in the JSON.
    pub data_keys: [&'static str; 2],
    /// What was done, in sentences.
    pub notes: Vec<String>,
    /// The figures that count.
    pub metrics: Vec<Metric>,
    /// The champion beside floors and challengers.
    pub comparisons: Vec<Comparison>,
    /// Processor time of the whole run in seconds, all threads together.
    pub cpu_s: f64,
}

impl Report {
    /// A report without figures.
    #[must_use]
    pub fn new(protocol: impl Into<String>) -> Self {
        Self {
            protocol: protocol.into(),
            data: Vec::new(),
            data_keys: ["data", "test_data"],
            notes: Vec::new(),
            metrics: Vec::new(),
            comparisons: Vec::new(),
            cpu_s: 0.0,
        }
    }

    /// Adds a figure.
    pub fn metric(&mut self, name: &str, value: f64, unit: &'static str, aim: Option<Aim>) {
        self.metrics.push(Metric { name: name.to_owned(), value, unit, aim });
    }

    /// The value of a figure.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }

    /// As one flat JSON object: the figures stand at the top, each comparison as a list under its key.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        object.insert("protocol".to_owned(), json!(self.protocol));
        for ((name, sha256, rows), prefix) in self.data.iter().zip(self.data_keys) {
            object.insert(prefix.to_owned(), json!(name));
            object.insert(format!("{prefix}_sha256"), json!(sha256));
            object.insert(format!("{prefix}_rows"), json!(rows));
        }
        self.metrics.iter().for_each(|metric| {
            object.insert(metric.name.clone(), number(metric.value));
        });
        object.insert("cpu_s".to_owned(), number(self.cpu_s));
        for comparison in &self.comparisons {
            let rows = comparison.rows.iter().map(|(name, values)| {
                let figures = comparison.figures.iter().zip(values).map(|(figure, value)| (figure.clone(), number(*value)));
                Value::Object(std::iter::once(("name".to_owned(), json!(name))).chain(figures).collect())
            });
            object.insert(comparison.key.to_owned(), Value::Array(rows.collect()));
        }
        object.insert("notes".to_owned(), json!(self.notes));
        Value::Object(object).to_string()
    }
}

/// Six decimals are more than any of these figures mean; what is no number is null.
fn number(value: f64) -> Value {
    if value.is_finite() { json!((value * 1e6).round() / 1e6) } else { Value::Null }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.protocol)?;
        for (name, sha256, rows) in &self.data {
            writeln!(f, "  {name}: {rows} rows, sha256 {sha256}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))?;
        writeln!(f)?;
        let figures: Vec<String> = ["figure", "value", "unit", "aim", ""].map(str::to_owned).to_vec();
        let rows = self.metrics.iter().map(|metric| {
            let met = metric.aim.map_or("", |aim| if aim.is_met_by(metric.value) { "met" } else { "MISSED" });
            let aim = metric.aim.map(|aim| aim.to_string()).unwrap_or_default();
            vec![metric.name.clone(), figure(metric.value), metric.unit.to_owned(), aim, met.to_owned()]
        });
        f.write_str(&aligned(&figures, &rows.collect::<Vec<_>>()))?;
        for comparison in &self.comparisons {
            writeln!(f, "\n{}", comparison.title)?;
            let head: Vec<String> = std::iter::once(String::new()).chain(comparison.figures.iter().cloned()).collect();
            let row = |(name, values): &(String, Vec<f64>)| std::iter::once(name.clone()).chain(values.iter().copied().map(figure)).collect();
            f.write_str(&aligned(&head, &comparison.rows.iter().map(row).collect::<Vec<_>>()))?;
        }
        write!(f, "\n{:.1} s of processor time", self.cpu_s)
    }
}

fn figure(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "-".to_owned(),
        _ if value.fract() == 0.0 || value.abs() >= 1000.0 => format!("{value:.0}"),
        _ => format!("{value:.4}"),
    }
}

/// Lines of cells, the first column to the left and the others to the right.
fn aligned(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().chain([&head.to_vec()]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(head).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = if place == 0 { write!(line, "  {cell:<width$}") } else { write!(line, "  {cell:>width$}") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The processor time that this process has used so far, all threads together.
#[must_use]
pub fn cpu_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.try_into().unwrap_or_default(), used.tv_nsec.try_into().unwrap_or_default())
}

/// The most memory that this process has held, in bytes, where the system tells.
#[must_use]
pub fn memory_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("P9");
        report.data.push(("a.csv".to_owned(), "ff".to_owned(), 3));
        report.metric("wape", 0.103_456_78, "of all visits", Some(Aim::AtMost(0.104)));
        report.metric("coverage80", 0.9, "of days", Some(Aim::Between(0.77, 0.83)));
        let rows = vec![("floor".to_owned(), vec![0.2, f64::NAN])];
        report.comparisons.push(Comparison { title: "Models".to_owned(), key: "models", figures: vec!["wape".to_owned(), "sql".to_owned()], rows });
        report
    }

    #[test]
    fn a_report_is_flat_json() {
        let json: Value = serde_json::from_str(&report().to_json()).expect("JSON");
        assert_eq!((&json["protocol"], &json["data_sha256"], &json["data_rows"]), (&json!("P9"), &json!("ff"), &json!(3)));
        assert_eq!((&json["wape"], &json["models"]), (&json!(0.103457), &json!([{"name": "floor", "wape": 0.2, "sql": null}])));
    }

    #[test]
    fn the_second_file_is_called_what_it_is() {
        let mut two = report();
        two.data.push(("b.csv".to_owned(), "ee".to_owned(), 4));
        for (keys, second, other) in [(two.data_keys, "test_data", "p6_data"), (["data", "p6_data"], "p6_data", "test_data")] {
            two.data_keys = keys;
            let json: Value = serde_json::from_str(&two.to_json()).expect("JSON");
            assert_eq!((&json["data"], &json[second], &json[other]), (&json!("a.csv"), &json!("b.csv"), &Value::Null));
        }
    }

    #[test]
    fn a_report_says_what_was_missed() {
        let text = report().to_string();
        assert!(text.contains("<= 0.104     met\n") && text.contains("0.77 to 0.83  MISSED\n"), "{text}");
    }
}

//! Both protocols of fraud on the shipped data, and the card of the champion that training on the shipped payments makes.

use super::{p5, p6};
use crate::progress::Progress;
use crate::report::Report;
use crate::{Inputs, fraud};

/// Runs both. Files of one's own are for the protocols one by one: no file has the columns of both.
pub fn evaluate(inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    anyhow::ensure!(inputs.data.is_none() && inputs.test_data.is_none(), "fraud runs on the shipped data; give files to P5 or P6");
    let mut report = Report::new("fraud");
    // Each is judged on its own newest half: neither is what the other is judged on.
    report.data_keys = ["data", "p6_data"];
    for (part, key, prefix) in [(p5::evaluate(inputs, progress)?, "p5_models", "p5"), (p6::evaluate(inputs, progress)?, "p6_models", "p6")] {
        report.data.extend(part.data);
        report.notes.extend(part.notes.into_iter().map(|note| format!("{}: {note}", part.protocol)));
        for mut metric in part.metrics {
            metric.name = format!("{prefix}_{}", metric.name);
            report.metrics.push(metric);
        }
        for mut comparison in part.comparisons {
            comparison.key = key;
            comparison.title = format!("{}: {}", part.protocol, comparison.title);
            report.comparisons.push(comparison);
        }
    }
    let card = fraud::train(None, progress)?.card()?;
    report.notes.extend(fraud::show(&card).lines().map(|line| line.trim_end().to_owned()));
    Ok(report)
}

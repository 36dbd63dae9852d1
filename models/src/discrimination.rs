//! How well a score tells two kinds apart, and how well a probability is meant: ROC, precision and recall, Brier. Rows may carry weights (a sampled row stands
//! for several); rows of equal score are taken together, so that the order of a file changes nothing.

/// A scored row: what it got, whether it was of the sought kind, how many rows it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The score; higher means more like the sought kind.
    pub score: f64,
    /// Whether it was.
    pub positive: bool,
    /// Its weight, 1 for a row that stands for itself.
    pub weight: f64,
}

/// Pairs scores with labels, each row standing for itself or for its weight.
#[must_use]
pub fn outcomes(scores: &[f64], labels: &[bool], weights: Option<&[f64]>) -> Vec<Outcome> {
    let weight = |row: usize| weights.and_then(|weights| weights.get(row)).copied().unwrap_or(1.0);
    scores.iter().zip(labels).enumerate().map(|(row, (&score, &positive))| Outcome { score, positive, weight: weight(row) }).collect()
}

/// Positive and negative weight at each distinct score, from the highest down.
fn steps(outcomes: &[Outcome]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut steps: Vec<(f64, f64)> = Vec::new();
    let mut last = None;
    for outcome in sorted {
        if last != Some(outcome.score) {
            steps.push((0.0, 0.0));
            last = Some(outcome.score);
        }
        if let Some(step) = steps.last_mut() {
            *(if outcome.positive { &mut step.0 } else { &mut step.1 }) += outcome.weight;
        }
    }
    steps
}

fn totals(steps: &[(f64, f64)]) -> (f64, f64) {
    steps.iter().fold((0.0, 0.0), |(p, n), step| (p + step.0, n + step.1))
}

/// Area under the ROC curve: the chance that a positive row scores above a negative one, ties counted half. One half when a kind is missing.
#[must_use]
pub fn auc(outcomes: &[Outcome]) -> f64 {
    let steps = steps(outcomes);
    let (positives, negatives) = totals(&steps);
    if positives <= 0.0 || negatives <= 0.0 {
        return 0.5;
    }
    let mut above = 0.0;
    let mut area = 0.0;
    for (p, n) in steps {
        area += n * (above + p / 2.0);
        above += p;
    }
    area / (positives * negatives)
}

/// Area under precision over recall, as average precision: the sum over steps of recall gained times precision there. Zero without a positive row.
#[must_use]
pub fn aucpr(outcomes: &[Outcome]) -> f64 {
    let steps = steps(outcomes);
    let (positives, _) = totals(&steps);
    if positives <= 0.0 {
        return 0.0;
    }
    let (mut p_sum, mut n_sum, mut area) = (0.0, 0.0, 0.0);
    for (p, n) in steps {
        p_sum += p;
        n_sum += n;
        if p > 0.0 {
            area += p / positives * (p_sum / (p_sum + n_sum));
        }
    }
    area
}

/// The share of positive weight among the highest scores that make up `share` of all weight. The step that crosses the limit counts in proportion.
#[must_use]
pub fn recall_in(outcomes: &[Outcome], share: f64) -> f64 {
    let steps = steps(outcomes);
    let (positives, negatives) = totals(&steps);
    if positives <= 0.0 {
        return 0.0;
    }
    let mut room = share * (positives + negatives);
    let mut found = 0.0;
    for (p, n) in steps {
        let part = (room / (p + n)).clamp(0.0, 1.0);
        found += p * part;
        room -= p + n;
        if room <= 0.0 {
            break;
        }
    }
    found / positives
}

/// The mean squared distance of a probability from what happened.
#[must_use]
pub fn brier(outcomes: &[Outcome]) -> f64 {
    let weight: f64 = outcomes.iter().map(|outcome| outcome.weight).sum();
    let sum: f64 = outcomes.iter().map(|outcome| outcome.weight * (outcome.score - f64::from(u8::from(outcome.positive))).powi(2)).sum();
    if weight > 0.0 { sum / weight } else { 0.0 }
}

/// The mean logarithmic loss of a probability, kept away from 0 and 1 by a millionth.
#[must_use]
pub fn log_loss(outcomes: &[Outcome]) -> f64 {
    let weight: f64 = outcomes.iter().map(|outcome| outcome.weight).sum();
    let loss = |outcome: &Outcome| {
        let p = outcome.score.clamp(1e-6, 1.0 - 1e-6);
        -outcome.weight * if outcome.positive { p.ln() } else { (1.0 - p).ln() }
    };
    if weight > 0.0 { outcomes.iter().map(loss).sum::<f64>() / weight } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(f64, bool)]) -> Vec<Outcome> {
        rows.iter().map(|&(score, positive)| Outcome { score, positive, weight: 1.0 }).collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn small_cases_by_hand() {
        let mixed = rows(&[(0.9, true), (0.8, false), (0.7, true), (0.1, false)]);
        assert!(close(auc(&mixed), 0.75));
        assert!(close(aucpr(&mixed), 0.5 + 0.5 * 2.0 / 3.0));
        assert!(close(recall_in(&mixed, 0.25), 0.5));
        assert!(close(recall_in(&mixed, 0.75), 1.0));
        assert!(close(brier(&mixed), (0.01 + 0.64 + 0.09 + 0.01) / 4.0));
        let tied = rows(&[(0.5, true), (0.5, false), (0.5, false), (0.5, true)]);
        assert!(close(auc(&tied), 0.5));
        assert!(close(aucpr(&tied), 0.5));
        assert!(close(recall_in(&tied, 0.5), 0.5), "a tie is cut in proportion");
    }

    #[test]
    fn a_weight_is_as_many_equal_rows() {
        let weighted = outcomes(&[0.9, 0.8, 0.7], &[true, false, true], Some(&[1.0, 3.0, 1.0]));
        let repeated = rows(&[(0.9, true), (0.8, false), (0.8, false), (0.8, false), (0.7, true)]);
        assert!(close(auc(&weighted), auc(&repeated)));
        assert!(close(aucpr(&weighted), aucpr(&repeated)));
        assert!(close(brier(&weighted), brier(&repeated)));
        assert!(close(log_loss(&weighted), log_loss(&repeated)));
    }

    #[test]
    fn one_kind_alone_is_no_division_by_zero() {
        for positive in [true, false] {
            let one = rows(&[(0.3, positive), (0.4, positive)]);
            assert!(close(auc(&one), 0.5));
            assert!(aucpr(&one).is_finite() && recall_in(&one, 0.1).is_finite());
        }
        assert!(close(brier(&[]), 0.0) && close(log_loss(&[]), 0.0));
    }
}

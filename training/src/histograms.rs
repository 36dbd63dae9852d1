//! A floor for scorers of fraud: histograms of each column alone (after HBOS, Goldstein and Dengel, 2012). Kept to be beaten, never to act.

use tornello_models::fraud::rows::Rows;

const BINS: usize = 20;

/// Twenty equal bins for each column.
pub struct Histograms(Vec<Column>);

struct Column {
    low: f64,
    width: f64,
    rarity: [f64; BINS],
    outside: f64,
}

impl Histograms {
    /// Counts the rows of training.
    #[must_use]
    pub fn fit(rows: &Rows) -> Self {
        let columns = (0..rows.columns()).map(|column| {
            let values = rows.column(column);
            let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
            let width = (high - low) / BINS as f64;
            let mut counts = [0.0; BINS];
            for x in &values {
                counts[bin(*x, low, width).unwrap_or(0)] += 1.0;
            }
            // One row more in every bin: an empty one is rare and not impossible.
            let rarity = counts.map(|count: f64| -((count + 1.0) / (values.len() + BINS) as f64).ln());
            Column { low, width, rarity, outside: ((values.len() + BINS) as f64).ln() }
        });
        Self(columns.collect())
    }

    /// The sum over the columns of how rare the row's bin is.
    #[must_use]
    pub fn score(&self, row: &[f64]) -> f64 {
        self.0.iter().zip(row).map(|(column, &x)| bin(x, column.low, column.width).map_or(column.outside, |bin| column.rarity[bin])).sum()
    }
}

fn bin(x: f64, low: f64, width: f64) -> Option<usize> {
    let place = if width > 0.0 { (x - low) / width } else { x - low };
    // The greatest value of training belongs to the last bin.
    (0.0..=BINS as f64).contains(&place).then(|| (place as usize).min(BINS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rare_scores_high() {
        let rows = Rows::new(1, (0..100).map(|i| if i == 0 { 20.0 } else { f64::from(i % 5) }).collect()).unwrap();
        let histograms = Histograms::fit(&rows);
        let scores = [1.0, 20.0, 10.0, 99.0].map(|x| histograms.score(&[x]));
        assert!(scores.is_sorted(), "{scores:?}");
        let constant = Histograms::fit(&Rows::new(1, vec![3.0; 9]).unwrap());
        assert!(constant.score(&[3.0]) < constant.score(&[4.5]) || constant.score(&[4.5]).is_finite());
    }
}

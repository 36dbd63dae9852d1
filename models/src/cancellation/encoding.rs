//! From what is known of a booking to columns: words become one column for each of their most frequent levels, numbers are bent by a signed logarithm. What a
//! level or a number means is for whoever makes the examples.

use serde::{Deserialize, Serialize};

use crate::fraud::rows::Rows;
use crate::{ModelError, quantile};

/// The levels of a word that get a column of their own; rarer ones share none.
const LEVELS_MAX: usize = 20;
/// A level seen less often than this is noise.
const SEEN_MIN: usize = 10;

/// What is known of a booking when it is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example {
    /// Words in a fixed order: the kind of contract, the country; empty where unknown.
    pub words: Vec<String>,
    /// Numbers in a fixed order; NaN where unknown.
    pub numbers: Vec<f64>,
}

/// The levels and medians of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    /// For each word its levels, the most frequent first.
    levels: Vec<Vec<String>>,
    /// For each number its median after bending.
    medians: Vec<f64>,
}

impl Encoding {
    /// Learns levels and medians. All examples must have as many words and numbers as the first.
    pub fn fit(examples: &[Example]) -> Result<Self, ModelError> {
        let Some(first) = examples.first() else { return Err(ModelError::BadShape { what: "at least one booking" }) };
        let (words, numbers) = (first.words.len(), first.numbers.len());
        if examples.iter().any(|example| example.words.len() != words || example.numbers.len() != numbers) {
            return Err(ModelError::BadShape { what: "the same words and numbers of each booking" });
        }
        let levels = (0..words)
            .map(|word| {
                let mut all: Vec<&str> = examples.iter().map(|example| example.words[word].as_str()).collect();
                all.sort_unstable();
                let mut counted: Vec<(usize, &str)> = all.chunk_by(|a, b| a == b).map(|group| (group.len(), group[0])).collect();
                // The sort is stable: of equally frequent levels the first by name.
                counted.sort_by_key(|level| std::cmp::Reverse(level.0));
                counted.into_iter().filter(|level| level.0 >= SEEN_MIN).take(LEVELS_MAX).map(|level| level.1.to_owned()).collect()
            })
            .collect();
        let medians = (0..numbers)
            .map(|number| {
                let mut values: Vec<f64> = examples.iter().map(|example| bend(example.numbers[number])).filter(|x| x.is_finite()).collect();
                values.sort_by(f64::total_cmp);
                if values.is_empty() { 0.0 } else { quantile::of_sorted(&values, 0.5) }
            })
            .collect();
        Ok(Self { levels, medians })
    }

    /// How many columns the regression sees.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.levels.iter().map(Vec::len).sum::<usize>() + self.medians.len()
    }

    /// The columns of a booking for the regression, appended to `out`.
    pub fn one_hot(&self, example: &Example, out: &mut Vec<f64>) {
        for (levels, word) in self.levels.iter().zip(&example.words) {
            out.extend(levels.iter().map(|level| f64::from(u8::from(level == word))));
        }
        out.extend(self.numbers(example));
    }

    /// The columns of a booking for trees, appended to `out`: the place of each word among its levels (one more than the last for a rare one), then the numbers.
    pub fn codes(&self, example: &Example, out: &mut Vec<f32>) {
        for (levels, word) in self.levels.iter().zip(&example.words) {
            out.push(levels.iter().position(|level| level == word).unwrap_or(levels.len()) as f32);
        }
        out.extend(self.numbers(example).map(|x| x as f32));
    }

    /// Refuses a booking with other words or numbers than training had.
    pub fn check(&self, example: &Example) -> Result<(), ModelError> {
        if (example.words.len(), example.numbers.len()) == self.shape() { Ok(()) } else { Err(ModelError::OtherFeatures) }
    }

    /// The columns of many bookings for the regression.
    pub fn rows(&self, examples: &[Example]) -> Result<Rows, ModelError> {
        let mut values = Vec::with_capacity(examples.len() * self.columns());
        examples.iter().for_each(|example| self.one_hot(example, &mut values));
        Rows::new(self.columns(), values)
    }

    /// How many words a booking has, and how many numbers.
    #[must_use]
    pub const fn shape(&self) -> (usize, usize) {
        (self.levels.len(), self.medians.len())
    }

    /// The share of words of these bookings that are no level of training, for the watch on drift.
    #[must_use]
    pub fn unseen_share(&self, examples: &[Example]) -> f64 {
        let words = || examples.iter().flat_map(|example| self.levels.iter().zip(&example.words));
        let unseen = words().filter(|(levels, word)| !levels.contains(word)).count();
        unseen as f64 / words().count().max(1) as f64
    }

    fn numbers<'a>(&'a self, example: &'a Example) -> impl Iterator<Item = f64> + 'a {
        self.medians.iter().zip(&example.numbers).map(|(&median, &x)| {
            let bent = bend(x);
            if bent.is_finite() { bent } else { median }
        })
    }
}

/// `sign(x) log(1 + |x|)`.
fn bend(x: f64) -> f64 {
    x.signum() * x.abs().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(word: &str, number: f64) -> Example {
        Example { words: vec![word.to_owned()], numbers: vec![number] }
    }

    #[test]
    fn frequent_levels_get_columns_and_rare_ones_none() {
        let mut examples: Vec<Example> = Vec::new();
        for (word, count) in [("b", 30), ("a", 30), ("c", 12), ("rare", 9)] {
            examples.extend((0..count).map(|i| example(word, f64::from(i))));
        }
        let encoding = Encoding::fit(&examples).unwrap();
        assert_eq!(encoding.levels, [["a", "b", "c"]]);
        let columns = |word: &str, number| {
            let mut out = Vec::new();
            encoding.one_hot(&example(word, number), &mut out);
            out
        };
        assert_eq!(columns("b", 0.0), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(columns("rare", 0.0)[..3], [0.0; 3]);
        let median = encoding.medians[0];
        assert_eq!(columns("never seen", f64::NAN), [0.0, 0.0, 0.0, median]);
        assert_eq!(columns("", f64::INFINITY), [0.0, 0.0, 0.0, median]);
        assert!((columns("a", -3.0)[3] + 4_f64.ln()).abs() < 1e-12);
        let mut codes = Vec::new();
        encoding.codes(&example("rare", 0.0), &mut codes);
        assert_eq!(codes, [3.0, 0.0]);
        assert!((encoding.unseen_share(&[example("a", 0.0), example("x", 0.0)]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn at_most_twenty_levels() {
        let examples: Vec<Example> = (0..600).map(|i| example(&format!("w{}", i % 40), 0.0)).collect();
        assert_eq!(Encoding::fit(&examples).unwrap().columns(), 21);
        assert!(Encoding::fit(&[]).is_err());
        assert!(Encoding::fit(&[example("a", 0.0), Example::default()]).is_err());
    }
}

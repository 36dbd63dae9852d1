//! Rows of numbers with a label: what a scorer is fitted on or judged by. Two such files ship: card payments with frauds, connections with attacks.
//!
//! Every column but `label`, `weight` and `time_s` is a feature, in the order of the file. Each value is checked; what is wrong is named by file, row and column.
//! A feature may be missing: an empty field, or one of the words that programs write for none. A label is 1 or 0, or true or false.

use std::io::Read;

use crate::LoadError;
use crate::rows::is_missing;

/// The name of the shipped card payments.
pub const PAYMENTS_FILE: &str = "fraud_ulb_creditcard/day1.csv.gz";
/// The shipped card payments, gzipped.
pub const PAYMENTS: &[u8] = include_bytes!("../data/fraud_ulb_creditcard/day1.csv.gz");
/// The name of the shipped connections.
pub const CONNECTIONS_FILE: &str = "anomaly_kdd/http.csv.gz";
/// The shipped connections, gzipped.
pub const CONNECTIONS: &[u8] = include_bytes!("../data/anomaly_kdd/http.csv.gz");

/// A row stands for no more rows than this: their sum is to be a number.
const WEIGHT_MAX: f64 = 1e12;

/// A table with labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labelled {
    /// The names of the features, in the order of the file.
    pub features: Vec<String>,
    /// Their values, row after row; NaN where one is missing.
    pub values: Vec<f64>,
    /// Whether a row is what is sought: a fraud, an attack.
    pub labels: Vec<bool>,
    /// How many rows each stands for; 1 where the file does not say.
    pub weights: Vec<f64>,
    /// Seconds since any instant, where the file has them.
    pub times_s: Option<Vec<f64>>,
}

impl Labelled {
    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many rows are what is sought.
    #[must_use]
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|&&label| label).count()
    }

    /// The rows of these numbers, in this order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let columns = self.features.len();
        Self {
            features: self.features.clone(),
            values: rows.iter().flat_map(|&row| self.values[row * columns..(row + 1) * columns].iter().copied()).collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            weights: rows.iter().map(|&row| self.weights[row]).collect(),
            times_s: self.times_s.as_ref().map(|times| rows.iter().map(|&row| times[row]).collect()),
        }
    }

    /// How many values are missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.values.iter().filter(|value| value.is_nan()).count()
    }

    /// The same rows with their features in this order; none if they have other features.
    #[must_use]
    pub fn ordered(&self, features: &[String]) -> Option<Self> {
        let places: Vec<usize> = features.iter().map(|name| self.features.iter().position(|own| own == name)).collect::<Option<_>>()?;
        if places.len() != self.features.len() {
            return None;
        }
        let values = self.values.chunks_exact(places.len().max(1)).flat_map(|row| places.iter().map(move |&place| row[place])).collect();
        let (labels, weights, times_s) = (self.labels.clone(), self.weights.clone(), self.times_s.clone());
        Some(Self { features: features.to_vec(), values, labels, weights, times_s })
    }

    /// In the order of time; rows of one instant, and of a file without times, stay in the order of the file.
    #[must_use]
    pub fn by_time(self) -> Self {
        let mut rows: Vec<usize> = (0..self.len()).collect();
        if let Some(times) = &self.times_s {
            rows.sort_by(|&a, &b| times[a].total_cmp(&times[b]));
        }
        // Most files are in order already, and a large one is not held twice.
        if rows.is_sorted() { self } else { self.select(&rows) }
    }
}

/// A labelled table from text; `file` is the name used in errors.
pub fn read(file: &str, text: impl Read) -> Result<Labelled, LoadError> {
    let mut rows = csv::Reader::from_reader(text);
    let malformed = |line: u64, source: csv::Error| LoadError::Malformed { file: file.to_owned(), line, source };
    let header: Vec<String> =
        rows.headers().map_err(|source| malformed(1, source))?.iter().map(|name| name.trim().trim_start_matches('\u{feff}').to_owned()).collect();
    let wrong = |line: u64, column: usize, problem: String| LoadError::Value { file: file.to_owned(), line, column: header[column].clone(), problem };
    let place = |name: &str| header.iter().position(|column| column == name);
    let label = place("label").ok_or_else(|| LoadError::MissingColumn { file: file.to_owned(), column: "label" })?;
    let (weight, time) = (place("weight"), place("time_s"));
    let features: Vec<usize> = (0..header.len()).filter(|&column| column != label && Some(column) != weight && Some(column) != time).collect();
    if features.is_empty() {
        return Err(wrong(1, label, "stands alone: there is no column to learn from".to_owned()));
    }
    if let Some(twice) = (0..header.len()).find(|&column| place(&header[column]) != Some(column)) {
        return Err(wrong(1, twice, "stands there twice".to_owned()));
    }
    let mut table = Labelled {
        features: features.iter().map(|&column| header[column].clone()).collect(),
        times_s: time.map(|_| Vec::new()),
        ..Labelled::default()
    };
    let mut record = csv::StringRecord::new();
    loop {
        let line = rows.position().line();
        if !rows.read_record(&mut record).map_err(|source| malformed(line, source))? {
            break;
        }
        let line = record.position().map_or(line, csv::Position::line);
        let number = |column: usize| {
            let text = record.get(column).unwrap_or_default().trim();
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(value),
                _ => Err(wrong(line, column, format!("{text:?} is not a finite number"))),
            }
        };
        for &column in &features {
            let missing = is_missing(record.get(column).unwrap_or_default().trim());
            table.values.push(if missing { f64::NAN } else { number(column)? });
        }
        let said = record.get(label).unwrap_or_default().trim();
        table.labels.push(is_sought(said).ok_or_else(|| wrong(line, label, format!("{said:?} is neither 0 nor 1, false nor true")))?);
        let (stands_for, column) = (weight.map_or(Ok(1.0), number)?, weight.unwrap_or(label));
        if stands_for <= 0.0 {
            return Err(wrong(line, column, format!("{stands_for} is not more than 0")));
        }
        if stands_for > WEIGHT_MAX {
            return Err(wrong(line, column, format!("{stands_for:e} is more than {WEIGHT_MAX:e}")));
        }
        table.weights.push(stands_for);
        if let (Some(column), Some(times)) = (time, &mut table.times_s) {
            times.push(number(column)?);
        }
    }
    if table.is_empty() { Err(LoadError::Empty { file: file.to_owned() }) } else { Ok(table) }
}

/// Whether a label says that a row is what is sought: as a number, or as programs write truth.
fn is_sought(label: &str) -> Option<bool> {
    match label.parse::<f64>() {
        Ok(1.0) => Some(true),
        Ok(0.0) => Some(false),
        Err(_) if label.eq_ignore_ascii_case("true") => Some(true),
        Err(_) if label.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn the_shipped_files_have_the_counts_of_their_sources() {
        let payments = read(PAYMENTS_FILE, GzDecoder::new(PAYMENTS)).unwrap();
        assert_eq!((payments.len(), payments.positives(), payments.features.len()), (12_968, 281, 29));
        assert!(payments.labels.iter().zip(&payments.weights).all(|(&fraud, &weight)| (weight - if fraud { 1.0 } else { 11.3936 }).abs() < 1e-9));
        let connections = read(CONNECTIONS_FILE, GzDecoder::new(CONNECTIONS)).unwrap();
        assert_eq!((connections.len(), connections.positives(), connections.features.len()), (567_498, 2_211, 3));
        assert!(connections.times_s.is_none() && connections.weights.iter().all(|&weight| (weight - 1.0).abs() < 1e-12));
    }

    #[test]
    fn columns_come_in_any_order_and_rows_by_time() {
        let table = read("t", &b"b,label,time_s,a\n1,0,30,2\n3,1,10,4\n5,0,10,6\n"[..]).unwrap().by_time();
        assert_eq!(table.features, ["b", "a"]);
        assert_eq!(table.values, [3.0, 4.0, 5.0, 6.0, 1.0, 2.0]);
        assert_eq!(table.labels, [true, false, false]);
        assert_eq!(table.times_s, Some(vec![10.0, 10.0, 30.0]));
    }

    #[test]
    fn a_feature_may_be_missing() {
        let table = read("t", &b"a,b,label\n1,,0\nNaN, NA ,1\r\n\"3\",null,0\n"[..]).unwrap();
        assert_eq!((table.len(), table.missing(), table.values[0], table.values[4]), (3, 4, 1.0, 3.0));
        assert!(table.values[1].is_nan() && table.values[2].is_nan() && table.values[3].is_nan() && table.values[5].is_nan());
    }

    #[test]
    fn a_label_is_a_number_or_says_true_or_false() {
        let table = read("t", &b"a,label\n1,1\n2,0.0\n3,True\n4, FALSE\n5,\"1\"\n6,false\n7,-0\n"[..]).unwrap();
        assert_eq!(table.labels, [true, false, true, false, true, false, false]);
    }

    #[test]
    fn features_are_put_in_the_order_of_others() {
        let table = read("t", &b"a,b,label\n1,2,0\n3,4,1\n"[..]).unwrap();
        let other = table.ordered(&["b".to_owned(), "a".to_owned()]).unwrap();
        assert_eq!((other.values.as_slice(), &other.labels), ([2.0, 1.0, 4.0, 3.0].as_slice(), &table.labels));
        for features in [vec!["a"], vec!["a", "c"], vec!["a", "b", "c"]] {
            assert_eq!(table.ordered(&features.into_iter().map(str::to_owned).collect::<Vec<_>>()), None);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("a,b\n1,2\n", "t.csv, line 1: there is no column label"),
            ("label\n1\n", "t.csv, line 1, column label: stands alone: there is no column to learn from"),
            ("a,label,a\n1,1,1\n", "t.csv, line 1, column a: stands there twice"),
            ("a,label\n1,0\nx,0\n", "t.csv, line 3, column a: \"x\" is not a finite number"),
            ("a,label\n1,0\n1,\n", "t.csv, line 3, column label: \"\" is neither 0 nor 1, false nor true"),
            ("a,label\n1,0\n1,nan\n", "t.csv, line 3, column label: \"nan\" is neither 0 nor 1, false nor true"),
            ("a,label\n1,fraud\n", "t.csv, line 2, column label: \"fraud\" is neither 0 nor 1, false nor true"),
            ("a,label,time_s\n1,0,nan\n", "t.csv, line 2, column time_s: \"nan\" is not a finite number"),
            ("a,label\ninf,0\n", "t.csv, line 2, column a: \"inf\" is not a finite number"),
            ("a,label\n1,2\n", "t.csv, line 2, column label: \"2\" is neither 0 nor 1, false nor true"),
            ("a,label,weight\n1,1,0\n", "t.csv, line 2, column weight: 0 is not more than 0"),
            ("a,label,weight\n1,1,1e308\n", "t.csv, line 2, column weight: 1e308 is more than 1e12"),
            ("a,label\n1\n", "t.csv, line 2: not a row of the table"),
            ("a,label\n", "t.csv: there is no row below the header"),
        ] {
            assert_eq!(read("t.csv", text.as_bytes()).unwrap_err().to_string(), expected);
        }
    }
}

//! Rows of numbers to fit on: one after the other, all of the same width. What stands in a column is for the feature list to say.

use crate::ModelError;

/// A table without names. Values may be missing (NaN); [`super::preparation`] deals with that.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    columns: usize,
    values: Vec<f64>,
}

impl Rows {
    /// A table of `columns` columns; refused when the values do not fill whole rows.
    pub fn new(columns: usize, values: Vec<f64>) -> Result<Self, ModelError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(ModelError::BadShape { what: "whole rows of at least one column" });
        }
        Ok(Self { columns, values })
    }

    /// How many numbers a row has.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The row of this number, from 0.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// All rows in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns.max(1))
    }

    /// One column, in the order of the rows.
    #[must_use]
    pub fn column(&self, column: usize) -> Vec<f64> {
        self.iter().map(|row| row[column]).collect()
    }

    /// All values, row after row.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The rows of these numbers.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { columns: self.columns, values: rows.iter().flat_map(|&row| self.row(row).iter().copied()).collect() }
    }

    /// The rows from one number up to another.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        Self { columns: self.columns, values: self.values[from * self.columns..to * self.columns].to_vec() }
    }
}

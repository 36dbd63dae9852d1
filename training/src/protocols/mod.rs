//! The protocols by which models are judged, one file each. A protocol says what is predicted from what, on which days, by which figures; the same code runs on
//! the shipped data and on any file with the same columns.

pub mod p5;
pub mod p6;

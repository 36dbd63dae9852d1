//! placeholder

pub mod print;

//! placeholder

pub mod demo;
pub mod replay;

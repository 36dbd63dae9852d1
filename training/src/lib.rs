//! Fits models on data files, judges them by stated protocols and writes artifacts. Reached through the one binary: `tornello train` and `tornello evaluate`.
//!
//! It reads what [`tornello_datasets`] loads and calls what [`tornello_models`] can; it knows nothing of slots, sales or HTTP.

pub mod fraud_world;

//! The figures that are stated of fraud and cancellation models, on the data that ships meet their aims.

use tornello_training::progress::Progress;
use tornello_training::report::Report;
use tornello_training::{Inputs, Protocol, evaluate};

fn run(protocol: Protocol) -> Report {
    evaluate(protocol, &Inputs { data: None, test_data: None, holidays: None }, Progress::Hidden).expect("the shipped data is sound")
}

fn met(report: &Report) {
    let missed: Vec<_> = report.metrics.iter().filter(|metric| metric.aim.is_some_and(|aim| !aim.is_met_by(metric.value))).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert!(report.metrics.iter().filter(|metric| metric.aim.is_some()).count() >= 2, "{report}");
}

#[test]
fn p4_lost_bookings() {
    met(&run(Protocol::P4));
}

#[test]
fn p5_fraud_with_labels_and_without() {
    met(&run(Protocol::P5));
}

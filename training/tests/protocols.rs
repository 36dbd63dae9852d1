//! The protocols on the shipped data and on files of the same columns: what they promise is met where it costs little to check, files are taken as they come, and
//! what is wrong with one is named.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use tornello_datasets::{hotel, pedestrians};
use tornello_training::progress::Progress;
use tornello_training::report::Report;
use tornello_training::{Inputs, Protocol, evaluate};

fn shipped() -> Inputs {
    Inputs { data: None, test_data: None, holidays: None }
}

fn run(protocol: Protocol, inputs: &Inputs) -> anyhow::Result<Report> {
    evaluate(protocol, inputs, Progress::Hidden)
}

/// A file of its own under the build's folder.
fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the build's folder can be written");
    path
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).expect("the shipped file is text");
    text
}

#[test]
fn months_and_booking_curves_meet_what_is_promised() {
    for protocol in [Protocol::P2, Protocol::P3] {
        let report = run(protocol, &shipped()).expect("the shipped data");
        for metric in &report.metrics {
            assert!(metric.aim.is_none_or(|aim| aim.is_met_by(metric.value)), "{protocol}: {metric:?}");
        }
        assert_eq!(report.data[0].1.len(), 64);
        // The file goes on for three years.
        assert_eq!(report.notes.iter().any(|note| note.contains("what came after 2020-02 is not looked at")), protocol == Protocol::P2);
    }
}

#[test]
fn plain_and_gzipped_files_give_the_same_figures() {
    let text = unpacked(hotel::EMBEDDED);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).expect("memory takes it");
    let paths = [file("plain.csv", text.as_bytes()), file("packed.csv.gz", &packed.finish().expect("memory takes it"))];
    let [plain, gzipped] = paths.map(|path| run(Protocol::P3, &Inputs { data: Some(path), ..shipped() }).expect("a sound file"));
    assert_eq!(plain.metrics, gzipped.metrics);
    assert_ne!(plain.data[0].1, gzipped.data[0].1, "digests are those of the files");
}

#[test]
fn a_test_file_of_its_own_is_judged_by_what_was_before_it() {
    let text = unpacked(hotel::EMBEDDED);
    let (header, rows) = text.split_once('\n').expect("a header");
    let arrival = |row: &&str| row.split(',').nth(2).is_some_and(|day| day >= "2017-02-14");
    let part = |newest: bool| rows.lines().filter(|row| arrival(row) == newest).fold(header.to_owned(), |text, row| text + "\n" + row);
    let inputs =
        Inputs { data: Some(file("before.csv", part(false).as_bytes())), test_data: Some(file("after.csv", part(true).as_bytes())), ..shipped() };
    let (apart, whole) = (run(Protocol::P3, &inputs).expect("two files"), run(Protocol::P3, &shipped()).expect("the shipped data"));
    assert_eq!(apart.data.len(), 2);
    // The days to be judged on may be in the first file as well: nobody comes twice for that.
    let both = run(Protocol::P3, &Inputs { data: None, ..inputs }).expect("two files");
    assert_eq!(both.metrics, apart.metrics);
    assert!(both.notes.iter().any(|note| note.contains("are for days that")), "{:?}", both.notes);
    // 2017-02-14 is where the last quarter of the shipped dates begins, within a day: the figures are nearly those of the protocol.
    let (apart, whole) = (apart.value("wape_h7").expect("a figure"), whole.value("wape_h7").expect("a figure"));
    assert!((apart - whole).abs() < 0.01, "{apart} is not {whole}");
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let header = "sensor_id,date,hour,count\n";
    let months = (2012..=2013).flat_map(|year| (1..=12).map(move |month| (year, month)));
    let two_years: String =
        months.flat_map(|(year, month)| (1..=28).map(move |day| format!("1,{year}-{month:02}-{day:02},12,{}\n", 100 + day))).collect();
    let cases = [
        (Protocol::P1, "no-column.csv", "sensor_id,date,hour\n1,2014-01-01,0\n".to_owned(), "line 1: there is no column count"),
        (Protocol::P1, "no-number.csv", format!("{header}1,2014-01-01,0,5\n1,2014-01-01,1,x\n"), "line 3, column count: \"x\" is not a number"),
        (Protocol::P1, "empty.csv", header.to_owned(), "there is no row below the header"),
        (Protocol::P1, "short.csv", format!("{header}1,2014-01-01,0,5\n"), "no series has 400 days"),
        (Protocol::P1, "no such day.csv", format!("{header}{two_years}1,2041-01-01,12,5\n"), "of the 182 days up to 2041-01-01 only 1 have"),
        (Protocol::P1, "no such year, too.csv", format!("{header}{two_years}1,0012-01-01,12,5\n"), "days from 0012-01-01 to 2013-12-28: a date"),
        (Protocol::P2, "months.csv", "site_id,level,month,visits\na,site,2014-01,5\n".to_owned(), "no site has 36 months"),
        (
            Protocol::P3,
            "status.csv",
            "booking_date,arrival_date,reservation_status,reservation_status_date\n2014-01-01,2014-01-02,Lost,2014-01-02\n".to_owned(),
            "line 2, column reservation_status",
        ),
        (
            Protocol::P3,
            "no such year.csv",
            "booking_date,arrival_date,reservation_status,reservation_status_date\n2014-01-01,2014-01-02,Check-Out,2014-01-03\n\
             2014-01-01,9014-01-02,Check-Out,9014-01-03\n"
                .to_owned(),
            "a date must be wrong",
        ),
    ];
    for (protocol, name, text, problem) in cases {
        let inputs = Inputs { data: Some(file(name, text.as_bytes())), ..shipped() };
        let error = format!("{:#}", run(protocol, &inputs).expect_err(name));
        assert!(
            error.contains(problem) && (error.contains(name) || error.contains("no s") || error.contains("a date must be wrong")),
            "{error:?} does not say {problem:?}"
        );
    }
    let missing = Inputs { data: Some(PathBuf::from("no such file.csv")), ..shipped() };
    assert!(format!("{:#}", run(Protocol::P1, &missing).expect_err("no file")).contains("no such file.csv"));
    let unknown = Inputs { holidays: Some("XX".to_owned()), ..shipped() };
    assert!(run(Protocol::P1, &unknown).expect_err("no region").to_string().contains("AU-VIC"));
    assert!("P9".parse::<Protocol>().is_err() && "p1".parse() == Ok(Protocol::P1));
    assert!(!pedestrians::EMBEDDED.is_empty());
}

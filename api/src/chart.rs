//! A forecast as a picture: a line with its two bands over days or slots, as SVG written by hand. It has no script and loads nothing, so it can stand in any page.

use std::fmt::Write as _;

use quick_xml::escape::partial_escape;

/// One point of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Below the axis.
    pub label: String,
    /// The middle.
    pub mid: f64,
    /// Eight of ten times it is from here to there.
    pub band_80: (f64, f64),
    /// Nineteen of twenty times.
    pub band_95: (f64, f64),
    /// What stands on the books.
    pub booked: f64,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
/// Room around the picture: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 44.0, 16.0, 44.0);
/// How many labels stand below at most.
const LABELS: f64 = 14.0;
/// About how wide a letter of a label is, and what is left free between two labels.
const LETTER: f64 = 7.0;
const APART: f64 = 12.0;

/// The picture. The title is text and escaped.
#[must_use]
pub fn svg(title: &str, points: &[Point]) -> String {
    let top = points.iter().map(|point| point.band_95.1.max(point.booked)).fold(1.0, f64::max);
    let step = step(top);
    let top = (top / step).ceil() * step;
    let (left, above, right, below) = MARGIN;
    let (inner, high) = (WIDTH - left - right, HEIGHT - above - below);
    let x = |at: usize| left + inner * (at as f64 + 0.5) / points.len().max(1) as f64;
    let y = |value: f64| above + high * (1.0 - value / top);
    let letters = points.iter().map(|point| point.label.chars().count()).max().unwrap_or(0);
    let wide = letters as f64 * LETTER;
    let fitting = (inner / (wide + APART)).clamp(1.0, LABELS).floor();
    let every = (points.len() as f64 / fitting).ceil().max(1.0) as usize;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\
        <title>{0}</title><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/><text x=\"{left}\" y=\"24\" font-size=\"16\">{0}</text>",
        partial_escape(title)
    );
    let mut line = 0.0;
    while line <= top + step / 2.0 {
        let at = y(line);
        let _ = write!(
            out,
            "<path d=\"M{left} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{line:.0}</text>",
            WIDTH - right,
            left - 6.0,
            at + 4.0
        );
        line += step;
    }
    type Band = fn(&Point) -> (f64, f64);
    let bands: [(Band, &str); 2] = [(|point| point.band_95, "#d6e4f0"), (|point| point.band_80, "#a9c7e2")];
    for (of, fill) in bands {
        let up = points.iter().enumerate().map(|(at, point)| format!("{:.1} {:.1}", x(at), y(of(point).1)));
        let back = points.iter().enumerate().rev().map(|(at, point)| format!("{:.1} {:.1}", x(at), y(of(point).0)));
        let path: Vec<String> = up.chain(back).collect();
        let _ = write!(out, "<path d=\"M{}Z\" fill=\"{fill}\" stroke=\"{fill}\"/>", path.join("L"));
    }
    for (at, point) in points.iter().enumerate().filter(|(_, point)| point.booked > 0.0) {
        let (width, from) = ((inner / points.len().max(1) as f64 * 0.4).max(1.0), y(point.booked));
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{from:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"#c8862a\"/>",
            x(at) - width / 2.0,
            above + high - from
        );
    }
    let line: Vec<String> = points.iter().enumerate().map(|(at, point)| format!("{:.1} {:.1}", x(at), y(point.mid))).collect();
    let _ = write!(out, "<path d=\"M{}\" fill=\"none\" stroke=\"#12436d\" stroke-width=\"2\"/>", line.join("L"));
    for (at, point) in points.iter().enumerate() {
        let _ = write!(out, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"#12436d\"/>", x(at), y(point.mid));
        // One at the right end may have no room.
        if at % every == 0 && x(at) + wide / 2.0 <= WIDTH {
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
                x(at),
                HEIGHT - 24.0,
                partial_escape(&point.label)
            );
        }
    }
    let _ = write!(
        out,
        "<text x=\"{left}\" y=\"{:.1}\" fill=\"#12436d\">line: expected; dark band: 8 of 10; light band: 19 of 20; bars: booked</text></svg>",
        HEIGHT - 6.0
    );
    out
}

/// The distance between lines: 1, 2 or 5 times a power of ten, so that there are at most six.
fn step(top: f64) -> f64 {
    let power = 10_f64.powf((top / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| top / step <= 6.0).unwrap_or(power * 10.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_sound_xml_whatever_it_shows() {
        let point = |mid: f64| Point { label: "<1>".to_owned(), mid, band_80: (mid * 0.8, mid * 1.2), band_95: (0.0, mid * 2.0), booked: mid / 3.0 };
        for points in [vec![], vec![point(0.0)], vec![point(1e6)], (0..60).map(|at| point(f64::from(at))).collect()] {
            let svg = svg("A & B <script>", &points);
            let mut reader = quick_xml::Reader::from_str(&svg);
            loop {
                match reader.read_event().unwrap() {
                    quick_xml::events::Event::Eof => break,
                    quick_xml::events::Event::Start(tag) => assert_ne!(tag.name().as_ref(), "script"),
                    _ => {}
                }
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn labels_leave_each_other_room() {
        for (label, count) in [("27/11", 60), ("27/11", 1), ("27/11 08:15", 56), ("27/11 08:15", 1_000), ("27/11 08:15", 3)] {
            let point = Point { label: label.to_owned(), mid: 1.0, band_80: (1.0, 1.0), band_95: (1.0, 1.0), booked: 0.0 };
            let svg = svg("Torre", &vec![point; count]);
            let middles: Vec<f64> =
                svg.split("<text x=\"").filter(|text| text.contains(label)).map(|text| text.split('"').next().unwrap().parse().unwrap()).collect();
            let wide = label.len() as f64 * 6.5;
            assert!(!middles.is_empty() && middles.len() <= 14, "{count} of {label}: {middles:?}");
            assert!(middles.windows(2).all(|two| two[1] - two[0] > wide), "{count} of {label}: {middles:?}");
            assert!(middles.iter().all(|middle| middle - wide / 2.0 >= 0.0 && middle + wide / 2.0 <= WIDTH), "{count} of {label}: {middles:?}");
        }
    }

    #[test]
    fn lines_stand_at_round_numbers() {
        for (top, expected) in [(1.0, 1.0), (37.0, 10.0), (120.0, 20.0), (2_900.0, 500.0), (6.0, 1.0)] {
            assert_eq!(step(top), expected, "{top}");
        }
    }
}

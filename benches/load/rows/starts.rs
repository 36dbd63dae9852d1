//! Starts: with 600,000 slots to come of which nobody has asked yet, and on a journal of a million records.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::generator::{Loop, Run};
use crate::http::{NAME, Template, must};
use crate::round::{Rounds, drive};
use crate::rows::million;
use crate::script::{HOLD, Same};
use crate::table::{Aim, Bench, flush_ms, median};
use crate::target::{Installed, PLACES, days_ahead};
use crate::work::Work;

/// 25 museums with 5 routes of 48 slots a day, for 100 days.
const MUSEUMS: u16 = 25;
const ROUTES: u16 = 5;
const DAYS: i64 = 100;
const SLOTS: usize = MUSEUMS as usize * ROUTES as usize * 48 * DAYS as usize;
/// The longest span of one list of slots, in days.
const SPAN: i64 = 25;
/// How many slots are touched.
const TOUCHED: usize = 2_000;

/// Memory and start with slots to come; the first hold in slots that nobody has used.
pub fn dormant(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut installed = Installed::new(bench.place)?;
    for museum in 1..=MUSEUMS {
        installed.open_museum(museum, ROUTES, true)?;
    }
    let mut starts = Vec::new();
    for _ in 0..bench.rounds {
        installed.watched().settle()?;
        installed = installed.restart(bench.place)?;
        starts.push(installed.started_in.as_secs_f64());
    }
    let at_rest = installed.front.memory_mib()?;
    // Everybody looks at everything.
    let mut slots = Vec::with_capacity(SLOTS);
    for museum in 1..=MUSEUMS {
        for span in 0..DAYS / SPAN {
            let (from, to) = (days_ahead(2 + span * SPAN)?, days_ahead(1 + (span + 1) * SPAN)?);
            let path = format!("/v1/museums/{museum}/availability?from={from}&to={to}");
            let seen = must(installed.address, "GET", &path, &installed.box_office, None)?;
            let items = seen["items"].as_array().context("no list of slots")?;
            slots.extend(items.iter().filter_map(|slot| Some(slot["slot"].as_str()?.to_owned())));
        }
    }
    // An hour more or less when the clocks change.
    ensure!(slots.len().abs_diff(SLOTS) <= SLOTS / 100, "{} slots to come", slots.len());
    let browsed = installed.front.memory_mib()?;
    let step = slots.len() / TOUCHED;
    let touched = slots.into_iter().step_by(step).take(TOUCHED).collect();
    let hold = Template::new("POST", &format!("/v1/slots/{NAME}/holds"), &installed.box_office, HOLD, 0);
    let touch = Same::each(hold, 201, touched);
    let flush = flush_ms(bench.place.folder()?.path())?;
    let one = Run::new(installed.address, 1, Loop::Closed, Duration::from_secs(60));
    let mut touches = Rounds::default();
    touches.add("", drive(&installed.watched(), &one, Work::Same(touch))?);
    bench.limited("600,000 slots to come: memory after all were listed", browsed, "MiB", Aim::AtMost(150.0));
    bench.limited("600,000 slots to come: start", median(starts), "s", Aim::AtMost(1.0));
    bench.limited("first hold in a dormant slot, p99", touches.at_ms(0.99), "ms", Aim::AtMost(2.0));
    let p50 = touches.at_ms(0.5).value;
    bench.note(format!("before anything was listed: {at_rest:.0} MiB; first holds: p50 {p50:.2} ms, each flushed by itself at {flush:.2} ms"));
    Ok(())
}

/// Start on a million records, with what the read models know and without.
pub fn recovery(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut installed = Installed::new(bench.place)?;
    installed.open_museum(1, 1, true)?;
    let slots = installed.free_slots(1)?;
    ensure!(million::PAIRS_PER_SLOT <= PLACES, "a slot does not have so many places");
    installed = installed.stopped(|data| million::write(data, &slots), bench.place)?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let forget = |data: &std::path::Path| {
            for entry in fs::read_dir(data)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with("views.db") {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        installed = installed.stopped(forget, bench.place)?;
        without.push(installed.started_in.as_secs_f64());
        ensure!(installed.records()? >= million::RECORDS, "only {} records", installed.records()?);
        // The read models follow, then a stop in good order leaves snapshots and heads.
        installed.watched().settle()?;
        installed = installed.restart(bench.place)?;
        with.push(installed.started_in.as_secs_f64());
        eprintln!("   without {:.2} s, with {:.2} s", without.last().unwrap_or(&0.0), with.last().unwrap_or(&0.0));
    }
    bench.limited("start on 1,000,000 records, without read models", median(without), "s", Aim::AtMost(2.0));
    bench.limited("start on 1,000,000 records, with them", median(with), "s", Aim::AtMost(1.0));
    Ok(())
}

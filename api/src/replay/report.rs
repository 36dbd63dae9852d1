//! What a replay says at its end: the figures of each museum, and whether the recount and the journal agree with every one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde_json::{Value, json};
use tornello_actors::hex::Hex;
use tornello_actors::journal::{Journal, JournalError};
use tornello_actors::verify::{self, Sums, Verified};
use tornello_datasets::recount::{Count, Totals, recount};
use tornello_datasets::replay_mapping::{MUSEUMS, Replay};

use super::drive::Played;
use super::museum_id;
use super::tally::COUNT;

/// Everything there is to say of a replay.
#[derive(Debug)]
pub struct Report {
    /// What the actors answered, by museum.
    pub totals: [Totals; COUNT],
    /// Visits refused, by museum and code.
    pub refused_by: [BTreeMap<&'static str, u32>; COUNT],
    /// Rows of the bookings' file that are no visits, by reason.
    pub rejected: BTreeMap<&'static str, u32>,
    /// How many commands and readings were given.
    pub commands: u64,
    /// How long that took, in microseconds.
    pub elapsed_us: i64,
    /// The journal, read back.
    pub verified: Verified,
    /// Where the recount or the journal says something else; empty if all agree.
    pub differences: Vec<String>,
}

impl Report {
    /// Counts the replay again, reads the journal back, and compares every figure.
    pub async fn new(played: Played, replay: &Replay, journal: &dyn Journal) -> Result<Self, JournalError> {
        let Played { tally, commands, elapsed_us } = played;
        let verified = verify::verify(journal, false, |_| {}).await?;
        let mut differences = Vec::new();
        for (index, (ours, counted)) in tally.totals.iter().zip(recount(replay)).enumerate() {
            let sums = verified.museums.get(&museum_id(index)).copied().unwrap_or_default();
            let mut compare = |what: &str, other: &str, ours: i64, theirs: i64| {
                if ours != theirs {
                    differences.push(format!("{}: {what} is {ours} in the replay, {theirs} in the {other}", MUSEUMS[index].slug));
                }
            };
            figures(ours).into_iter().zip(figures(&counted)).for_each(|((what, ours), (_, theirs))| compare(what, "recount", ours, theirs));
            in_journal(ours, &sums).into_iter().for_each(|(what, ours, theirs)| compare(what, "journal", ours, theirs));
        }
        differences
            .extend(tally.unexpected.iter().map(|(code, count)| format!("{count} cancellations, admissions or readings were refused: {code}")));
        let mut rejected = BTreeMap::new();
        replay.rejected.iter().for_each(|row| *rejected.entry(row.reason.name()).or_default() += 1);
        Ok(Self { totals: tally.totals, refused_by: tally.refused_by, rejected, commands, elapsed_us, verified, differences })
    }

    /// Whether recount and journal agree.
    #[must_use]
    pub const fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    fn seconds(&self) -> f64 {
        self.elapsed_us as f64 / 1e6
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let count = |count: &Count| json!({ "visits": count.visits, "people": count.people });
        let museum = |(index, total): (usize, &Totals)| {
            json!({
                "slug": MUSEUMS[index].slug,
                "name": MUSEUMS[index].name,
                "asked": count(&total.asked),
                "refused": count(&total.refused),
                "refused_by": self.refused_by[index],
                "sold": count(&total.sold),
                "cancelled": count(&total.cancelled),
                "no_shows": count(&total.no_shows),
                "admitted": count(&total.admitted),
                "peak_inside": total.peak_inside,
                "peak_counted": total.peak_counted,
                "paid_cents": total.paid_cents,
                "refunded_cents": total.refunded_cents,
                "revenue_cents": total.revenue_cents(),
            })
        };
        json!({
            "museums": self.totals.iter().enumerate().map(museum).collect::<Vec<_>>(),
            "rejected_rows": self.rejected,
            "commands": self.commands,
            "seconds": self.seconds(),
            "journal": {
                "batches": self.verified.checked.head.number,
                "records": self.verified.checked.records,
                "streams": self.verified.streams(),
                "state_hash": Hex(self.verified.state_hash).to_string(),
            },
            "agrees": self.agrees(),
            "differences": self.differences,
        })
    }
}

/// Every figure of a museum that the recount has too.
fn figures(total: &Totals) -> [(&'static str, i64); 16] {
    let [asked, refused, sold, cancelled, no_shows, admitted] =
        [total.asked, total.refused, total.sold, total.cancelled, total.no_shows, total.admitted];
    [
        ("asked, visits", asked.visits.into()),
        ("asked, people", asked.people.into()),
        ("refused, visits", refused.visits.into()),
        ("refused, people", refused.people.into()),
        ("sold, visits", sold.visits.into()),
        ("sold, people", sold.people.into()),
        ("cancelled, visits", cancelled.visits.into()),
        ("cancelled, people", cancelled.people.into()),
        ("no-shows, visits", no_shows.visits.into()),
        ("no-shows, people", no_shows.people.into()),
        ("admitted, visits", admitted.visits.into()),
        ("admitted, people", admitted.people.into()),
        ("paid, cents", total.paid_cents),
        ("refunded, cents", total.refunded_cents),
        ("peak inside", total.peak_inside.into()),
        ("peak counted", total.peak_counted.into()),
    ]
}

/// Every figure of a museum that its slots add up to.
fn in_journal(total: &Totals, sums: &Sums) -> [(&'static str, i64, i64); 6] {
    [
        ("sold, visits", total.sold.visits.into(), sums.sales.cast_signed()),
        ("sold, people", total.sold.people.into(), sums.tickets.cast_signed()),
        ("cancelled, people", total.cancelled.people.into(), sums.cancelled.cast_signed()),
        ("admitted, people", total.admitted.people.into(), sums.admitted.cast_signed()),
        ("paid, cents", total.paid_cents, sums.paid_cents.get()),
        ("refunded, cents", total.refunded_cents, sums.refunded_cents.get()),
    ]
}

/// How wide the names of rows are.
const NAME: usize = 26;
/// How wide the columns are.
const COLUMN: usize = 20;

/// A row of the table: its name, and the figure of a museum.
type Row<T> = (&'static str, fn(&Totals) -> T);

/// For people: a table of figures by museum, visits first and people in brackets, then the verdict.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, cells: [String; COUNT + 1]| {
            write!(f, "{name:<NAME$}")?;
            cells.iter().try_for_each(|cell| write!(f, "{cell:>COLUMN$}"))?;
            f.write_char('\n')
        };
        let cells = |cell: &dyn Fn(&Totals) -> String, all: String| {
            let mut cells = std::array::from_fn(|index| self.totals.get(index).map(cell).unwrap_or_default());
            cells[COUNT] = all;
            cells
        };
        row(f, "visits (people)", std::array::from_fn(|index| MUSEUMS.get(index).map_or("all", |museum| museum.name).to_owned()))?;
        let counts: [Row<Count>; 6] = [
            ("asked", |total| total.asked),
            ("refused", |total| total.refused),
            ("sold", |total| total.sold),
            ("cancelled", |total| total.cancelled),
            ("no-shows", |total| total.no_shows),
            ("admitted", |total| total.admitted),
        ];
        for (name, of) in counts {
            let text = |count: Count| format!("{} ({})", thousands(count.visits.into()), thousands(count.people.into()));
            let add = |a: Count, b: Count| Count { visits: a.visits + b.visits, people: a.people + b.people };
            row(f, name, cells(&|total| text(of(total)), text(self.totals.iter().map(of).fold(Count::default(), add))))?;
            if name == "refused" {
                let codes: BTreeSet<_> = self.refused_by.iter().flat_map(BTreeMap::keys).collect();
                for code in codes {
                    let of = |index: usize| self.refused_by.get(index).and_then(|by| by.get(code)).copied().unwrap_or(0);
                    let all = (0..COUNT).map(of).sum();
                    let cell = |index| thousands(i64::from(if index == COUNT { all } else { of(index) }));
                    row(f, &format!("  {code}"), std::array::from_fn(cell))?;
                }
            }
        }
        let peaks: [Row<u32>; 2] = [("peak inside, by tickets", |total| total.peak_inside), ("peak inside, by the door", |total| total.peak_counted)];
        for (name, of) in peaks {
            row(f, name, cells(&|total| thousands(of(total).into()), String::new()))?;
        }
        let money: [Row<i64>; 3] =
            [("paid, euros", |total| total.paid_cents), ("refunded, euros", |total| total.refunded_cents), ("revenue, euros", Totals::revenue_cents)];
        for (name, of) in money {
            row(f, name, cells(&|total| euros(of(total)), euros(self.totals.iter().map(of).sum())))?;
        }
        for (reason, count) in &self.rejected {
            writeln!(f, "{count} rows of the file are no visits: {reason}")?;
        }
        let per_second = self.commands as f64 / self.seconds().max(1e-6);
        writeln!(f, "{} commands in {:.1} s ({} a second)", thousands(self.commands.cast_signed()), self.seconds(), thousands(per_second as i64))?;
        let Verified { checked, state_hash, .. } = &self.verified;
        writeln!(
            f,
            "journal: {} records of {} streams in {} batches, state {}",
            thousands(checked.records.cast_signed()),
            thousands(self.verified.streams().cast_signed()),
            thousands(checked.head.number.cast_signed()),
            Hex(state_hash)
        )?;
        if self.agrees() {
            return writeln!(f, "recount: agrees");
        }
        writeln!(f, "recount: does NOT agree")?;
        self.differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))
    }
}

fn euros(cents: i64) -> String {
    format!("{}.{:02}", thousands(cents / 100), cents.unsigned_abs() % 100)
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

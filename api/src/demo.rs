//! What a first start has in it: 25 real state museums with invented plans, and one development key for each role. Everything is done in steps that a start
//! after a crash completes, and that a later start leaves alone. Names, cities and coordinates are facts, the rest is invented: `datasets/data/museums.csv`.

use std::path::Path;

use futures_util::future::join_all;
use jiff::civil::{Date, date};
use jiff::{SignedDuration, ToSpan};
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::keys::{self, Keys, KeysError, NewKey, Role};
use tornello_actors::node::Node;
use tornello_actors::secret_file::{self, SecretFileError};
use tornello_datasets::LoadError;
use tornello_datasets::attendance_world::{self, Kind};
use tornello_datasets::museums::Museum;
use tornello_engine::attendance::{Command as AttendanceCommand, Provenance};
use tornello_engine::calendar::{self, MonthDay};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, KeyId, MuseumId, RouteId};
use tornello_engine::money::Cents;
use tornello_engine::museum::{Command, Profile, Refusal};
use tornello_engine::plan::{Exception, OpeningPlan, Route, Session};
use tornello_engine::slot::{Limits, Policy, Quota};
use tornello_engine::tariff::Tariff;
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;

/// The file of the development keys, in the data folder; only its owner may read it.
pub const KEYS_FILE: &str = "development-keys.txt";
const KEYS_FILE_BYTES_MAX: u64 = 16 * 1_024;
const HOUR_S: u32 = 3_600;
const DAY_S: u32 = 24 * HOUR_S;
/// The museum that has the route for trying things out, and that route's number.
const REHEARSED: u16 = 1;
const REHEARSAL: u16 = 99;
/// A building for at least so many people opens on 1 January, if that is not its weekly closing day.
const OPEN_ON_NEW_YEAR_FROM: u32 = 1_000;

/// Why a first start could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The shipped museums cannot be read.
    #[error(transparent)]
    Museums(#[from] LoadError),
    /// A shipped museum is not what the core takes.
    #[error("the shipped museum {slug} cannot be taken in: {what}")]
    Museum {
        /// Which.
        slug: String,
        /// What is wrong with it.
        what: String,
    },
    /// Keys cannot be made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The file of keys cannot be read or written.
    #[error(transparent)]
    File(#[from] SecretFileError),
}

/// Takes in the shipped museums that are not there yet, or not completely; answers how many commands that took. Their plans begin today.
pub async fn seed(node: &Node) -> Result<usize, DemoError> {
    let today = calendar::local_day(node.now());
    let mut done = 0;
    for museum in tornello_datasets::museums::load()? {
        let bad = |what: String| DemoError::Museum { slug: museum.slug.clone(), what };
        for command in missing(node, &museum, today).map_err(|what| bad(what.to_owned()))? {
            give(node, MuseumId(museum.number), command).await.map_err(|failure| bad(failure.to_string()))?;
            done += 1;
        }
    }
    Ok(done)
}

/// The commands that bring a museum from what it is to what is shipped.
fn missing(node: &Node, museum: &Museum, today: Date) -> Result<Vec<Command>, &'static str> {
    let known = node.museums().get(MuseumId(museum.number));
    let known = known.as_ref().map(|known| &known.museum);
    let mut commands = Vec::new();
    if known.is_none_or(|known| known.profile().is_none()) {
        commands.push(Command::Register { profile: profile(museum).ok_or("its slug or patron day")? });
    }
    if known.is_none_or(|known| known.plan_on(today).is_none()) {
        commands.push(Command::SetPlan { valid_from: today, plan: plan(museum, today).ok_or("the name of a route")? });
    }
    // The tariff comes last: a museum that has one is complete, and what its manager has made of it since is left alone, no ceiling at all among it.
    if known.is_none_or(|known| known.tariff_on(today).is_none()) {
        commands.push(Command::SetCeiling { valid_from: today, ceiling: Some(museum.ceiling) });
        commands.push(Command::SetTariff { valid_from: today, tariff: Tariff::state_museum(Cents::new(museum.full_price_cents)) });
    }
    Ok(commands)
}

/// How many days before today a demo's attendance begins.
const SIMULATED_DAYS: u32 = 730;
/// How often each is given on a machine that has too much to do.
const TRIES: u32 = 5;

/// Gives the shipped museums of which no attendance is known a simulated one, so that forecasts show something at the first start; answers how many that were. It
/// is marked as simulated wherever it is read.
pub async fn simulate_attendance(node: &Node) -> Result<usize, DemoError> {
    let today = calendar::local_day(node.now());
    let from = today.saturating_sub(i64::from(SIMULATED_DAYS).days());
    let mut missing = Vec::new();
    for museum in tornello_datasets::museums::load()? {
        let id = MuseumId(museum.number);
        if !node.attended().get(id).days().is_empty() {
            continue;
        }
        let places = museum.capacity.saturating_mul(museum.slots_per_day()).saturating_mul(museum.routes.len() as u32);
        let patron = MonthDay::new(museum.patron_day.month, museum.patron_day.day).ok();
        let kind = |date: Date| Kind {
            closed: museum.closed_weekday == Some(date.weekday()) || [(12, 25), (1, 1)].contains(&(date.month(), date.day())),
            holiday: calendar::holiday(date).is_some() || patron.is_some_and(|patron| patron.falls_on(date)),
            free: calendar::first_sunday_of_month(date),
        };
        let people = attendance_world::days(u64::from(museum.number), places, from, SIMULATED_DAYS, kind);
        let people = people.into_iter().map(Some).collect();
        let command = AttendanceCommand::Import { provenance: Provenance::Simulated, source: "simulated for the demo".to_owned(), from, people };
        missing.push((museum.slug, id, command));
    }
    // At once, so that they share a flush or two.
    let give = |(slug, id, command): (String, MuseumId, AttendanceCommand)| async move {
        for _ in 1..TRIES {
            match node.attendance(id, envelope("attendance", id), command.clone()).await {
                Err(failure) if failure.is_retryable() => {}
                given => return given.map(drop).map_err(|failure| DemoError::Museum { slug, what: failure.to_string() }),
            }
        }
        let given = node.attendance(id, envelope("attendance", id), command).await;
        given.map(drop).map_err(|failure| DemoError::Museum { slug, what: failure.to_string() })
    };
    let given = join_all(missing.into_iter().map(give)).await;
    let done = given.len();
    given.into_iter().collect::<Result<Vec<_>, _>>().map(|_| done)
}

/// Gives a museum's command under a key that follows from it, so that the same command is done once.
pub(crate) async fn give(node: &Node, museum: MuseumId, command: Command) -> Result<(), Failure<Refusal>> {
    let what = match command {
        Command::Register { .. } => "register",
        Command::Correct { .. } => "profile",
        Command::SetPlan { .. } => "plan",
        Command::SetTariff { .. } => "tariff",
        Command::SetCeiling { .. } => "ceiling",
        Command::SetGroupPolicy { .. } => "groups",
        Command::AnnounceRoom { .. } | Command::WithdrawRoom { .. } | Command::CountRoom { .. } => "room",
        Command::SayOfDay { .. } | Command::DayHeard { .. } => "day",
        Command::OnlyIf { .. } => "change",
    };
    node.museum(museum, envelope(what, museum), command).await.map(drop)
}

fn envelope(what: &str, museum: MuseumId) -> Envelope {
    let key = digest(&[b"shipped", what.as_bytes(), &museum.0.to_be_bytes()]);
    Envelope { who: KeyId::SYSTEM, key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

fn profile(museum: &Museum) -> Option<Profile> {
    Some(Profile {
        slug: museum.slug.parse().ok()?,
        name: museum.name.clone(),
        city: museum.city.clone(),
        region: museum.region.clone(),
        latitude_microdeg: museum.latitude_e4 * 100,
        longitude_microdeg: museum.longitude_e4 * 100,
        patron: Some(MonthDay::new(museum.patron_day.month, museum.patron_day.day).ok()?),
    })
}

fn plan(museum: &Museum, today: Date) -> Option<OpeningPlan> {
    let session = Session {
        opens: museum.open,
        closes: museum.close,
        slot_minutes: museum.slot_minutes,
        last_entry: museum.close - SignedDuration::from_mins(i64::from(museum.slot_minutes)),
        capacity: museum.capacity,
        quotas: quotas(museum.capacity),
    };
    let week = std::array::from_fn(|day| {
        let closed = museum.closed_weekday.is_some_and(|closed| closed.to_monday_zero_offset() as usize == day);
        if closed { Vec::new() } else { vec![session.clone()] }
    });
    let route = |(number, slug): (u16, &String)| {
        let (code, name) = (slug.parse().ok()?, route_name(slug));
        Some(Route { id: RouteId(number), code, name, week: week.clone(), exceptions: exceptions(museum, today), policy: policy() })
    };
    let mut routes: Vec<Route> = (1..).zip(&museum.routes).map(route).collect::<Option<_>>()?;
    if museum.number == REHEARSED {
        routes.push(rehearsal()?);
    }
    Some(OpeningPlan { routes })
}

/// A route that is open around the clock, so that a ticket can be sold, shown at a gate and let in at any hour of the day or night when one tries things out.
fn rehearsal() -> Option<Route> {
    let midnight = jiff::civil::Time::midnight();
    let session =
        Session { opens: midnight, closes: midnight, slot_minutes: 60, last_entry: jiff::civil::time(23, 0, 0, 0), capacity: 50, quotas: quotas(50) };
    let week = std::array::from_fn(|_| vec![session.clone()]);
    let name = Text::new("Prova generale", "Rehearsal");
    Some(Route { id: RouteId(REHEARSAL), code: "prova".parse().ok()?, name, week, exceptions: Vec::new(), policy: policy() })
}

/// The box office always has something to sell, groups plan long before, resellers give back early.
fn quotas(capacity: u32) -> [Quota; Channel::COUNT] {
    let share = |percent: u32| capacity * percent / 100;
    let mut quotas = [Quota::default(); Channel::COUNT];
    quotas[Channel::BoxOffice.index()] = Quota { reserved: share(10), limit: None, release_s: HOUR_S };
    quotas[Channel::Group.index()] = Quota { reserved: share(10), limit: Some(share(40)), release_s: 7 * DAY_S };
    quotas[Channel::Reseller.index()] = Quota { reserved: share(5), limit: Some(share(30)), release_s: 3 * DAY_S };
    quotas
}

fn policy() -> Policy {
    // A family and its friends, twice over on a long day; whoever wants more asks the group office. What is held and not bought of a slot that is nearly full rests a minute
    // at most.
    let limits = Limits { tickets_max: Some(10), holds_max: Some(3), day_max: Some(20), rest_max_s: 60, ..Limits::NONE };
    Policy { sale_opens_s: 120 * DAY_S, limits, ..Policy::default() }
}

/// The closing days of today's year and the next two: Christmas everywhere; New Year's Day too, save for the large sites, which open by choice.
fn exceptions(museum: &Museum, today: Date) -> Vec<Exception> {
    let closed = |date, reason: &str| Exception { date, sessions: Vec::new(), reason: reason.to_owned() };
    let until = today.saturating_add(2.years());
    let years = (today.year()..=until.year()).flat_map(|year| [date(year, 1, 1), date(year, 12, 25)]);
    let shut = |day: &Date| day.month() == 12 || museum.ceiling < OPEN_ON_NEW_YEAR_FROM || museum.closed_weekday == Some(day.weekday());
    let reason = |day: Date| if day.month() == 12 { "Natale / Christmas" } else { "Capodanno / New Year's Day" };
    years.filter(|day| (today..=until).contains(day) && shut(day)).map(|day| closed(day, reason(day))).collect()
}

/// The name of a shipped route; one that is not in the table is called by its slug.
fn route_name(slug: &str) -> Text {
    let (it, en) = match slug {
        "anfiteatro" => ("Anfiteatro", "Amphitheatre"),
        "appartamenti" => ("Appartamenti", "Apartments"),
        "area-archeologica" => ("Area archeologica", "Archaeological area"),
        "bronzi" => ("Sala dei Bronzi", "Room of the Bronzes"),
        "castello" => ("Castello", "Castle"),
        "cenacolo" => ("Cenacolo", "Last Supper"),
        "foro-palatino" => ("Foro Romano e Palatino", "Roman Forum and Palatine"),
        "galleria" => ("Galleria", "Gallery"),
        "gallerie" => ("Gallerie", "Galleries"),
        "museo" => ("Museo", "Museum"),
        "palazzo" => ("Palazzo", "Palace"),
        "palazzo-massimo" => ("Palazzo Massimo", "Palazzo Massimo"),
        "palazzo-pitti" => ("Palazzo Pitti", "Palazzo Pitti"),
        "palazzo-reale" => ("Palazzo Reale", "Royal Palace"),
        "parco" => ("Parco", "Park"),
        "paestum" => ("Paestum", "Paestum"),
        "pinacoteca" => ("Pinacoteca", "Picture gallery"),
        "terme-diocleziano" => ("Terme di Diocleziano", "Baths of Diocletian"),
        "velia" => ("Velia", "Velia"),
        "villa-giardino" => ("Villa e giardino", "Villa and garden"),
        other => (other, other),
    };
    Text::new(it, en)
}

/// A key for trying things out, with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct DevelopmentKey {
    /// What its holder is; it is good for all museums.
    pub role: Role,
    /// The whole key.
    pub text: String,
}

/// One key for each role: those in the file at `path` that are still good, new ones for the rest. The file holds secrets in the clear, which is why nothing
/// but a demo calls this.
pub async fn development_keys(keys: &Keys, path: &Path, now: Timestamp) -> Result<Vec<DevelopmentKey>, DemoError> {
    let written = secret_file::read(path, KEYS_FILE_BYTES_MAX)?;
    let text = written.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let mut found = Vec::new();
    let mut good = Vec::new();
    for (role, text) in text.lines().filter_map(|line| line.split_once(' ')) {
        let (Ok(role), text) = (role.parse::<Role>(), text.trim()) else { continue };
        if let Some(key) = keys.authenticate(text, now).ok().filter(|key| key.role == role) {
            good.push(key.id);
            found.push(DevelopmentKey { role, text: text.to_owned() });
        }
    }
    if Role::ALL.iter().all(|role| found.iter().any(|key| key.role == *role)) {
        return Ok(found);
    }
    for role in Role::ALL.into_iter().filter(|role| found.iter().all(|key| key.role != *role)).collect::<Vec<_>>() {
        let name = format!("development key, {role}");
        // Made by a start that ended before it wrote the file: nobody knows their secret.
        for lost in keys.list().iter().filter(|key| key.name == name && key.revoked_at.is_none() && !good.contains(&key.id)) {
            keys.revoke(lost.id, now).await?;
        }
        let account = match role {
            Role::Reseller => "demo-reseller".parse::<Code>().ok(),
            Role::Operator => "demo-operator".parse::<Code>().ok(),
            _ => None,
        };
        let (text, _) = keys.create(NewKey { name, role, museums: keys::Museums::All, account, expires_at: None }, now).await?;
        found.push(DevelopmentKey { role, text: text.expose().to_owned() });
    }
    found.sort_by_key(|key| key.role);
    let lines: String = found.iter().map(|key| format!("{} {}\n", key.role, key.text)).collect();
    secret_file::replace(path, lines.as_bytes())?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tornello_actors::clock::ManualClock;
    use tornello_actors::journal::writer::Limits;

    use super::*;

    fn now() -> Timestamp {
        "2027-03-10T09:00:00Z".parse().unwrap()
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        actix::System::new().block_on(test)
    }

    #[test]
    fn the_shipped_museums_are_taken_in_once_and_open_as_they_say() {
        run(async {
            let running = Node::start_in_memory(Arc::new(ManualClock::new(now())), Limits::default()).await.unwrap();
            let node = running.node();
            assert_eq!(seed(node).await.unwrap(), 100);
            assert_eq!(seed(node).await.unwrap(), 0);
            for museum in tornello_datasets::museums::load().unwrap() {
                let known = node.museums().by_slug(museum.slug.parse().unwrap()).unwrap();
                let rehearsed = museum.number == REHEARSED;
                let per_day = museum.slots_per_day() as usize * museum.routes.len();
                for day in (0..800).map(|ahead| date(2027, 3, 10).saturating_add(ahead.days())) {
                    let christmas = (day.month(), day.day()) == (12, 25) && day < date(2029, 3, 11);
                    let new_year = (day.month(), day.day()) == (1, 1) && museum.ceiling < OPEN_ON_NEW_YEAR_FROM && day < date(2029, 3, 11);
                    let open = museum.closed_weekday != Some(day.weekday()) && !christmas && !new_year;
                    let hours = known.day(day).iter().filter(|slot| slot.slot.route() == RouteId(REHEARSAL)).count();
                    assert_eq!(hours > 22, rehearsed, "{} on {day}", museum.slug);
                    assert_eq!(known.day(day).len() - hours, if open { per_day } else { 0 }, "{} on {day}", museum.slug);
                }
                let reserved: u32 = quotas(museum.capacity).iter().map(|quota| quota.reserved).sum();
                assert!(reserved <= museum.capacity / 4, "{}", museum.slug);
            }
            running.stop().await;
        });
    }

    #[test]
    fn forecasts_have_a_simulated_past_that_is_made_once() {
        run(async {
            let running = Node::start_in_memory(Arc::new(ManualClock::new(now())), Limits::default()).await.unwrap();
            let node = running.node();
            seed(node).await.unwrap();
            assert_eq!(simulate_attendance(node).await.unwrap(), 25);
            assert_eq!(simulate_attendance(node).await.unwrap(), 0);
            let today = calendar::local_day(node.now());
            for known in node.museums().all() {
                let days = node.forecaster().days(node, &known, today, 14);
                assert_eq!(days.len(), 14);
                for day in &days {
                    assert_eq!(day.outlook.mid == 0.0, day.capacity == 0, "{} {day:?}", known.museum.id().0);
                    let slots: f64 = day.slots.iter().map(|slot| slot.mid).sum();
                    assert!((slots - day.outlook.mid).abs() < 1e-6, "slots add up to the day");
                }
                let (known_days, scores) = node.forecaster().scores(node, &known);
                assert!(known_days > 600 && scores[0].wape < scores[0].naive_wape * 1.1, "{scores:?}");
            }
            running.stop().await;
        });
    }

    #[test]
    fn a_seeding_that_was_cut_off_is_completed() {
        run(async {
            let running = Node::start_in_memory(Arc::new(ManualClock::new(now())), Limits::default()).await.unwrap();
            let node = running.node();
            let first = &tornello_datasets::museums::load().unwrap()[0];
            give(node, MuseumId(1), Command::Register { profile: profile(first).unwrap() }).await.unwrap();
            assert_eq!(seed(node).await.unwrap(), 99);
            assert_eq!(node.museums().all().len(), 25);
            let today = calendar::local_day(node.now());
            let envelope = Envelope { who: KeyId(7), ..envelope("ceiling", MuseumId(1)) };
            node.museum(MuseumId(1), envelope, Command::SetCeiling { valid_from: today, ceiling: None }).await.unwrap();
            assert_eq!(seed(node).await.unwrap(), 0, "what a manager sets is left alone");
            running.stop().await;
        });
    }

    #[test]
    fn development_keys_are_made_once_and_replaced_when_they_are_lost() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(KEYS_FILE);
            let keys = Keys::open(folder.path().join("keys.db")).await.unwrap();
            let first = development_keys(&keys, &path, now()).await.unwrap();
            assert_eq!(first.iter().map(|key| key.role).collect::<Vec<_>>(), Role::ALL);
            let again = development_keys(&keys, &path, now()).await.unwrap();
            assert!(again == first);
            let gate = keys.authenticate(&first[5].text, now()).unwrap();
            keys.revoke(gate.id, now()).await.unwrap();
            let third = development_keys(&keys, &path, now()).await.unwrap();
            assert_eq!(third.iter().filter(|key| !first.contains(key)).map(|key| key.role).collect::<Vec<_>>(), [Role::Gate]);
            std::fs::remove_file(&path).unwrap();
            development_keys(&keys, &path, now()).await.unwrap();
            assert!(keys.authenticate(&third[0].text, now()).is_err(), "a key whose secret was lost is revoked");
            assert_eq!(keys.list().iter().filter(|key| key.revoked_at.is_none()).count(), Role::ALL.len());
            #[cfg(unix)]
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
        });
    }
}

//! What a data folder holds over restarts: everything with and without the read models, unless it is in use, or of another time. Damaged lists are in `lists`, a journal that has
//! lost something in `lost`, keys that are missing in `lost_keys`.

mod lists;
mod lost;
mod lost_keys;

use std::time::Duration;

use sqlx::{ConnectOptions, Connection};
use tornello_engine::ids::PersonId;

use super::*;
use crate::keys::{Denied, NewKey, Role};
use crate::node::Writing;
use crate::node::startup::{AHEAD_S, BEHIND_S};
use crate::people::Contact;
use crate::views::SaleFilter;

#[actix_rt::test]
async fn everything_is_there_after_a_restart_with_and_without_the_read_models() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, hold(1, 2)).await.unwrap();
    house.ask(2, sell(2, 3)).await.unwrap();
    house.ask(3, sell(3, 1)).await.unwrap();
    let digest = |slot: &Slot| postcard::to_allocvec(slot).unwrap();
    let (state, head) = (house.node().look(tomorrow(), digest).await.unwrap(), house.node().board().head(tomorrow()));
    let views = house.node().files().unwrap().views.clone();
    views.reach(house.node().head().number).await;
    let sales = views.sales(&SaleFilter::default(), 10).await.unwrap();
    assert_eq!(
        sales.iter().map(|sale| (sale.people, sale.total_cents, sale.reference.as_str())).collect::<Vec<_>>(),
        [(3, 3_600, "R-2"), (1, 1_200, "R-3")]
    );
    house.running.stop().await;
    for drop_views in [false, true] {
        if drop_views {
            std::fs::remove_file(folder.path().join("views.db")).unwrap();
        }
        let house = House::in_folder(&folder).await.unwrap();
        assert_eq!(house.node().board().head(tomorrow()), head, "views dropped: {drop_views}");
        assert_eq!(house.node().look(tomorrow(), digest).await.unwrap(), state);
        let views = house.node().files().unwrap().views.clone();
        views.reach(house.node().head().number).await;
        assert_eq!(views.sales(&SaleFilter::default(), 10).await.unwrap(), sales);
        let by_reference = SaleFilter { reference: Some("R-3".into()), ..SaleFilter::default() };
        assert_eq!(views.sales(&by_reference, 10).await.unwrap(), sales[1..]);
        assert_eq!(views.tickets(tomorrow(), "", 10).await.unwrap().len(), 4);
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn a_snapshot_is_used_and_a_damaged_one_is_not() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    let views = Views::open(&folder.path().join("views.db")).await.unwrap();
    let (snapshots, _) = views.snapshots();
    assert_eq!(snapshots.load::<Slot>(StreamId::Slot(tomorrow())).await.map(|slot| slot.seq()), Some(1));
    views.close().await;
    change(&folder, "views.db", "UPDATE snapshot SET state = zeroblob(length(state))").await;
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(2, sell(2, 1)).await.unwrap();
    assert_eq!(house.taken(), 4);
    house.running.stop().await;
}

pub(super) async fn change(folder: &TempDir, file: &str, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join(file));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[actix_rt::test]
async fn nobody_else_has_the_folder_before_all_that_writes_there_has_ended() {
    let folder = TempDir::new().unwrap();
    let mut house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    // The writer takes its time.
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let Writing::Apart(writer) = std::mem::replace(&mut house.running.writer, Writing::Apart(std::thread::spawn(|| ()))) else { unreachable!() };
    let late = move || {
        let _ = held.recv();
        writer.join().unwrap();
    };
    house.running.writer = Writing::Apart(std::thread::spawn(late));
    let node = Arc::downgrade(house.node());
    let stopping = actix_rt::spawn(house.running.stop());
    while node.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
    let early = House::in_folder(&folder).await.err();
    assert!(matches!(early, Some(StartError::InUse(_))), "{early:?}");
    drop(let_go);
    stopping.await.unwrap();
    House::in_folder(&folder).await.unwrap().running.stop().await;
}

#[actix_rt::test]
async fn lists_count_as_flushed_only_when_nobody_writes_to_them_any_more() {
    let folder = TempDir::new().unwrap();
    for ended in [true, false] {
        let mut house = House::in_folder(&folder).await.unwrap();
        let mut follower = None;
        if !ended {
            // Nobody ever says that the follower has ended.
            follower = house.running.listed.replace(oneshot::channel().1);
        }
        house.running.stop().await;
        let stamp = std::fs::read_to_string(folder.path().join("views.boot")).unwrap();
        assert_eq!(stamp == "flushed", ended, "{stamp}");
        if let Some(follower) = follower {
            follower.await.unwrap();
        }
    }
}

#[cfg(unix)]
#[actix_rt::test]
async fn what_a_folder_holds_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = TempDir::new().unwrap();
    let data = place.path().join("data");
    let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    for made_before in [false, true] {
        if made_before {
            for (name, mode) in [("", 0o755), (file::FILE, 0o644), ("views.db", 0o666), ("keys.db", 0o640)] {
                std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        let running = Node::start(&Settings::new(&data), Arc::new(ManualClock::new(now())), |_| {}).await.unwrap();
        if !made_before {
            open_museum(running.node()).await;
        }
        for name in [file::FILE, "views.db", "views.db-wal", "views.db-shm", "keys.db", "people.db", "people-keys.db"] {
            assert_eq!(mode(name), 0o600, "{name}, made before: {made_before}");
        }
        running.stop().await;
        assert_eq!((mode(""), mode("scorers.state")), (0o700, 0o600), "made before: {made_before}");
    }
}

#[actix_rt::test]
async fn what_a_kill_left_of_a_save_is_gone_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    House::in_folder(&folder).await.unwrap().running.stop().await;
    let (saved, left) = (folder.path().join("scorers.state"), folder.path().join("scorers.state.new"));
    let before = std::fs::read(&saved).unwrap();
    std::fs::write(&left, "half writ").unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert!(!left.exists());
    assert_eq!(std::fs::read(&saved).unwrap(), before, "what was saved stays");
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_revocation_is_seen_in_time_whatever_else_the_house_has_to_do() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let operator = Keys::open(folder.path().join("keys.db")).await.unwrap();
    let new = NewKey { name: "North gate".to_owned(), role: Role::Gate, museums: crate::keys::Museums::All, account: None, expires_at: None };
    let (text, key) = operator.create(new, now()).await.unwrap();
    let keys = &house.node().files().unwrap().keys;
    keys.refresh().await.unwrap();
    assert!(keys.authenticate(text.expose(), now()).is_ok());
    // What retires owners, and looks at models and contacts, is busy for good.
    house.running.tasks[1].abort();
    operator.revoke(key.id, now()).await.unwrap();
    let seen = async {
        while keys.authenticate(text.expose(), now()).err() != Some(Denied::Revoked) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), seen).await.expect("the revocation is seen");
    operator.close().await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn one_process_at_a_time_and_a_clock_that_fits_the_journal() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert!(matches!(House::in_folder(&folder).await.err(), Some(StartError::InUse(_))));
    // Nor by whoever takes the file for one that was left over.
    std::fs::remove_file(folder.path().join("lock")).unwrap();
    assert!(matches!(House::in_folder(&folder).await.err(), Some(StartError::InUse(_))));
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    for apart_s in [-BEHIND_S - 1, AHEAD_S + 1] {
        let clock = || Arc::new(ManualClock::new(now().plus_seconds(apart_s)));
        let mut settings = Settings::new(folder.path());
        assert!(matches!(Node::start(&settings, clock(), |_| {}).await.err(), Some(StartError::Clock { .. })), "{apart_s}");
        settings.accept_clock = true;
        Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    }
}

/// As of a machine that has lost its clock, and is months ahead until somebody sets it: it is believed, as of a house that was closed.
#[actix_rt::test]
async fn a_clock_that_is_far_ahead_at_a_start_erases_nobody_for_a_day() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let (person, contact) = (PersonId(7), Contact::holder("Ada", "Neri").unwrap());
    house.node().files().unwrap().people.put(person, &contact, now(), Some(now().plus_seconds(DAY_S))).await.unwrap();
    house.running.stop().await;
    let ahead = now().plus_seconds(100 * DAY_S);
    let clock = Arc::new(ManualClock::new(ahead));
    let running = Node::start(&Settings::new(folder.path()), Arc::clone(&clock) as _, |_| {}).await.unwrap();
    let (node, people) = (Arc::clone(running.node()), running.node().files().unwrap().people.clone());
    for (since_s, is_known) in [(0, true), (DAY_S - 1, true), (DAY_S, false)] {
        clock.set(ahead.plus_seconds(since_s));
        node.erase_due().await.unwrap();
        assert_eq!(people.get(person).await.unwrap().is_some(), is_known, "{since_s} s after the start");
    }
    drop(node);
    running.stop().await;
}

/// What was written by the clock meanwhile, as of the holds that it ended, does not make it right.
#[actix_rt::test]
async fn a_clock_that_is_far_ahead_erases_nobody_for_a_day_also_over_another_start() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (person, contact) = (PersonId(7), Contact::holder("Ada", "Neri").unwrap());
    house.node().files().unwrap().people.put(person, &contact, now(), Some(now().plus_seconds(DAY_S))).await.unwrap();
    house.running.stop().await;
    let ahead = now().plus_seconds(100 * DAY_S);
    for (key, since_s, is_known) in [(101, 0, true), (102, DAY_S - 1, true), (103, DAY_S + 1, false)] {
        let started = ahead.plus_seconds(since_s);
        let running = Node::start(&Settings::new(folder.path()), Arc::new(ManualClock::new(started)), |_| {}).await.unwrap();
        let set = museum::Command::SetCeiling { valid_from: calendar::local_day(started), ceiling: Some(40) };
        running.node().museum(MUSEUM, by(key), set).await.unwrap();
        running.node().erase_due().await.unwrap();
        let known = running.node().files().unwrap().people.get(person).await.unwrap();
        assert_eq!(known.is_some(), is_known, "{since_s} s after the first start");
        running.stop().await;
    }
}

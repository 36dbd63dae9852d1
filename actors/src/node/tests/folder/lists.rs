//! Lists and saved heads: what they say of tickets, and that damage to them stops no sale and is found.

use tornello_engine::ids::PaymentId;

use super::*;
use crate::hex::Hex;
use crate::views::compare::{Compared, compare};

/// All that a folder holds, in another place.
fn copy_of(folder: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}

/// Whether a start on such a folder is refused; if not, the slot is what it was, and can be sold. What the refusal says.
async fn refused_or_sells(folder: &TempDir, head: SlotHead, what: &str) -> Option<String> {
    let house = match House::in_folder(folder).await {
        Ok(house) => house,
        Err(error) => return Some(error.to_string()),
    };
    assert_eq!(house.node().board().head(tomorrow()), Some(head), "{what}");
    let sold = house.ask(90, sell(90, 1)).await;
    assert!(sold.is_ok(), "{what}: {sold:?}");
    house.running.stop().await;
    None
}

#[actix_rt::test]
async fn the_lists_follow_what_becomes_of_tickets() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let sale = HoldId::new(tomorrow(), 1);
    let gate = code("north");
    let admit = Command::Admit { ticket: sale.ticket(0), issue: None, gate, museum: MUSEUM };
    let steps = [
        (now(), sell(1, 3), ["valid", "valid", "valid"]),
        (now(), Command::Cancel { sale, owner: None, tickets: vec![2], cause: slot::CancelCause::Visitor }, ["valid", "valid", "cancelled"]),
        (tomorrow().start(), admit, ["inside", "valid", "cancelled"]),
        (tomorrow().start(), Command::Block { sale, tickets: vec![], reason: code("review") }, ["blocked", "blocked", "cancelled"]),
        (tomorrow().start(), Command::Unblock { sale, tickets: vec![], reason: None, keeps: None }, ["inside", "valid", "cancelled"]),
        (tomorrow().start(), Command::Exit { ticket: sale.ticket(0), gate, museum: MUSEUM }, ["outside", "valid", "cancelled"]),
    ];
    let views = house.node().files().unwrap().views.clone();
    for (key, (at, command, expected)) in (1..).zip(steps) {
        house.clock.set(at);
        house.ask(key, command.clone()).await.unwrap();
        views.reach(house.node().head().number).await;
        let states: Vec<String> = views.tickets(tomorrow(), "", 10).await.unwrap().into_iter().map(|ticket| ticket.state).collect();
        assert_eq!(states, expected, "after {command:?}");
    }
    let row = views.sales(&SaleFilter { slot: Some(tomorrow()), ..SaleFilter::default() }, 10).await.unwrap().remove(0);
    assert_eq!((row.people, row.cancelled, row.admitted, row.refunded_cents), (3, 1, 1, 600));
    // What a payment settled is listed with the payment.
    let (id, channel) = (PaymentId::new(2, 5), Channel::Kiosk);
    let (sale, settlement) = (HoldId::new(tomorrow(), 9), Settlement::Payment { id });
    house.ask(90, Command::SellDirect { sale, channel, lines: lines(1), settlement, contact: None }).await.unwrap();
    views.reach(house.node().head().number).await;
    let rows =
        views.sales(&SaleFilter { slot: Some(tomorrow()), after: Some(HoldId::new(tomorrow(), 1)), ..SaleFilter::default() }, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.settlement.as_str(), row.account.clone())).collect::<Vec<_>>(), [("payment", id.to_string())]);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_saved_head_that_is_damaged_or_does_not_fit_the_journal_stops_no_sale() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, hold(2, 2)).await.unwrap();
    let (head, end) = (house.node().board().head(tomorrow()).unwrap(), house.node().head());
    house.running.stop().await;
    let data = postcard::to_allocvec(&head).unwrap();
    // The first bits are the number of the last record; the others are taken here and there.
    let bits = (0..3).chain((3..data.len() * 8).step_by(83));
    let flipped = bits.map(|bit| {
        let mut data = data.clone();
        data[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit}"), format!("UPDATE head SET data = x'{}' WHERE slot = '{}'", Hex(data), tomorrow()))
    });
    let others = [
        "UPDATE head SET slot = 'no slot'",
        "DELETE FROM head",
        "UPDATE position SET batch = batch + 1 WHERE name = 'heads'",
        "UPDATE position SET hash = zeroblob(32) WHERE name = 'known'",
        "DELETE FROM position WHERE name = 'heads'",
    ];
    for (what, sql) in flipped.chain(others.map(|sql| (sql.to_owned(), sql.to_owned()))) {
        let copy = copy_of(&folder);
        change(&copy, "views.db", sql.leak()).await;
        assert_eq!(refused_or_sells(&copy, head, &what).await, None, "{what}");
    }
    // Whole and wrong, as of a file that is older in one place than in another.
    for seq in [head.seq - 1, head.seq + 1] {
        let copy = copy_of(&folder);
        let views = Views::open(&copy.path().join("views.db")).await.unwrap();
        let journal = FileJournal::open(&copy.path().join(file::FILE)).await.unwrap();
        views.save_heads(&[(tomorrow(), SlotHead { seq, ..head })], &end, &journal).await.unwrap();
        views.close().await;
        drop(journal);
        assert_eq!(refused_or_sells(&copy, head, &format!("record {seq}")).await, None, "record {seq}");
    }
}

#[actix_rt::test]
async fn read_models_that_are_damaged_anywhere_are_built_again_or_say_what_to_do() {
    /// In how many places of each file a bit is changed.
    const PLACES: u64 = 9;
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, hold(2, 2)).await.unwrap();
    let head = house.node().board().head(tomorrow()).unwrap();
    house.node().files().unwrap().views.reach(house.node().head().number).await;
    // As a process leaves it that is killed, and one that stops.
    let killed = copy_of(&folder);
    house.running.stop().await;
    let (mut refused, mut starts) = (0, 0);
    for (from, name) in [(&folder, "views.db"), (&killed, "views.db"), (&killed, "views.db-wal")] {
        let bytes = std::fs::read(from.path().join(name)).unwrap();
        let length = bytes.len() as u64;
        // The first bytes say of what form all of it is; then here and there.
        for at in [18, 21, 26].into_iter().chain((0..PLACES).map(|n| n * length / PLACES + 3 * n)) {
            let copy = copy_of(from);
            let mut bytes = bytes.clone();
            bytes[at as usize] ^= 4;
            std::fs::write(copy.path().join(name), bytes).unwrap();
            let what = format!("byte {at} of {length} of {name}");
            starts += 1;
            if let Some(said) = refused_or_sells(&copy, head, &what).await {
                assert!(said.contains("delete views.db"), "{what}: {said}");
                refused += 1;
            }
        }
        let copy = copy_of(from);
        std::fs::write(copy.path().join(name), &bytes[..bytes.len() * 2 / 3]).unwrap();
        assert_eq!(refused_or_sells(&copy, head, &format!("{name} cut")).await, None, "{name} cut");
    }
    assert!(refused < starts / 6, "{refused} of {starts} starts were refused");
}

#[actix_rt::test]
async fn lists_are_compared_with_what_the_journal_says() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let sale = HoldId::new(tomorrow(), 1);
    let arrival = HoldId::new(SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600)), 7);
    let prices = vec![(code("full"), Cents::new(1_200))];
    let begin = Command::BeginMove { sale, owner: None, tickets: vec![0], arrival, via: Channel::BoxOffice, prices };
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, hold(2, 2)).await.unwrap();
    house.ask(3, Command::Cancel { sale, owner: None, tickets: vec![2], cause: slot::CancelCause::Visitor }).await.unwrap();
    crate::moves::move_tickets(house.node(), tomorrow(), by(4), begin).await.unwrap();
    let views = house.node().files().unwrap().views.clone();
    // Round after round, and not all at once as when they are built again.
    views.reach(house.node().head().number).await;
    house.ask(5, Command::Block { sale, tickets: vec![1], reason: code("torn") }).await.unwrap();
    house.running.stop().await;
    let journal = FileJournal::open(&folder.path().join(file::FILE)).await.unwrap();
    let end = journal.head().await.unwrap().number;
    let compared = async || compare(folder.path(), &journal).await.unwrap();
    assert_eq!(compared().await, Compared::At { batch: end, differences: vec![] });
    assert!(!folder.path().join("views.check").exists());
    for (sql, table, counts, word) in [
        ("UPDATE ticket SET state = 'valie' WHERE state = 'valid'", "ticket", (2, 2), "'valie'"),
        ("DELETE FROM sale WHERE settlement = 'moved'", "sale", (1, 0), "'moved'"),
    ] {
        let copy = copy_of(&folder);
        change(&copy, "views.db", sql).await;
        let Compared::At { batch, differences } = compare(copy.path(), &journal).await.unwrap() else { panic!("{sql}: it hangs together") };
        let [found] = &differences[..] else { panic!("{sql}: {differences:?}") };
        assert_eq!((batch, found.table.as_str(), (found.missing, found.wrong)), (end, table, counts), "{found:?}");
        assert!(found.example.contains(word), "{found:?}");
    }
    // What a start would not believe is not compared.
    let copy = copy_of(&folder);
    std::fs::write(copy.path().join("views.boot"), "damaged").unwrap();
    assert_eq!(compare(copy.path(), &journal).await.unwrap(), Compared::BuiltAnyway("views.db was damaged"));
    assert_eq!(compared().await, Compared::At { batch: end, differences: vec![] }, "nothing was changed");
}

#[actix_rt::test]
async fn lists_that_are_built_at_once_are_those_that_grew_round_by_round() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (sale, gate) = (HoldId::new(tomorrow(), 1), code("north"));
    let at = |seconds| tomorrow().start().plus_seconds(seconds);
    let steps = [
        (now(), sell(1, 3)),
        (at(0), Command::Block { sale, tickets: vec![0], reason: code("torn") }),
        (at(10), Command::Unblock { sale, tickets: vec![0], reason: None, keeps: None }),
        (at(20), Command::Admit { ticket: sale.ticket(0), issue: None, gate, museum: MUSEUM }),
        (at(30), Command::Exit { ticket: sale.ticket(0), gate, museum: MUSEUM }),
    ];
    let views = house.node().files().unwrap().views.clone();
    for (key, (at, command)) in (1..).zip(steps) {
        house.clock.set(at);
        house.ask(key, command).await.unwrap();
        views.reach(house.node().head().number).await;
    }
    let first = views.tickets(tomorrow(), "", 1).await.unwrap().remove(0);
    assert_eq!((first.state.as_str(), first.changed_at), ("outside", at(30)));
    house.running.stop().await;
    let journal = FileJournal::open(&folder.path().join(file::FILE)).await.unwrap();
    let end = journal.head().await.unwrap().number;
    assert_eq!(compare(folder.path(), &journal).await.unwrap(), Compared::At { batch: end, differences: vec![] });
}

//! A journal with every kind of event of the streams that carry money: payments, vouchers, orders, quotes, till sessions and accounts. Those of slots and museums
//! are in the older golden journals, see `golden_slots`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use tornello_engine::account::{self, Account, ChargeOf, PaidBy, TakeBackReason};
use tornello_engine::ids::{AccountId, OrderId, PaymentId, QuoteId, TillId, VoucherId};
use tornello_engine::institution::Institution;
use tornello_engine::order::{self, Order};
use tornello_engine::payment::{self, Closing, Gateway, Opened, PaidBackBy, Payment, Receipt, Reported, Source};
use tornello_engine::quote::{self, About, Asked, GroupPolicy, Kind, Quote, Rules, Settle};
use tornello_engine::till::{self, Till};
use tornello_engine::voucher::{self, Voucher};

use super::*;
use crate::hex::{self, Hex};
use crate::journal::wire::{self, Wire};
use crate::verify;

/// Writes what commands to aggregates become, each record in a batch of its own.
struct Writer {
    journal: Arc<MemoryJournal>,
    head: Head,
    /// The kinds of events that were written, by what has them.
    kinds: BTreeMap<&'static str, BTreeSet<u16>>,
}

impl Writer {
    async fn step<A: Aggregate>(&mut self, (name, stream): (&'static str, StreamId), state: &mut A, s: i64, command: &A::Command)
    where
        A::Event: Wire,
        A::Refusal: Debug,
    {
        let at = now().plus_seconds(s);
        let events = state.decide(at, command).unwrap();
        let key = by(self.head.number.into());
        self.write((name, stream), state, at, Some(key), events).await;
    }

    /// What happens by itself.
    async fn wait<A: Aggregate>(&mut self, named: (&'static str, StreamId), state: &mut A)
    where
        A::Event: Wire,
    {
        let at = state.wake_at().unwrap();
        let events = state.due(at);
        assert!(!events.is_empty());
        self.write(named, state, at, None, events).await;
    }

    async fn write<A: Aggregate>(
        &mut self,
        (name, stream): (&'static str, StreamId),
        state: &mut A,
        at: Timestamp,
        envelope: Option<Envelope>,
        events: Vec<A::Event>,
    ) where
        A::Event: Wire,
    {
        self.kinds.entry(name).or_default().extend(events.iter().map(|event| event.tag().0));
        let record = state.record(at, envelope, events);
        state.apply(&record);
        assert_eq!(state.check(), Ok(()));
        let mut records = Vec::new();
        wire::encode(stream, &record, &mut records);
        let spans = vec![crate::journal::Span { stream, first: record.seq, last: record.seq }];
        let batch = Batch { number: self.head.number + 1, previous: self.head.hash, at: self.head.at.max(record.at), records, spans };
        self.journal.append(&batch).await.unwrap();
        self.head = Head { number: batch.number, hash: batch.hash(), at: batch.at };
    }
}

/// For two places in each of these holds, for a quote.
fn opened(holds: &[u64], gateway: Gateway) -> Box<Opened> {
    let holds: Vec<(HoldId, u16)> = holds.iter().map(|n| (HoldId::new(tomorrow(), *n), 2)).collect();
    let (order, quote, due_at) = (Some(OrderId(5)), Some(QuoteId(4)), now().plus_seconds(1_800));
    Box::new(Opened { order, quote, channel: Channel::Group, gateway, due_at, ..bill(&holds, now()) })
}

fn receipt(id: &str, source: Source, cents: i64) -> Receipt {
    let text = || "text".to_owned();
    let (id, amount_cents, fee_cents) = (id.to_owned(), Cents::new(cents), Some(Cents::new(100)));
    Receipt { id, source, amount_cents, paid_at: now(), psp: text(), channel: text(), method: text(), stand_in: true, fee_cents }
}

async fn payments(writer: &mut Writer) {
    use payment::Command::*;
    let id = |n| PaymentId::new(1, n);
    let at_desk = Source::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference: "R-1".to_owned() };
    let till = PaidBackBy::Till { till: code("desk-1"), method: DeskMethod::Card };
    let (batch, why, executed_on) = (code("batch"), code("ac01"), jiff::civil::date(2026, 6, 12));
    let (sale, person) = (HoldId::new(tomorrow(), 1), tornello_engine::ids::PersonId(5));
    let confirm = |refund, by| ConfirmRefund { refund, by, reference: "CRO-1".to_owned(), executed_on };
    let report = Reported { flow: "2026-06-11PSP-1".to_owned(), iur: "t-1".to_owned(), index: 1, amount_cents: Cents::new(4_800), code: 0 };
    let scripts: [(u64, Vec<payment::Command>); 5] = [
        (
            1,
            vec![
                Open { opened: opened(&[1, 2], Gateway::Notice) },
                Publish,
                Activate { until: now().plus_seconds(1_900) },
                Receive { receipt: receipt("t-1", Source::Node, 4_900) },
                Fulfil { item: 0, sale },
                Forgo { item: 1, why: Refusal::HoldSold },
                Refund { origin: sale, sale, seq: 9, amount_cents: Cents::new(1_200) },
                SetPayee { refund: 1, person },
                ExportRefund { refund: 1, batch },
                ReturnRefund { refund: 1, why },
                confirm(1, PaidBackBy::Transfer),
                confirm(2, till),
                Receive { receipt: receipt("t-2", Source::Report, 10) },
                Dispute { reason: why, reference: "case".to_owned() },
                ResolveDispute { upheld: true, took: payment::Took::default() },
                Report { reported: report },
                ReleaseRefund { refund: 0 },
            ],
        ),
        (
            2,
            vec![
                Open { opened: opened(&[3], Gateway::Checkout) },
                FailPublish { code: why },
                Cancel { owner: None, cause: why },
                Close { closing: Closing::Withdrawn, refused: Some(why) },
            ],
        ),
        (
            3,
            vec![
                Open { opened: opened(&[4], Gateway::Desk) },
                Publish,
                Receive { receipt: receipt("d-1", at_desk, 2_400) },
                Fulfil { item: 0, sale: HoldId::new(tomorrow(), 4) },
            ],
        ),
        (
            4,
            vec![
                Open { opened: opened(&[5], Gateway::Voucher { voucher: VoucherId(3) }) },
                Receive { receipt: receipt("v-1", Source::Voucher { voucher: VoucherId(3) }, 2_400) },
                Forgo { item: 0, why: Refusal::HoldReleased },
                confirm(0, PaidBackBy::Voucher { voucher: VoucherId(3) }),
            ],
        ),
        (5, vec![TakeOver { opened: opened(&[6], Gateway::Desk), sale: HoldId::new(tomorrow(), 6), sold_at: now() }]),
    ];
    for (n, script) in scripts {
        let mut payment = Payment::new(id(n));
        for command in &script {
            writer.step(("payment", StreamId::Payment(id(n))), &mut payment, 60, command).await;
        }
    }
    let mut expired = Payment::new(id(6));
    writer.step(("payment", StreamId::Payment(id(6))), &mut expired, 60, &Open { opened: opened(&[7], Gateway::Notice) }).await;
    writer.wait(("payment", StreamId::Payment(id(6))), &mut expired).await;
}

async fn beside(writer: &mut Writer) {
    let (payment, cents) = (PaymentId::new(1, 4), Cents::new(2_400));
    let mut voucher = Voucher::new(VoucherId(3));
    for command in [
        voucher::Command::Issue { amount_cents: Cents::new(5_000), valid_until: now().plus_seconds(86_400), museum: Some(MUSEUM) },
        voucher::Command::Redeem { payment, museum: MUSEUM, amount_cents: cents },
        voucher::Command::Restore { payment, refund: 0, amount_cents: cents },
    ] {
        writer.step(("voucher", StreamId::Voucher(voucher.id())), &mut voucher, 70, &command).await;
    }
    let mut order = Order::new(OrderId(5));
    let begin = order::Command::BeginPayment { who: KeyId(7), payment, items: vec![HoldId::new(tomorrow(), 5)], contact: None };
    for command in [begin, order::Command::EndPayment { payment, paid: true }] {
        writer.step(("order", StreamId::Order(order.id())), &mut order, 70, &command).await;
    }
    let mut till = Till::new(TillId(7));
    for command in [
        till::Command::Open { museum: MUSEUM, till: code("desk-1"), float_cents: Cents::new(10_000) },
        till::Command::MoveCash { direction: till::Direction::Out, amount_cents: Cents::new(50), reason: code("safe") },
        till::Command::Close { counted_cents: Cents::new(9_950), taken_cents: Cents::ZERO, summed_to: 9 },
    ] {
        writer.step(("till", StreamId::Till(till.id())), &mut till, 70, &command).await;
    }
    let mut account = Account::new(AccountId(9));
    let (sale, museum, zero) = (HoldId::new(tomorrow(), 8), MUSEUM, Cents::ZERO);
    let of_quote = ChargeOf::Quote { quote: QuoteId(4), revision: 1, acceptance: 1 };
    let agreement = account::Agreement {
        museum: Some(MUSEUM),
        category: code("full"),
        price: account::AgreedPrice::PercentOff(10),
        from: jiff::civil::date(2026, 1, 1),
        to: jiff::civil::date(2026, 12, 31),
    };
    let why = TakeBackReason::Cancelled { sale, seq: 3 };
    let institution = Institution { vat: "00484960588".parse().ok(), ..Institution::default() };
    let change = |suspended| account::Command::Change { institution, limit_cents: Some(Cents::new(90_000)), suspended };
    for command in [
        account::Command::Open { code: code("tours"), institution: Institution::default(), limit_cents: None },
        account::Command::SetAgreements { agreements: vec![agreement] },
        change(true),
        change(false),
        account::Command::Charge { of: of_quote, amount_cents: cents, extras_cents: Cents::new(100), museum },
        account::Command::Charge { of: ChargeOf::Sale { sale }, amount_cents: cents, extras_cents: zero, museum },
        account::Command::NoteDelivered { sale },
        account::Command::TakeBack { of: ChargeOf::Sale { sale }, why, amount_cents: Cents::new(1_200), extras_cents: zero },
        account::Command::Settle { by: PaidBy::BankTransfer { reference: "CRO-1".to_owned() }, amount_cents: cents },
        account::Command::Settle { by: PaidBy::Payment { payment }, amount_cents: cents },
    ] {
        writer.step(("account", StreamId::Account(account.id())), &mut account, 70, &command).await;
    }
}

async fn quotes(writer: &mut Writer) {
    use quote::Command::*;
    // Two weeks ahead, so that all deadlines are to come.
    let slot = SlotId::new(MUSEUM, RouteId(1), "2026-07-24T08:00:00Z".parse().unwrap());
    let policy = GroupPolicy { group_min: 2, confirmation: true, ..GroupPolicy::default() };
    let rules = || Box::new(Rules { policy: policy.clone(), revision: 3, patron: None, fee_free_left: 5, party_max: 30, closes_at: slot.start() });
    let asked = |count| Asked { slots: vec![slot], members: lines(count), escorts: 0, extras: Vec::new() };
    let about = About { museum: MUSEUM, kind: Kind::School, contact: None, institution: Institution::default(), account: Some(code("tours")) };
    let draft = || Draft { about: about.clone(), asked: asked(10), rules: rules() };
    let holds = |n| vec![HoldId::new(slot, n)];
    let send = |n| Send { owner: None, rules: rules(), holds: holds(n) };
    let accept = |settle, by_office| Accept { owner: None, revision: 1, settle, creditor: 1, by_office };
    let (payment, why) = (PaymentId::new(1, 1), Refusal::SlotOver { ended_at: now() });
    let whole = vec![
        draft(),
        Revise { owner: None, asked: asked(12), rules: rules(), holds: vec![] },
        send(1),
        NoteOptioned { attempt: 1 },
        accept(Settle::OnAccount, true),
        NoteSettlementRefused { why: code("credit_limit") },
        accept(Settle::Notice, true),
        AttachPayment { payment },
        Reopen,
        DetachPayment { payment },
        Revise { owner: None, asked: asked(14), rules: rules(), holds: holds(2) },
        NoteOptionsRefused { attempt: 2, part: 0, why },
        NoteOptionsReleased { attempt: 2 },
        accept(Settle::Checkout, false),
        Confirm,
        AttachPayment { payment: PaymentId::new(1, 2) },
        MarkPaid { payment: Some(payment) },
        DetachPayment { payment: PaymentId::new(1, 2) },
        MarkTicketed { sales: holds(1), missing: vec![] },
        Cancel { owner: None, cause: quote::CancelCause::Museum },
        NoteUnwound,
    ];
    for (n, script) in
        [(4, whole), (5, vec![draft(), Refuse { owner: None }]), (6, vec![draft(), Cancel { owner: None, cause: quote::CancelCause::Museum }])]
    {
        let mut quote = Quote::new(QuoteId(n));
        for command in &script {
            writer.step(("quote", StreamId::Quote(quote.id())), &mut quote, 80, command).await;
        }
    }
    let mut unsigned = Quote::new(QuoteId(7));
    for command in [draft(), send(3), NoteOptioned { attempt: 1 }] {
        writer.step(("quote", StreamId::Quote(unsigned.id())), &mut unsigned, 80, &command).await;
    }
    // Reminded, then lapsed.
    writer.wait(("quote", StreamId::Quote(unsigned.id())), &mut unsigned).await;
    writer.wait(("quote", StreamId::Quote(unsigned.id())), &mut unsigned).await;
}

/// A golden journal, and the hash of the state that it comes to.
pub(super) async fn read_golden(golden: &str) -> (String, Arc<MemoryJournal>) {
    let journal = Arc::new(MemoryJournal::default());
    let mut head = Head::EMPTY;
    let mut lines = golden.lines().filter(|line| !line.starts_with('#'));
    let expected = lines.next().expect("the state's hash stands first").to_owned();
    for line in lines {
        let (at, records) = line.split_once(' ').unwrap();
        let records = hex::bytes(records).unwrap();
        let mut spans: Vec<crate::journal::Span> = Vec::new();
        for frame in wire::frames(&records) {
            let frame = frame.unwrap();
            match spans.iter_mut().find(|span| span.stream == frame.stream) {
                Some(span) => span.last = frame.seq,
                None => spans.push(crate::journal::Span { stream: frame.stream, first: frame.seq, last: frame.seq }),
            }
        }
        let batch = Batch { number: head.number + 1, previous: head.hash, at: Timestamp::from_micros(at.parse().unwrap()), records, spans };
        journal.append(&batch).await.unwrap();
        head = Head { number: batch.number, hash: batch.hash(), at: batch.at };
    }
    (expected, journal)
}

async fn state_of(journal: &MemoryJournal) -> String {
    Hex(verify::verify(journal, false, |_| {}).await.unwrap().state_hash).to_string()
}

#[actix_rt::test]
async fn the_golden_journal_of_money_replays_to_its_state() {
    let (expected, journal) = read_golden(include_str!("../../testdata/golden-3.txt")).await;
    assert_eq!(state_of(&journal).await, expected, "the state after golden-3 is another one");
}

/// Also writes the lines of a golden file where `TORNELLO_GOLDEN_MONEY` names one, as its elder does.
#[actix_rt::test]
async fn the_golden_journal_of_money_holds_every_kind_of_event() {
    let mut writer = Writer { journal: Arc::default(), head: Head::EMPTY, kinds: BTreeMap::new() };
    payments(&mut writer).await;
    beside(&mut writer).await;
    quotes(&mut writer).await;
    let all = |last: u16| (1..=last).collect::<BTreeSet<u16>>();
    let expected = [("account", all(10)), ("order", all(3)), ("payment", all(20)), ("quote", all(20)), ("till", all(3)), ("voucher", all(3))];
    assert_eq!(writer.kinds, BTreeMap::from(expected));
    if let Some(path) = std::env::var_os("TORNELLO_GOLDEN_MONEY") {
        let mut lines = vec![state_of(&writer.journal).await];
        let batches = writer.journal.batches(0, u32::MAX).await.unwrap();
        lines.extend(batches.iter().map(|batch| format!("{} {}", batch.at.as_micros(), Hex(&batch.records))));
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}

/// How often each record of the golden journals is changed.
const CHANGES: usize = 100;

/// Whether bytes are records that can be read, of the streams of the golden journals.
fn is_read(framed: &[u8]) -> bool {
    wire::frames(framed).all(|frame| {
        let Ok(frame) = frame else { return false };
        match frame.stream {
            StreamId::Slot(_) => frame.record::<Event>().is_ok(),
            StreamId::Museum(_) => frame.record::<museum::Event>().is_ok(),
            StreamId::Payment(_) => frame.record::<payment::Event>().is_ok(),
            StreamId::Quote(_) => frame.record::<quote::Event>().is_ok(),
            StreamId::Till(_) => frame.record::<till::Event>().is_ok(),
            StreamId::Voucher(_) => frame.record::<voucher::Event>().is_ok(),
            StreamId::Order(_) => frame.record::<order::Event>().is_ok(),
            StreamId::Account(_) => frame.record::<account::Event>().is_ok(),
            _ => false,
        }
    })
}

/// What a disk or a newer program has made of a record, behind a checksum that fits all the same: whoever reads it has a record, or none, and lives.
#[test]
fn no_bytes_behind_a_sound_checksum_end_whoever_reads_them() {
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |end: usize| {
        // Xorshift of 64 bits.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        (chance % end as u64) as usize
    };
    let all = [include_str!("../../testdata/golden-1.txt"), include_str!("../../testdata/golden-2.txt"), include_str!("../../testdata/golden-3.txt")];
    let (mut read, mut unread) = (0, 0);
    for line in all.into_iter().flat_map(|golden| golden.lines().filter(|line| !line.starts_with('#')).skip(1)) {
        let records = hex::bytes(line.split_once(' ').unwrap().1).unwrap();
        assert!(is_read(&records));
        let mut rest = records.as_slice();
        while let Some((header, bodies)) = rest.split_at_checked(8) {
            let (sound, others) = bodies.split_at(u32::from_le_bytes(header[..4].try_into().unwrap()) as usize);
            rest = others;
            for _ in 0..CHANGES {
                let mut body = sound.to_vec();
                for _ in 0..=below(3) {
                    let at = below(body.len());
                    match below(4) {
                        0 => body[at] ^= 1 << below(8),
                        1 => body[at] = 0xff,
                        2 => body.truncate(at.max(1)),
                        _ => body.insert(at, below(256) as u8),
                    }
                }
                let mut framed = (body.len() as u32).to_le_bytes().to_vec();
                framed.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
                framed.extend_from_slice(&body);
                *(if is_read(&framed) { &mut read } else { &mut unread }) += 1;
            }
        }
    }
    assert!(read > 0 && unread > 0, "{read} of the changed records are records, {unread} are none");
}

//! Sales and their tickets, for the lists and whoever looks for one: of every sale how it was paid, what went back, and as which sale its tickets were bought; of
//! every ticket what it is now.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::channel::Channel;
use tornello_engine::ids::{BadId, Code, HoldId, MuseumId, QuoteId, SlotId, TicketId};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Direction, Event, JudgedScan, Line, Scan, ScansJudged, Settlement, TicketState};
use tornello_engine::time::Timestamp;

use super::{AFTER_ALL_IDS, Views, ViewsError, ids_of, json as written, payments, rows};

pub(super) const SCHEMA: &str = "
    DROP TABLE IF EXISTS sale; DROP TABLE IF EXISTS ticket;
    CREATE TABLE sale (
        sale TEXT PRIMARY KEY, slot TEXT NOT NULL, museum INTEGER NOT NULL, starts INTEGER NOT NULL, sold_at INTEGER NOT NULL, channel TEXT NOT NULL,
        who TEXT NOT NULL, settlement TEXT NOT NULL, reference TEXT NOT NULL, account TEXT NOT NULL, people INTEGER NOT NULL, total_cents INTEGER NOT NULL,
        refunded_cents INTEGER NOT NULL, cancelled INTEGER NOT NULL, admitted INTEGER NOT NULL, carried_cents INTEGER NOT NULL, moved INTEGER NOT NULL,
        quote TEXT NOT NULL, origin TEXT NOT NULL, -- the sale as which its tickets were bought: itself, or one from which they have moved
        owner TEXT NOT NULL -- the key whose sale it is: whoever held it, where that is not who sold it
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sale_by_sold ON sale (sold_at, sale);
    CREATE INDEX sale_by_start ON sale (starts, sale);
    CREATE INDEX sale_by_reference ON sale (reference, sale) WHERE reference <> '';
    CREATE INDEX sale_by_owner ON sale (owner, sale) WHERE channel IN ('web', 'kiosk', 'reseller', 'group');
    CREATE INDEX sale_by_account ON sale (account, sale) WHERE settlement = 'on_account';
    CREATE INDEX sale_by_quote ON sale (quote, sale) WHERE quote <> '';
    CREATE INDEX sale_by_origin ON sale (origin, sale) WHERE settlement = 'moved';
    CREATE INDEX sale_gone ON sale (starts) WHERE channel = 'group' AND cancelled > 0 AND people = cancelled + moved;
    CREATE TABLE ticket (
        ticket TEXT PRIMARY KEY, sale TEXT NOT NULL, slot TEXT NOT NULL, category TEXT NOT NULL, state TEXT NOT NULL, blocked INTEGER NOT NULL,
        changed_at INTEGER NOT NULL, gate TEXT NOT NULL -- through which it was let in last; empty: through none
    ) STRICT, WITHOUT ROWID;";

/// A sale in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SaleRow {
    /// Its id.
    pub sale: HoldId,
    /// Its slot.
    pub slot: SlotId,
    /// When it was sold.
    pub sold_at: Timestamp,
    /// Through which channel.
    pub channel: String,
    /// Which key sold it.
    pub who: String,
    /// `free`, `desk`, `on_account`, `moved` or `payment`.
    pub settlement: String,
    /// The reference under which a desk took the money, for the sale itself, for its payment, or where its tickets were bought; empty if none did.
    pub reference: String,
    /// The account, till or payment; empty if none.
    pub account: String,
    /// For how many people.
    pub people: u32,
    /// What it cost.
    pub total_cents: i64,
    /// What was paid back.
    pub refunded_cents: i64,
    /// How many of its tickets are cancelled.
    pub cancelled: u32,
    /// How many of its tickets were let in.
    pub admitted: u32,
    /// What of it stands in other slots, because tickets have moved there.
    pub carried_cents: i64,
    /// How many of its tickets have moved to other slots.
    pub moved: u32,
    /// The quote that it, or the sale from which its tickets have moved, was made for; empty if none.
    pub quote: String,
}

/// A ticket in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TicketRow {
    /// Its id.
    pub ticket: String,
    /// Its sale.
    pub sale: String,
    /// Its category.
    pub category: String,
    /// `valid`, `blocked`, `inside`, `outside`, `cancelled`, `moving` or `moved`.
    pub state: String,
    /// When that began.
    pub changed_at: Timestamp,
}

/// Which sales to list; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct SaleFilter {
    /// Only of these museums; none: of all.
    pub museums: Option<Vec<MuseumId>>,
    /// Only of this slot.
    pub slot: Option<SlotId>,
    /// Only with this reference of a desk.
    pub reference: Option<String>,
    /// Only by this key: those that it sold, or that are its own because it held them, as its channel says.
    pub who: Option<String>,
    /// The one channel through which that key sells, and of which it sees its own, whoever sold what it held; none: it may sell what was held through others, too, and is asked
    /// for what it sold.
    pub through: Option<Channel>,
    /// Beside those of that key also those that this account was charged with, or that were made for its quotes.
    pub account: Option<Code>,
    /// Only for visits that begin from the first instant up to before the second, in the order of these; none: whenever they begin.
    pub visits: Option<(Timestamp, Timestamp)>,
    /// Only those that were sold from the first instant up to before the second, in the order of that if not in that of visits; none: whenever it was.
    pub sold: Option<(Timestamp, Timestamp)>,
    /// Only after this sale, in the order in which they are listed: that of ids, if neither of these says another one.
    pub after: Option<HoldId>,
}

/// In which order sales are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// That of their ids.
    Ids,
    /// That of their visits, and of ids among those that begin together.
    Visits,
    /// That in which they were sold.
    Sold,
}

/// Which part of an order is asked for: after which instant and sale, and up to before which instant.
type Stretch = (Timestamp, String, Timestamp);

/// The sales that an operator sees: those of its key, those that its account was charged with or that were made for its quotes, and those to which tickets of these have moved.
/// Each by its own index, as what one condition says of several tables is asked of all that was ever sold.
const OF_OPERATOR: &str = "sale.sale IN (
    SELECT own.sale FROM sale AS own WHERE own.owner = ?3 AND own.channel IN ('web', 'kiosk', 'reseller', 'group')
    UNION SELECT charged.sale FROM sale AS charged WHERE charged.settlement = 'on_account' AND charged.account = ?4
    UNION SELECT quoted.sale FROM quote CROSS JOIN sale AS quoted ON quoted.quote = quote.quote AND quoted.quote <> '' WHERE quote.account = ?4
    UNION SELECT moved.sale FROM sale AS charged CROSS JOIN sale AS moved ON moved.origin = charged.sale AND moved.settlement = 'moved'
        WHERE charged.settlement = 'on_account' AND charged.account = ?4
    UNION SELECT moved.sale FROM quote CROSS JOIN sale AS quoted ON quoted.quote = quote.quote AND quoted.quote <> ''
        CROSS JOIN sale AS moved ON moved.origin = quoted.sale AND moved.settlement = 'moved' WHERE quote.account = ?4)";

/// The ids of the museums, or of the slot, that are asked for.
const IN_IDS: &str = "sale.sale BETWEEN ?6 AND ?7";

impl SaleFilter {
    /// Whether an index finds the sales of the key: it has what is sold through channels whose keys see nothing but their own. What desks sell pays for no entry; of a slot,
    /// or of a reference, there are few anyway.
    fn has_index(&self) -> bool {
        matches!(self.through, Some(Channel::Web | Channel::Kiosk | Channel::Reseller | Channel::Group)) && !self.is_few()
    }

    /// Whether it asks for those of a slot, or of a reference, of which there are few.
    fn is_few(&self) -> bool {
        self.slot.is_some() || self.reference.as_ref().is_some_and(|reference| !reference.is_empty())
    }

    const fn order(&self) -> Order {
        match (self.visits, self.sold) {
            (Some(_), _) => Order::Visits,
            (None, Some(_)) => Order::Sold,
            (None, None) => Order::Ids,
        }
    }

    /// The query of [`Views::sales`]: only conditions that are asked for stand in it, so that each finds its index.
    fn query(&self) -> String {
        // Few are sorted; of all others so much of the index that is in their order is read as a page takes. The plus keeps a condition from other indexes.
        let (index, order, mut conditions) = match (self.order(), self.is_few()) {
            (Order::Ids, _) => ("", "sale.sale", "sale.sale > ?5 AND sale.sale BETWEEN ?6 AND ?7".to_owned()),
            (Order::Visits, true) => {
                ("", "sale.starts, sale.sale", format!("{IN_IDS} AND (+sale.starts, sale.sale) > (?9, ?5) AND +sale.starts < ?10"))
            }
            (Order::Sold, true) => {
                ("", "sale.sold_at, sale.sale", format!("{IN_IDS} AND (+sale.sold_at, sale.sale) > (?9, ?5) AND +sale.sold_at < ?10"))
            }
            (Order::Visits, false) => (
                " INDEXED BY sale_by_start",
                "sale.starts, sale.sale",
                format!("+{IN_IDS} AND (sale.starts, sale.sale) > (?9, ?5) AND sale.starts < ?10"),
            ),
            (Order::Sold, false) => (
                " INDEXED BY sale_by_sold",
                "sale.sold_at, sale.sale",
                format!("+{IN_IDS} AND (sale.sold_at, sale.sale) > (?9, ?5) AND sale.sold_at < ?10"),
            ),
        };
        let mut and = |asked: bool, condition: &str| {
            if asked {
                conditions.push_str(" AND ");
                conditions.push_str(condition);
            }
        };
        // The plus keeps it from the index by museum, whose rows would have to be sorted; the ids are in the order that is asked for.
        and(self.museums.is_some(), "+sale.museum IN (SELECT value FROM json_each(?1))");
        and(self.reference.is_some(), "sale.reference = ?2");
        // The index has none that is empty, and is only used where that is said.
        and(self.reference.as_ref().is_some_and(|reference| !reference.is_empty()), "sale.reference <> ''");
        let (has_index, of_account) = (self.has_index(), self.account.is_some());
        let whose = match (has_index, of_account) {
            (true, true) => OF_OPERATOR,
            // An index serves only who asks in its own words.
            (true, false) => "sale.owner = ?3 AND sale.channel IN ('web', 'kiosk', 'reseller', 'group')",
            (false, true) => "(sale.owner = ?3 OR quote.account = ?4 OR (bought.settlement = 'on_account' AND bought.account = ?4))",
            (false, false) if self.through.is_some() => "sale.owner = ?3",
            (false, false) => "sale.who = ?3",
        };
        and(self.who.is_some(), whose);
        and(self.visits.is_some() && self.sold.is_some(), "+sale.sold_at >= ?11 AND +sale.sold_at < ?12");
        format!(
            "SELECT sale.sale, sale.slot, sale.sold_at, sale.channel, sale.who, sale.settlement, sale.reference, sale.account, sale.people,
                sale.total_cents, sale.refunded_cents, sale.cancelled, sale.admitted, sale.carried_cents, sale.moved, coalesce(bought.quote, '')
            FROM sale{index} LEFT JOIN sale AS bought ON bought.sale = sale.origin LEFT JOIN quote ON quote.quote = bought.quote
            WHERE {conditions} ORDER BY {order} LIMIT ?8"
        )
    }

    /// Between which two the ids of these sales are: they begin with the museum's, and with the slot's.
    fn ids(&self) -> (String, String) {
        let all = (String::new(), AFTER_ALL_IDS.to_owned());
        let museums = self.museums.as_deref().and_then(|museums| Some((museums.iter().min()?, museums.iter().max()?)));
        match (self.slot, museums) {
            (Some(slot), _) => ids_of(slot),
            (None, Some((first, last))) => {
                let of = |museum: &MuseumId, rest: u64| ids_of(SlotId::from_raw(u64::from(museum.0) << 48 | rest));
                (of(first, 0).0, of(last, u64::MAX >> 16).1)
            }
            (None, None) => all,
        }
    }
}

impl Views {
    /// Sales in the order of their ids, or of what is asked for of them, at most `limit`.
    pub async fn sales(&self, filter: &SaleFilter, limit: u32) -> Result<Vec<SaleRow>, ViewsError> {
        let (first, last) = filter.ids();
        let Some((from, after, before)) = self.stretch(filter).await? else { return Ok(Vec::new()) };
        let (sold_from, sold_before) = filter.sold.unwrap_or((Timestamp::MIN, Timestamp::MAX));
        let query = sqlx::query(sqlx::AssertSqlSafe(filter.query()))
            .bind(filter.museums.as_ref().map(written))
            .bind(filter.reference.clone())
            .bind(filter.who.clone())
            .bind(filter.account.map(|account| account.to_string()))
            .bind(after)
            .bind(first)
            .bind(last)
            .bind(i64::from(limit))
            .bind(from.as_micros())
            .bind(before.as_micros())
            .bind(sold_from.as_micros())
            .bind(sold_before.as_micros());
        self.found(query, sale_row).await
    }

    /// Which part of its order a filter asks for; none where it goes on after a sale of which nobody knows when it was made.
    async fn stretch(&self, filter: &SaleFilter) -> Result<Option<Stretch>, ViewsError> {
        let (from, before) = filter.visits.or(filter.sold).unwrap_or((Timestamp::MIN, Timestamp::MAX));
        let Some(after) = filter.after else { return Ok(Some((from, String::new(), before))) };
        let at = match filter.order() {
            Order::Ids => from,
            Order::Visits => after.slot().start(),
            Order::Sold => {
                let sold_at = sqlx::query_scalar("SELECT sold_at FROM sale WHERE sale = ?").bind(after.to_string());
                let found: Option<i64> = sold_at.fetch_optional(&self.pool()).await.map_err(|error| self.noted(error))?;
                let Some(found) = found else { return Ok(None) };
                Timestamp::from_micros(found)
            }
        };
        // All that is asked for comes after a sale that is before it.
        Ok(Some(if at < from { (from, String::new(), before) } else { (at, after.to_string(), before) }))
    }

    /// The operator's account that was charged with a sale, or whose quote it was made for: of tickets that have moved, where they were bought.
    pub async fn account_of(&self, sale: HoldId) -> Result<Option<Code>, ViewsError> {
        const QUERY: &str = "SELECT CASE bought.settlement WHEN 'on_account' THEN bought.account ELSE coalesce(quote.account, '') END
            FROM sale JOIN sale AS bought ON bought.sale = sale.origin LEFT JOIN quote ON quote.quote = bought.quote WHERE sale.sale = ?";
        let found: Option<String> =
            sqlx::query_scalar(QUERY).bind(sale.to_string()).fetch_optional(&self.pool()).await.map_err(|error| self.noted(error))?;
        Ok(found.and_then(|code| code.parse().ok()))
    }

    /// The quote that a sale, or the one from which its tickets have moved, was made for.
    pub async fn quote_of(&self, sale: HoldId) -> Result<Option<QuoteId>, ViewsError> {
        const QUERY: &str = "SELECT bought.quote FROM sale JOIN sale AS bought ON bought.sale = sale.origin WHERE sale.sale = ?";
        let found: Option<String> =
            sqlx::query_scalar(QUERY).bind(sale.to_string()).fetch_optional(&self.pool()).await.map_err(|error| self.noted(error))?;
        Ok(found.and_then(|quote| quote.parse().ok()))
    }

    /// The tickets of a slot in the order of their ids, after `after`, at most `limit`.
    pub async fn tickets(&self, slot: SlotId, after: &str, limit: u32) -> Result<Vec<TicketRow>, ViewsError> {
        const QUERY: &str = "SELECT ticket, sale, category, CASE WHEN blocked AND state <> 'cancelled' THEN 'blocked' ELSE state END, changed_at
            FROM ticket WHERE ticket BETWEEN ? AND ? AND ticket > ? ORDER BY ticket LIMIT ?";
        let (first, last) = ids_of(slot);
        let rows = sqlx::query(QUERY)
            .bind(first)
            .bind(last)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.pool())
            .await
            .map_err(|error| self.noted(error))?;
        let read = |row: &SqliteRow| {
            Ok(TicketRow {
                ticket: row.try_get(0)?,
                sale: row.try_get(1)?,
                category: row.try_get(2)?,
                state: row.try_get(3)?,
                changed_at: Timestamp::from_micros(row.try_get(4)?),
            })
        };
        rows.iter().map(read).collect()
    }
}

fn sale_row(row: &SqliteRow) -> Result<SaleRow, sqlx::Error> {
    let id = |index| row.try_get::<String, _>(index);
    let bad = |error: BadId| sqlx::Error::Decode(error.into());
    Ok(SaleRow {
        sale: id(0)?.parse().map_err(bad)?,
        slot: id(1)?.parse().map_err(bad)?,
        sold_at: Timestamp::from_micros(row.try_get(2)?),
        channel: row.try_get(3)?,
        who: row.try_get(4)?,
        settlement: row.try_get(5)?,
        reference: row.try_get(6)?,
        account: row.try_get(7)?,
        people: row.try_get(8)?,
        total_cents: row.try_get(9)?,
        refunded_cents: row.try_get(10)?,
        cancelled: row.try_get(11)?,
        admitted: row.try_get(12)?,
        carried_cents: row.try_get(13)?,
        moved: row.try_get(14)?,
        quote: row.try_get(15)?,
    })
}

/// Through which gate somebody is in, as far as these scans say: by the last that let them in, if that is when they came. The record is of time `at`.
pub(super) fn gate_of(judged: &ScansJudged, at: i64) -> Option<Code> {
    let TicketState::Inside { since, .. } = judged.state else { return None };
    let let_in = |found: &&JudgedScan| {
        let Scan { scanned_at, direction, .. } = found.scan;
        direction == Direction::In && found.judged.passed() && scanned_at.as_micros().min(at) == since.as_micros()
    };
    judged.scans.iter().rfind(let_in).map(|found| found.scan.gate)
}

/// What some batches change in sales and tickets.
#[derive(Debug, Default)]
pub(super) struct Rows {
    sales: Vec<Sold>,
    /// As which sale tickets were bought that have arrived from another slot.
    origins: HashMap<HoldId, HoldId>,
    /// Those of new sales: which category each is of, and when it was made.
    tickets: Vec<(TicketId, Option<Code>, i64)>,
    /// (sale, refunded, cancelled, admitted, carried, moved) to add.
    changes: Vec<Value>,
    /// What becomes of tickets, in whose order they are written: neighbours share a page.
    turns: BTreeMap<TicketId, Turn>,
}

/// A new sale.
#[derive(Debug)]
struct Sold {
    sale: HoldId,
    /// As which sale its tickets were bought.
    origin: HoldId,
    channel: Channel,
    at: i64,
    /// Who sold it, as text; empty: nobody.
    who: String,
    settlement: &'static str,
    reference: String,
    account: String,
    people: u32,
    total_cents: i64,
    /// Whose sale it is, as text.
    owner: String,
}

/// What some batches make of a ticket: of each thing that they say the last word, so that it comes to the same in however many rounds they are taken in.
#[derive(Debug, Default)]
struct Turn {
    state: Option<&'static str>,
    blocked: Option<bool>,
    /// When the last of it was.
    at: i64,
    /// Through which gate it was let in.
    gate: Option<Code>,
}

impl Sold {
    /// In the order of the table's columns up to the total, then as which sale it was bought, and whose it is.
    fn row(&self) -> impl Serialize {
        let Self { sale, origin, channel, at, ref who, settlement, ref reference, ref account, people, total_cents, ref owner } = *self;
        let (slot, channel) = (sale.slot(), channel.name());
        let (museum, starts) = (slot.museum(), slot.start().as_micros());
        (sale, slot, museum, starts, at, channel, who, settlement, reference, account, people, total_cents, origin, owner)
    }
}

impl Rows {
    /// What a record of a slot says; `payments` hear of what desks took.
    pub(super) fn slot(&mut self, record: &Record<Event>, payments: &mut payments::Rows) {
        record.events.iter().for_each(|event| self.event(record, event, payments));
    }

    fn event(&mut self, record: &Record<Event>, event: &Event, payments: &mut payments::Rows) {
        let at = record.at.as_micros();
        let happened = |scanned_at: Option<Timestamp>| scanned_at.map_or(at, |scanned_at| scanned_at.as_micros().min(at));
        match event {
            Event::Sold(sold) => {
                let (settlement, reference, account) = match &sold.settlement {
                    Settlement::Free => ("free", String::new(), String::new()),
                    Settlement::Desk { till, reference, .. } => ("desk", reference.clone(), till.to_string()),
                    Settlement::OnAccount { account } => ("on_account", String::new(), account.to_string()),
                    Settlement::Moved { .. } => ("moved", String::new(), String::new()),
                    Settlement::Quoted { account, .. } => ("on_account", String::new(), account.to_string()),
                    Settlement::Payment { id } => ("payment", String::new(), id.to_string()),
                };
                if let Settlement::Desk { till, method, reference } = &sold.settlement {
                    payments.sold_at_desk(sold.sale.slot().museum(), at, (till, *method, reference), slot::total(&sold.lines).get());
                }
                let who = record.envelope.as_ref().map(|envelope| envelope.who.to_string()).unwrap_or_default();
                let (people, total_cents) = self.made(sold.sale, &sold.lines, at);
                let (sale, channel, owner) = (sold.sale, sold.channel, sold.held_by.map_or_else(|| who.clone(), |held_by| held_by.to_string()));
                self.sales.push(Sold { sale, origin: sale, channel, at, who, settlement, reference, account, people, total_cents, owner });
            }
            Event::Arrived(arrived) => {
                let origin = self.origins.get(&arrived.from).copied().unwrap_or(arrived.from);
                self.origins.insert(arrived.sale, origin);
                let (people, total_cents) = self.made(arrived.sale, &arrived.lines, at);
                let (sale, channel, who) = (arrived.sale, arrived.channel, arrived.who.to_string());
                let (reference, account, owner) = (String::new(), String::new(), who.clone());
                self.sales.push(Sold { sale, origin, channel, at, who, settlement: "moved", reference, account, people, total_cents, owner });
            }
            Event::MoveBegun(begun) => self.turn(begun.sale, &begun.tickets, "moving", at),
            Event::MovedOut(moved) => {
                self.changes.push(json!([moved.sale.to_string(), 0, 0, 0, moved.carried_cents.get(), moved.tickets.len()]));
                self.turn(moved.sale, &moved.tickets, "moved", at);
            }
            Event::MoveUndone(undone) => self.turn(undone.sale, &undone.tickets, "valid", at),
            Event::Cancelled(cancelled) => {
                self.changes.push(json!([cancelled.sale.to_string(), cancelled.refund_cents.get(), cancelled.tickets.len(), 0, 0, 0]));
                self.turn(cancelled.sale, &cancelled.tickets, "cancelled", at);
            }
            Event::Blocked(blocked) => self.block(blocked.sale, &blocked.tickets, true, at),
            Event::Unblocked(unblocked) => self.block(unblocked.sale, &unblocked.tickets, false, at),
            Event::Admitted(admitted) => {
                self.changes.push(json!([admitted.ticket.sale().to_string(), 0, 0, u32::from(admitted.entry == 1), 0, 0]));
                self.turn_one(admitted.ticket, "inside", happened(admitted.scanned_at), Some(admitted.gate));
            }
            Event::Exited(exited) => self.turn_one(exited.ticket, "outside", happened(exited.scanned_at), None),
            Event::ScansJudged(judged) => {
                self.changes.push(json!([judged.ticket.sale().to_string(), 0, 0, u32::from(judged.used), 0, 0]));
                let (state, since) = match judged.state {
                    TicketState::Inside { since, .. } => ("inside", since),
                    TicketState::Outside { left_at, .. } => ("outside", left_at),
                    TicketState::Valid | TicketState::Cancelled | TicketState::Moving | TicketState::Moved => return,
                };
                self.turn_one(judged.ticket, state, since.as_micros(), gate_of(judged, at));
            }
            Event::Opened(_)
            | Event::Held(_)
            | Event::Extended(_)
            | Event::Released(_)
            | Event::Expired(_)
            | Event::CapacitySet(_)
            | Event::QuotasSet(_)
            | Event::Closed(_)
            | Event::Reopened(_)
            | Event::Observed(_)
            | Event::AdmissionConflict(_)
            | Event::Waited(_)
            | Event::WaitingLeft(_)
            | Event::Offered(_)
            | Event::WaitingEnded(_)
            | Event::Renamed(_)
            | Event::Prolonged(_)
            | Event::Amended(_)
            | Event::HandedOver(_)
            | Event::RestDrawn(_)
            | Event::Rested(_)
            | Event::Freed(_)
            | Event::OfferRenewed(_)
            | Event::ReviewOpened(_)
            | Event::ReviewEnded(_)
            | Event::BeyondSet(_)
            // They stay blocked, for another reason.
            | Event::BlockLifted(_) => {}
        }
    }

    /// The tickets of a new sale; answers for how many people it is, and what it costs.
    fn made(&mut self, sale: HoldId, lines: &[Line], at: i64) -> (u32, i64) {
        let people = slot::people(lines);
        for number in 0..people as u16 {
            self.tickets.push((sale.ticket(number), slot::line_of(lines, number).map(|line| line.category), at));
        }
        (people, slot::total(lines).get())
    }

    fn turn(&mut self, sale: HoldId, tickets: &[u16], state: &'static str, at: i64) {
        tickets.iter().for_each(|&number| self.turn_one(sale.ticket(number), state, at, None));
    }

    fn turn_one(&mut self, ticket: TicketId, state: &'static str, at: i64, gate: Option<Code>) {
        let turn = self.turns.entry(ticket).or_default();
        (turn.state, turn.at, turn.gate) = (Some(state), at, gate.or(turn.gate));
    }

    fn block(&mut self, sale: HoldId, tickets: &[u16], blocked: bool, at: i64) {
        for &number in tickets {
            let turn = self.turns.entry(sale.ticket(number)).or_default();
            (turn.blocked, turn.at) = (Some(blocked), at);
        }
    }

    /// Everything, in a transaction of the caller's.
    pub(super) async fn write(mut self, tx: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const SALES: &str = "INSERT INTO sale
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
                CASE value ->> 7 WHEN 'payment' THEN coalesce((SELECT reference FROM payment WHERE payment.payment = value ->> 9), '') ELSE value ->> 8 END,
                value ->> 9, value ->> 10, value ->> 11, 0, 0, 0, 0, 0, '', CASE WHEN value ->> 12 = value ->> 0 THEN value ->> 0
                ELSE coalesce((SELECT bought.origin FROM sale AS bought WHERE bought.sale = value ->> 12), value ->> 12) END, value ->> 13 FROM jsonb_each(?)";
        // Once all of them stand there: tickets may have moved on at once.
        const ARRIVED: &str =
            "UPDATE sale SET reference = coalesce((SELECT bought.reference FROM sale AS bought WHERE bought.sale = sale.origin), '')
            FROM (SELECT value AS of FROM json_each(?)) AS arrived WHERE sale.sale = arrived.of";
        const TICKETS: &str = "INSERT INTO ticket
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'valid', 0, value ->> 4, '' FROM jsonb_each(?)";
        const CHANGES: &str = "UPDATE sale SET refunded_cents = sale.refunded_cents + change.refunded, cancelled = sale.cancelled + change.cancelled,
            admitted = sale.admitted + change.admitted, carried_cents = sale.carried_cents + change.carried, moved = sale.moved + change.moved
            FROM (SELECT value ->> 0 AS of, sum(value ->> 1) AS refunded, sum(value ->> 2) AS cancelled, sum(value ->> 3) AS admitted,
                    sum(value ->> 4) AS carried, sum(value ->> 5) AS moved FROM jsonb_each(?) GROUP BY 1) AS change WHERE sale.sale = change.of";
        const TURNS: &str = "UPDATE ticket SET state = coalesce(change.state, ticket.state), blocked = coalesce(change.blocked, ticket.blocked),
            changed_at = change.at, gate = coalesce(change.gate, ticket.gate)
            FROM (SELECT value ->> 0 AS of, value ->> 1 AS state, value ->> 2 AS blocked, value ->> 3 AS at, value ->> 4 AS gate FROM jsonb_each(?)) AS change
            WHERE ticket.ticket = change.of";
        // In the order of their keys: neighbours share a page.
        self.sales.sort_unstable_by_key(|sold| sold.sale);
        self.tickets.sort_unstable_by_key(|(ticket, ..)| *ticket);
        rows::write(SALES, None, rows::arrays(self.sales.iter().map(Sold::row))?, tx).await?;
        let arrived = self.sales.iter().filter(|sold| sold.sale != sold.origin).map(|sold| sold.sale);
        rows::write(ARRIVED, None, rows::arrays(arrived)?, tx).await?;
        let tickets = self.tickets.iter().map(|(ticket, category, at)| {
            let category = category.as_ref().map_or("", Code::as_str);
            (*ticket, ticket.sale(), ticket.slot(), category, *at)
        });
        rows::write(TICKETS, None, rows::arrays(tickets)?, tx).await?;
        rows::write(CHANGES, None, rows::arrays(&self.changes)?, tx).await?;
        let turns = self.turns.iter().map(|(ticket, Turn { state, blocked, at, gate })| (ticket, state, blocked.map(u8::from), at, gate));
        rows::write(TURNS, None, rows::arrays(turns)?, tx).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bookings_of_some_days_are_found_without_looking_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let steps =
            sqlx::query("EXPLAIN QUERY PLAN SELECT people FROM sale WHERE starts >= 1 AND starts < 2 ORDER BY starts DESC, sale DESC LIMIT 3");
        let steps: Vec<String> = steps.fetch_all(&views.pool()).await.unwrap().iter().map(|row| row.get("detail")).collect();
        assert!(steps.len() == 1 && steps[0].contains("sale_by_start"), "{steps:?}");
        views.close().await;
    }

    const BY_START: &str = "SEARCH sale USING INDEX sale_by_start ((starts,sale)>(?,?) AND starts<?)";
    const BY_SOLD: &str = "SEARCH sale USING INDEX sale_by_sold ((sold_at,sale)>(?,?) AND sold_at<?)";

    fn days() -> Option<(Timestamp, Timestamp)> {
        Some((Timestamp::from_seconds(1), Timestamp::from_seconds(2)))
    }

    #[tokio::test]
    async fn sales_are_found_without_looking_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let cases = [
            (SaleFilter::default(), "SEARCH sale USING PRIMARY KEY (sale>? AND sale<?)"),
            (SaleFilter { museums: Some(vec![MuseumId(3)]), ..SaleFilter::default() }, "SEARCH sale USING PRIMARY KEY (sale>? AND sale<?)"),
            (
                SaleFilter { reference: Some("R-1".into()), ..SaleFilter::default() },
                "SEARCH sale USING INDEX sale_by_reference (reference=? AND sale>? AND sale<?)",
            ),
            (
                SaleFilter { who: Some("key".into()), through: Some(Channel::Reseller), ..SaleFilter::default() },
                "SEARCH sale USING INDEX sale_by_owner (owner=? AND sale>? AND sale<?)",
            ),
            (
                SaleFilter { museums: Some(vec![MuseumId(3)]), who: Some("key".into()), through: Some(Channel::Kiosk), ..SaleFilter::default() },
                "SEARCH sale USING INDEX sale_by_owner (owner=? AND sale>? AND sale<?)",
            ),
            (
                SaleFilter { reference: Some("R-1".into()), who: Some("key".into()), through: Some(Channel::Reseller), ..SaleFilter::default() },
                "SEARCH sale USING INDEX sale_by_reference (reference=? AND sale>? AND sale<?)",
            ),
            (
                SaleFilter { who: Some("shop".into()), through: Some(Channel::Web), ..SaleFilter::default() },
                "SEARCH sale USING INDEX sale_by_owner (owner=? AND sale>? AND sale<?)",
            ),
            (
                SaleFilter { museums: Some(vec![MuseumId(3)]), who: Some("shop".into()), through: Some(Channel::Web), ..SaleFilter::default() },
                "SEARCH sale USING INDEX sale_by_owner (owner=? AND sale>? AND sale<?)",
            ),
            // It may have sold what somebody held over the web.
            (SaleFilter { who: Some("desk".into()), ..SaleFilter::default() }, "SEARCH sale USING PRIMARY KEY (sale>? AND sale<?)"),
            (of_operator(), "SEARCH sale USING PRIMARY KEY (sale=?)"),
            (SaleFilter { visits: days(), ..SaleFilter::default() }, BY_START),
            (
                SaleFilter { visits: days(), sold: days(), museums: Some(vec![MuseumId(3)]), who: Some("desk".into()), ..SaleFilter::default() },
                BY_START,
            ),
            (SaleFilter { visits: days(), ..of_operator() }, BY_START),
            (SaleFilter { sold: days(), museums: Some(vec![MuseumId(3)]), ..SaleFilter::default() }, BY_SOLD),
            (SaleFilter { sold: days(), who: Some("shop".into()), through: Some(Channel::Web), ..SaleFilter::default() }, BY_SOLD),
        ];
        for (filter, expected) in cases {
            let steps = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", filter.query()))).fetch_all(&views.pool()).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|row| row.get("detail")).collect();
            assert!(steps[0].starts_with(expected) && !steps.iter().any(|step| step.contains("ORDER BY")), "{filter:?}: {steps:?}");
            assert!(!steps.iter().any(|step| step.starts_with("SCAN") && !step.contains("json_each")), "{filter:?}: {steps:?}");
        }
        views.close().await;
    }

    fn of_operator() -> SaleFilter {
        SaleFilter { who: Some("operator".into()), through: Some(Channel::Group), account: Some("tour-op".parse().unwrap()), ..SaleFilter::default() }
    }

    #[tokio::test]
    async fn an_operator_sees_what_is_its_own_whether_or_not_an_index_finds_it() {
        const SOLD: &str = "INSERT INTO sale VALUES (?1, ?2, 3, 0, 0, ?3, ?4, ?5, '', ?6, 1, 0, 0, 0, 0, 0, 0, ?7, ?8, ?4)";
        const QUOTED: &str =
            "INSERT INTO quote (quote, museum, drafted_at, who, kind, account, fiscal_code, vat, ipa, contact, revision, day, starts, parts, people,
                total_cents, state, changed_at, accepted, settle, confirmed, payment, reason)
            VALUES (?, 3, 0, '', '', ?, '', '', '', '', 1, '', 0, 0, 0, 0, 'ticketed', 0, 1, '', 1, '', '')";
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let slot = SlotId::new(MuseumId(3), tornello_engine::ids::RouteId(2), Timestamp::from_seconds(1_800_000_000));
        let id = |n: u64| HoldId::new(slot, n);
        for (quote, account) in [("q-1", "tour-op"), ("q-2", "another")] {
            sqlx::query(QUOTED).bind(quote).bind(account).execute(&views.pool()).await.unwrap();
        }
        // Number, channel, key, settlement, account, quote, as which it was bought, and whether it is the operator's.
        let sold = [
            (1, "group", "operator", "payment", "p-1", "", 1, true),
            (2, "group", "office", "on_account", "tour-op", "", 2, true),
            (3, "group", "office", "moved", "", "", 2, true),
            (4, "group", "system", "payment", "p-2", "q-1", 4, true),
            (5, "group", "system", "moved", "", "", 4, true),
            (6, "group", "office", "on_account", "another", "", 6, false),
            (7, "group", "system", "payment", "p-3", "q-2", 7, false),
            (8, "group", "system", "moved", "", "", 7, false),
            (9, "web", "shop", "payment", "p-4", "", 9, false),
            (10, "web", "shop", "moved", "", "", 9, false),
            (11, "box_office", "desk", "desk", "tour-op", "", 11, false),
            (12, "group", "operator", "moved", "", "", 6, true),
        ];
        for (n, channel, who, settlement, account, quote, origin, _) in sold {
            let insert = sqlx::query(SOLD).bind(id(n).to_string()).bind(slot.to_string()).bind(channel).bind(who).bind(settlement).bind(account);
            insert.bind(quote).bind(id(origin).to_string()).execute(&views.pool()).await.unwrap();
        }
        let found = async |filter: SaleFilter| views.sales(&filter, 20).await.unwrap().iter().map(|row| row.sale).collect::<Vec<_>>();
        let own: Vec<HoldId> = sold.iter().filter(|sold| sold.7).map(|sold| id(sold.0)).collect();
        assert_eq!(found(of_operator()).await, own);
        assert_eq!(found(SaleFilter { slot: Some(slot), ..of_operator() }).await, own, "as it is asked of a slot");
        assert_eq!(found(SaleFilter { after: Some(id(3)), ..of_operator() }).await, own[3..]);
        assert_eq!(found(SaleFilter { museums: Some(vec![MuseumId(4)]), ..of_operator() }).await, own[..0]);
        let of_key = |who: &str, through| SaleFilter { who: Some(who.into()), through, ..SaleFilter::default() };
        assert_eq!(found(of_key("operator", Some(Channel::Group))).await, [id(1), id(12)]);
        assert_eq!(found(of_key("operator", None)).await, [id(1), id(12)]);
        assert_eq!(found(of_key("shop", Some(Channel::Web))).await, [id(9), id(10)]);
        views.close().await;
    }

    #[tokio::test]
    async fn sales_of_some_days_come_page_by_page_in_the_order_of_these() {
        const SOLD: &str = "INSERT INTO sale VALUES (?1, ?2, ?3, ?4, ?5, 'web', '', 'free', ?6, '', 1, 0, 0, 0, 0, 0, 0, '', ?1, '')";
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let at = |minute: i64| Timestamp::from_seconds(1_800_000_000 + 60 * minute);
        let id = |museum: u16, minute: i64, n: u64| HoldId::new(SlotId::new(MuseumId(museum), tornello_engine::ids::RouteId(1), at(minute)), n);
        // Which sale, and in which minute it was made; the visit of the first museum is the last one, so that ids are in no other order.
        let sold = [(id(1, 9, 1), 3), (id(1, 9, 2), 1), (id(2, 5, 1), 2), (id(2, 7, 1), 1), (id(3, 5, 1), 4)];
        for (sale, minute) in sold {
            let (slot, museum) = (sale.slot(), i64::from(sale.slot().museum().0));
            let insert = sqlx::query(SOLD).bind(sale.to_string()).bind(slot.to_string()).bind(museum).bind(slot.start().as_micros());
            insert.bind(at(minute).as_micros()).bind("R-1").execute(&views.pool()).await.unwrap();
        }
        let read = async |filter: SaleFilter| {
            let (mut filter, mut found) = (filter, Vec::new());
            loop {
                let rows = views.sales(&filter, 2).await.unwrap();
                let Some(last) = rows.last() else { return found };
                filter.after = Some(last.sale);
                found.extend(rows.iter().map(|row| row.sale));
            }
        };
        let within = |from: i64, to: i64| Some((at(from), at(to)));
        let [nine, nine_too, five, seven, five_too] = sold.map(|(sale, _)| sale);
        let all = SaleFilter::default;
        for by in [None, Some("R-1".to_owned())] {
            let all = || SaleFilter { reference: by.clone(), ..all() };
            assert_eq!(read(all()).await, sold.map(|(sale, _)| sale));
            assert_eq!(read(SaleFilter { visits: within(5, 9), ..all() }).await, [five, five_too, seven]);
            assert_eq!(read(SaleFilter { visits: within(6, 10), ..all() }).await, [seven, nine, nine_too]);
            assert_eq!(read(SaleFilter { visits: Some((Timestamp::MIN, Timestamp::MAX)), ..all() }).await, [five, five_too, seven, nine, nine_too]);
            assert_eq!(read(SaleFilter { sold: within(1, 4), ..all() }).await, [nine_too, seven, five, nine]);
            assert_eq!(read(SaleFilter { sold: within(2, 9), ..all() }).await, [five, nine, five_too]);
            assert_eq!(read(SaleFilter { visits: within(5, 9), sold: within(2, 4), ..all() }).await, [five]);
            assert_eq!(read(SaleFilter { sold: within(1, 4), museums: Some(vec![MuseumId(2)]), ..all() }).await, [seven, five]);
            // Whoever names one from before what is asked for begins where that begins; one that nobody sold has nothing after it.
            assert_eq!(read(SaleFilter { visits: within(7, 8), after: Some(five), ..all() }).await, [seven]);
            assert_eq!(read(SaleFilter { sold: within(2, 3), after: Some(nine_too), ..all() }).await, [five]);
            assert!(read(SaleFilter { sold: within(1, 9), after: Some(id(4, 1, 1)), ..all() }).await.is_empty());
        }
        assert_eq!(read(SaleFilter { slot: Some(nine.slot()), visits: within(9, 10), ..all() }).await, [nine, nine_too]);
        views.close().await;
    }

    #[test]
    fn the_ids_of_a_slot_and_of_a_museum_are_neighbours() {
        let slot = SlotId::new(MuseumId(3), tornello_engine::ids::RouteId(2), Timestamp::from_seconds(1_800_000_000));
        let sale = HoldId::new(slot, 0xffff_ffff_ffff);
        let inside = |(first, last): (String, String), id: String| first <= id && id <= last;
        let of_slot = || SaleFilter { slot: Some(slot), ..SaleFilter::default() }.ids();
        let of_museums =
            |museums: &[u16]| SaleFilter { museums: Some(museums.iter().map(|&id| MuseumId(id)).collect()), ..SaleFilter::default() }.ids();
        assert!(inside(of_slot(), sale.to_string()) && inside(of_slot(), sale.ticket(u16::MAX).to_string()));
        let next = SlotId::from_raw(slot.get() + 1);
        assert!(!inside(of_slot(), HoldId::new(next, 0).to_string()));
        assert!(inside(of_museums(&[3]), sale.to_string()) && inside(of_museums(&[9, 1]), sale.to_string()));
        assert!(!inside(of_museums(&[2]), sale.to_string()) && !inside(of_museums(&[4]), sale.to_string()));
    }
}

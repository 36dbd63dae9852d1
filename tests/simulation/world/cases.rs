//! Analysts: they suspect sales of tomorrow, say what they were and take that back, while staff move the tickets to and fro. What they do is drawn by dice of their own, so that what
//! happens in a world without them is known by its seed as before.

use tornello_actors::cases::{self, case_of};
use tornello_engine::case::{self, Opened, Origin, Subject, Verdict};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{self, Assessment, Digest};
use tornello_engine::ids::CaseId;
use tornello_engine::money::Cents;
use tornello_engine::slot::{DeskMethod, Line, Settlement};
use tornello_engine::tariff::Proof;

use super::*;

/// Where tickets are looked at: of one museum tomorrow's gates open late enough.
const LOOKED_AT: MuseumId = MUSEUMS[1];
/// So many slots of tomorrow there are at least.
const TOMORROWS: usize = 3;

#[derive(Clone, Copy)]
enum Does {
    Suspect,
    Move,
    GoOn,
    Decide,
    Undo,
    FollowUp,
}

const DOES: [(u64, Does); 6] = [(5, Does::Suspect), (6, Does::Move), (3, Does::GoOn), (6, Does::Decide), (4, Does::Undo), (3, Does::FollowUp)];

impl World {
    /// What is suspected of sales, and what becomes of that, while nothing else is on its way: it goes from owner to owner.
    pub(super) async fn drive_cases(&mut self) -> Result<(), Halt> {
        let Some(mut analysts) = self.analysts.take() else { return Ok(()) };
        let mut done = Ok(());
        for _ in 0..1 + analysts.below(5) {
            if done.is_ok() {
                done = self.drive_a_case(&mut analysts).await;
            }
        }
        self.analysts = Some(analysts);
        done
    }

    async fn drive_a_case(&mut self, analysts: &mut Dice) -> Result<(), Halt> {
        self.end_due(true).await?;
        // What gates were told and is not written no list knows of.
        if self.node().health() != Health::Writing || self.auditor.told.values().any(|told| !told.is_empty()) {
            return Ok(());
        }
        self.look_ahead();
        let patience = analysts.weighted(&[(1, 0), (2, 1), (2, 2), (2, 3), (7, usize::MAX)]);
        match analysts.weighted(&DOES) {
            Does::Suspect => self.suspect(analysts).await,
            Does::Move => self.move_suspects(analysts, patience).await,
            Does::GoOn => {
                let under_way = self.under_way();
                if under_way.is_empty() {
                    return Ok(());
                }
                let (source, arrival) = analysts.pick(&under_way);
                self.go_on_with_a_move(source, arrival, patience).await
            }
            Does::Decide => self.decide_a_case(analysts, patience).await,
            Does::Undo => self.undo_a_case(analysts, patience).await,
            Does::FollowUp => self.follow_up(patience).await,
        }
    }

    /// Tickets can go to some slots of tomorrow, of which callers ask nothing.
    fn look_ahead(&mut self) {
        let now = self.now();
        for hours in [25, 26] {
            let slot = SlotId::new(LOOKED_AT, RouteId(1), hour_of(now, hours));
            let is_planned = self.node().museums().opening(slot).is_some();
            if is_planned && self.tomorrows().len() < TOMORROWS && !self.slots.contains(&slot) {
                self.slots.insert(0, slot);
            }
        }
    }

    fn tomorrows(&self) -> Vec<SlotId> {
        let from = self.now().plus_seconds(4 * HOUR_S);
        self.slots.iter().copied().filter(|slot| slot.museum() == LOOKED_AT && slot.start() > from).collect()
    }

    /// The sales of tomorrow of which tickets stand: with whether somebody looks at them.
    fn standing(&self) -> Vec<(HoldId, bool)> {
        let now = self.now();
        let mut standing = Vec::new();
        for naive in self.tomorrows().iter().filter_map(|slot| self.auditor.slots.get(slot)) {
            let sales = naive.sales.keys().filter(|sale| !naive.standing_of(**sale).is_empty());
            standing.extend(sales.map(|sale| (*sale, naive.is_under_review(naive.now(now), *sale))));
        }
        standing
    }

    /// Somebody buys for tomorrow; or what was bought is put under review, and there is a case about it.
    async fn suspect(&mut self, analysts: &mut Dice) -> Result<(), Halt> {
        let standing = self.standing();
        let (envelope, tomorrows) = (callers::envelope(analysts), self.tomorrows());
        if standing.is_empty() || analysts.chance(25) {
            if tomorrows.is_empty() {
                return Ok(());
            }
            let slot = analysts.pick(&tomorrows);
            let count = 1 + analysts.below(3) as u16;
            let lines = vec![Line { category: callers::code("full"), count, price_cents: Cents::new(1_200), proof: Proof::None }];
            let settlement = Settlement::Desk { till: callers::code("desk-1"), method: DeskMethod::Card, reference: "R-1".into() };
            let sale = HoldId::new(slot, analysts.next());
            return self.send(slot, envelope, Command::SellDirect { sale, channel: Channel::BoxOffice, lines, settlement, contact: None }).await;
        }
        let (sale, _) = analysts.pick(&standing);
        self.send(sale.slot(), envelope, Command::Review { sale }).await?;
        self.open_a_case(analysts, sale).await
    }

    /// A case about a sale, if there is none. None lapses in a run.
    async fn open_a_case(&mut self, analysts: &mut Dice, sale: HoldId) -> Result<(), Halt> {
        let (id, envelope) = (case_of(Subject::Sale(sale)), analyst(analysts));
        if self.auditor.cases.contains_key(&id) || self.node().health() != Health::Writing {
            return Ok(());
        }
        let lapses_at = self.began.plus_seconds(400 * 24 * HOUR_S);
        let opened = Opened {
            subject: Subject::Sale(sale),
            origin: Origin::Review,
            assessment: None,
            slot: Some(sale.slot()),
            museum: sale.slot().museum(),
            channel: Channel::Web,
            amount_cents: Cents::ZERO,
            parties: Vec::new(),
            due_at: lapses_at,
            lapses_at,
        };
        let node = Arc::clone(self.node());
        let asked = async move { node.case(id, envelope, case::Command::Open(Box::new(opened))).await };
        let answer = self.drive(asked.boxed_local(), true).await?;
        self.line(format_args!("case {id} about {sale}: {:?}", answer.as_ref().map(|record| record.seq).map_err(ToString::to_string)));
        self.audit()?;
        Ok(rule(answer.is_err() || self.auditor.cases.contains_key(&id), "a case is said to be open that is not written down")?)
    }

    /// Staff move tickets, mostly what is looked at, and mostly to where it can be looked at on; now and then the move is suspected itself, or its buyer asks for it.
    async fn move_suspects(&mut self, analysts: &mut Dice, patience: usize) -> Result<(), Halt> {
        let all = self.standing();
        let looked_at: Vec<(HoldId, bool)> = all.iter().copied().filter(|(_, is_looked_at)| *is_looked_at).collect();
        let from = if looked_at.is_empty() || analysts.chance(20) { all } else { looked_at };
        if from.is_empty() {
            return Ok(());
        }
        let (sale, _) = analysts.pick(&from);
        let is_near = analysts.chance(15);
        let tomorrows = self.tomorrows();
        let fits = |slot: &&SlotId| slot.museum() == LOOKED_AT && **slot != sale.slot() && (is_near || tomorrows.contains(slot));
        let others: Vec<SlotId> = self.slots.iter().filter(fits).copied().collect();
        let Some(naive) = self.auditor.slots.get(&sale.slot()).filter(|_| !others.is_empty()) else { return Ok(()) };
        let standing = naive.standing_of(sale);
        let (to, one) = (analysts.pick(&others), analysts.pick(&standing).0.number());
        let tickets = if analysts.chance(60) { Vec::new() } else { vec![one] };
        let owner = analysts.chance(10).then(|| naive.sales[&sale].who);
        let (arrival, prices) = (HoldId::new(to, analysts.next()), naive.prices(sale));
        let command = Command::BeginMove { sale, owner, tickets, arrival, via: Channel::BoxOffice, prices };
        let is_suspected = analysts.chance(25);
        let assessment = is_suspected.then(|| Box::new(suspicion(self.now())));
        let envelope = Envelope { assessment, ..callers::envelope(analysts) };
        self.begin_a_move(sale.slot(), envelope, command, patience).await?;
        let has_arrived = self.auditor.slots.get(&to).is_some_and(|naive| naive.sales.contains_key(&arrival));
        if is_suspected && has_arrived { self.open_a_case(analysts, arrival).await } else { Ok(()) }
    }

    /// Somebody says what a sale was; mostly of one that nobody has said that of.
    async fn decide_a_case(&mut self, analysts: &mut Dice, patience: usize) -> Result<(), Halt> {
        let any = analysts.chance(10);
        let Some(id) = self.some_case(analysts, |card| any || card.verdict.is_none()) else { return Ok(()) };
        let verdict = analysts.weighted(&[(5, Verdict::Fraud), (5, Verdict::Legit), (1, Verdict::Unsure)]);
        let (node, envelope, reason) = (Arc::clone(self.node()), analyst(analysts), callers::code("looked"));
        self.line(format_args!("case {id} is {verdict:?}, for {patience} batches"));
        let decided = async move { cases::decide(&node, id, envelope, verdict, reason).await };
        let Some(said) = self.drive_for(decided.boxed_local(), true, patience).await? else { return self.finish().await };
        self.is_said(id, Some(verdict), &said)
    }

    async fn undo_a_case(&mut self, analysts: &mut Dice, patience: usize) -> Result<(), Halt> {
        let Some(id) = self.some_case(analysts, |card| card.verdict.is_some()) else { return Ok(()) };
        let (node, envelope) = (Arc::clone(self.node()), analyst(analysts));
        self.line(format_args!("the verdict of case {id} is taken back, for {patience} batches"));
        let undone = async move { cases::undo(&node, id, envelope).await };
        let Some(said) = self.drive_for(undone.boxed_local(), true, patience).await? else { return self.finish().await };
        self.is_said(id, None, &said)
    }

    /// What was said of a case stands if that was acknowledged; and it is refused only if there is nothing to say.
    fn is_said(&mut self, id: CaseId, verdict: Option<Verdict>, said: &Result<u64, Failure<case::Refusal>>) -> Result<(), Halt> {
        self.line(format_args!("it is answered {:?}", said.as_ref().map_err(ToString::to_string)));
        self.audit()?;
        let stands = self.auditor.cases.get(&id).and_then(|card| card.verdict);
        let is_so = match said {
            Ok(_) => stands == verdict,
            Err(Failure::Refused(_)) => stands.is_some() == verdict.is_some(),
            Err(_) => true,
        };
        Ok(rule(is_so, "a verdict is acknowledged that does not stand, or is refused for nothing")
            .map_err(|wrong| format!("{wrong}: case {id}, {said:?}"))?)
    }

    /// What waits to be done because of verdicts is done, as far as it can be.
    async fn follow_up(&mut self, patience: usize) -> Result<(), Halt> {
        let node = Arc::clone(self.node());
        self.line(format_args!("what follows from verdicts is done, for {patience} batches"));
        let resumed = async move { cases::resume(&node).await };
        let Some(left) = self.drive_for(resumed.boxed_local(), true, patience).await? else { return self.finish().await };
        self.line(format_args!("{:?} are left", left.map_err(|error| error.to_string())));
        self.audit()
    }

    /// A case of such a kind; more often one whose tickets are on their way.
    fn some_case(&self, analysts: &mut Dice, fits: impl Fn(&Card) -> bool) -> Option<CaseId> {
        let fitting: Vec<CaseId> = self.auditor.cases.iter().filter(|(_, card)| fits(card)).map(|(id, _)| *id).collect();
        let moving: Vec<CaseId> = fitting.iter().copied().filter(|id| self.auditor.is_on_its_way(*id)).collect();
        let of = if moving.is_empty() || analysts.chance(30) { fitting } else { moving };
        (!of.is_empty()).then(|| analysts.pick(&of))
    }

    /// At the end no move is under way, and nothing fails: all that verdicts ask for is done.
    pub(super) async fn finish_cases(&mut self) -> Result<(), Halt> {
        let mut waiting: Vec<CaseId> = Vec::new();
        for _ in 0..4 {
            waiting = self.auditor.cases.iter().filter(|(_, card)| card.pending.is_some()).map(|(id, _)| *id).collect();
            if waiting.is_empty() {
                return Ok(());
            }
            for id in waiting.clone() {
                // One whose answer was lost the node knows once somebody has read it back.
                let node = Arc::clone(self.node());
                let look = async move { node.look_case(id, |case| case.seq()).await };
                let _ = self.drive(look.boxed_local(), false).await?;
            }
            let node = Arc::clone(self.node());
            let left = self.drive(async move { cases::resume(&node).await }.boxed_local(), false).await?;
            self.line(format_args!("what follows from verdicts is done, {:?} are left", left.map_err(|error| error.to_string())));
            self.audit()?;
            waiting.retain(|id| self.auditor.cases.get(id).is_some_and(|card| card.pending.is_some()));
            if !waiting.is_empty() {
                // Who has stopped again and again is rebuilt a minute later.
                self.pass(61);
            }
        }
        Ok(rule(waiting.is_empty(), "what follows from a verdict is not done, though nothing fails")
            .map_err(|wrong| format!("{wrong}: {waiting:?}"))?)
    }
}

/// An analyst, with a key that nobody has used.
fn analyst(analysts: &mut Dice) -> Envelope {
    Envelope { parties: Vec::new(), formerly: Vec::new(), ..callers::envelope(analysts) }
}

/// What a scorer says of a move that somebody is to look at.
fn suspicion(at: Timestamp) -> Assessment {
    Assessment {
        model: callers::code("rules"),
        rules_version: 1,
        at,
        position: 0,
        features: Digest(1),
        score: 60,
        reasons: Vec::new(),
        outcome: envelope::Outcome::Review,
        rules: Vec::new(),
        probability_ppm: None,
        basis: None,
    }
}

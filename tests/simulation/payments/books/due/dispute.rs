//! The money of a payment that payers' banks take back: because a dispute was decided for the payer, or because flows name receipts as revoked.

use tornello_engine::payment::{Event, PaidBackBy, Reported, Source, TakenBack};
use tornello_engine::slot::DeskMethod;

use super::{Back, Due, Went};
use crate::rule;

impl Due {
    pub(super) fn contest(&mut self) -> Result<(), String> {
        rule(!self.came.is_empty(), "a dispute about nothing")?;
        self.contested = true;
        self.back.iter_mut().for_each(|back| back.released = false);
        Ok(())
    }

    pub(super) fn resolve(&mut self, upheld: bool, then: &[Event]) -> Result<(), String> {
        self.contested = false;
        if upheld {
            self.back.iter_mut().for_each(|back| back.released = false);
        }
        let expected = if upheld { self.left_to_a_bank() } else { None };
        let follows = match then {
            [] => None,
            [Event::TakenBack(taken)] => Some((taken.receipt as usize, taken.amount_cents.get())),
            _ => return Err("something else follows from the end of a dispute than what was taken back".into()),
        };
        self.is_taking = follows.is_some();
        let about = follows.map(|(receipt, _)| receipt);
        self.right_about = upheld.then_some(about);
        if upheld {
            self.upheld.extend(about);
            self.is_any_upheld |= about.is_none();
        }
        rule(follows == expected, "the payer's bank takes back something else than what is left of what came from banks")
            .map_err(|wrong| format!("{wrong}: {expected:?}"))
    }

    pub(super) fn take_back(&mut self, taken: &TakenBack) -> Result<(), String> {
        rule(std::mem::take(&mut self.is_taking), "money is taken back that nobody contests, and that no flow names")?;
        let (place, cents) = (taken.receipt as usize, taken.amount_cents.get());
        self.taken.push((place, cents));
        let came = self.came.get(place).map_or(0, |came| came.amount_cents.get());
        let may = self.settled_of(place)..=came;
        rule(may.contains(&self.taken_of(place)), "more is taken back than came, or less than refunds are noted to be paid by (PY-1)")?;
        if cents > 0 {
            for back in &mut self.back {
                self.held_back += u64::from(back.released && back.went == Went::Open);
                back.released = false;
            }
        }
        Ok(())
    }

    pub(super) fn report(&mut self, reported: &Reported, then: &[Event]) -> Result<(), String> {
        let key = (reported.flow.clone(), reported.iur.clone(), reported.index);
        let said = (reported.code, reported.amount_cents.get());
        rule(self.named.insert(key, said) != Some(said), "a flow says once more what it has said")?;
        let taken = match then {
            [] => None,
            [Event::TakenBack(taken)] => Some(taken),
            _ => return Err("something else follows from a flow than what it takes back".into()),
        };
        match self.came.iter().position(|came| came.id == reported.iur) {
            Some(place) => self.flows_take(place, taken),
            None => rule(taken.is_none(), "a flow takes back what has not come"),
        }
    }

    /// Which receipt's money a bank takes back that was right, and how much: first of what paid, then of what came beside; of each what is neither paid back nor sent.
    fn left_to_a_bank(&self) -> Option<(usize, i64)> {
        let mut places: Vec<usize> = (0..self.came.len()).collect();
        places.sort_by_key(|place| Some(*place) != self.paid_by);
        let mut left = places.into_iter().map(|place| {
            let came = &self.came[place];
            let by_bank = match &came.source {
                Source::Node | Source::Report => true,
                Source::Desk { method, .. } => *method == DeskMethod::Card,
                _ => false,
            };
            let is_away = |back: &&Back| back.went != Went::Open && back.went != Went::Gone(PaidBackBy::PayersBank);
            let went = self.back.iter().filter(|back| back.receipt == place).filter(is_away).map(|back| back.cents).sum::<i64>();
            (place, if by_bank { came.amount_cents.get() - went - self.taken_of(place) } else { 0 })
        });
        left.find(|(_, cents)| *cents > 0)
    }

    /// The refunds that the payer has from their bank.
    pub fn settled(&self) -> impl Iterator<Item = &Back> {
        self.back.iter().filter(|back| back.went == Went::Gone(PaidBackBy::PayersBank))
    }

    pub(super) fn settled_of(&self, receipt: usize) -> i64 {
        self.settled().filter(|back| back.receipt == receipt).map(|back| back.cents).sum()
    }

    pub fn taken_of(&self, receipt: usize) -> i64 {
        self.taken.iter().filter(|(of, _)| *of == receipt).map(|(_, cents)| cents).sum()
    }

    /// What flows name as revoked of a receipt by their last words, less what they have as sent beside what came, and no more than came with it: of what went through pagoPA, by its
    /// one transfer.
    fn revoked_of(&self, receipt: usize) -> i64 {
        let came = &self.came[receipt];
        let is_its = |(_, iur, index): &(String, String, u8)| *iur == came.id && *index == 1;
        let said = |revoked: bool| -> i64 {
            let lines = self.named.iter().filter(|(key, (code, _))| is_its(key) && (*code == 3) == revoked);
            lines.map(|(_, (_, cents))| cents).sum()
        };
        let all = came.amount_cents.get();
        if matches!(came.source, Source::Node | Source::Report) { (said(true) - (said(false) - all).max(0)).clamp(0, all) } else { 0 }
    }

    /// Of a receipt is taken back what flows name by their last words, and no less than refunds are noted to be paid by: so what they have taken and name no more is given back.
    /// Where a dispute was ever decided for the payer that took of the same receipt, or nobody noted of which, nothing is given back, and what it took is not taken again.
    pub(super) fn flows_take(&mut self, receipt: usize, taken: Option<&TakenBack>) -> Result<(), String> {
        let before = self.taken_of(receipt);
        let is_upheld = self.is_any_upheld || self.upheld.contains(&receipt);
        let stays = if is_upheld { before } else { self.settled_of(receipt) };
        let expected = self.revoked_of(receipt).max(stays) - before;
        let expected = (expected != 0).then_some((receipt, expected));
        let follows = taken.map(|taken| (taken.receipt as usize, taken.amount_cents.get()));
        self.is_taking = follows.is_some();
        rule(follows == expected, "flows take back, or give back, something else than they name").map_err(|wrong| format!("{wrong}: {expected:?}"))
    }
}

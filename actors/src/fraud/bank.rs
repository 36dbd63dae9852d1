//! What a payer's bank says of what a payment has sold, read from the payment alone. A dispute is about what paid as long as nobody says otherwise; once one is decided for the
//! payer, and took what came with another receipt (a notice that was paid twice), it was about nothing that was sold: the chargeback that began it is taken back, and what was
//! known before counts.

use tornello_engine::case::{Label, LabelSource};
use tornello_engine::payment::{Event, RefundReason};
use tornello_engine::record::Record;

/// The word of banks about one payment, record by record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BankWord {
    /// How many receipts of too little came before anything paid: the place of the one that does.
    short: u32,
    /// How the last dispute ended that was about what paid, or may have been.
    ended: Option<Label>,
}

impl BankWord {
    /// Whether a record has anything to do with it; of those that have not none has to be kept.
    pub(crate) fn is_in(record: &Record<Event>) -> bool {
        record.events.iter().any(|event| is_short(event) || is_word(event))
    }

    /// Whether a bank says something in a record.
    pub(crate) fn is_said_in(record: &Record<Event>) -> bool {
        record.events.iter().any(is_word)
    }

    /// Takes in the next record of the payment; what is said in it of what was sold.
    pub(crate) fn take(&mut self, record: &Record<Event>) -> Option<(Label, LabelSource)> {
        let taken = record.events.iter().find_map(|event| if let Event::TakenBack(taken) = event { Some(taken.receipt) } else { None });
        let mut said = None;
        for event in &record.events {
            match event {
                event if is_short(event) => self.short += 1,
                Event::Disputed(_) => said = Some((Label::Fraud, LabelSource::Chargeback)),
                Event::DisputeResolved(resolved) => {
                    if !resolved.upheld || taken.is_none_or(|receipt| receipt == self.short) {
                        self.ended = Some(if resolved.upheld { Label::Fraud } else { Label::Legit });
                    }
                    // The chargeback that began it does not stand any more. That it was about other money makes nobody honest.
                    said = Some((self.ended.unwrap_or(Label::Withdrawn), LabelSource::Dispute));
                }
                _ => {}
            }
        }
        said
    }
}

/// Whether less came than was due: only before anything paid is that so.
fn is_short(event: &Event) -> bool {
    matches!(event, Event::RefundOpened(opened) if opened.why == RefundReason::AmountTooSmall)
}

fn is_word(event: &Event) -> bool {
    matches!(event, Event::Disputed(_) | Event::DisputeResolved(_))
}

#[cfg(test)]
mod tests {
    use tornello_engine::money::Cents;
    use tornello_engine::payment::{DisputeResolved, Disputed, RefundOpened, TakenBack};
    use tornello_engine::time::Timestamp;

    use super::*;

    const CONTESTED: (Label, LabelSource) = (Label::Fraud, LabelSource::Chargeback);
    const FRAUD: (Label, LabelSource) = (Label::Fraud, LabelSource::Dispute);
    const LEGIT: (Label, LabelSource) = (Label::Legit, LabelSource::Dispute);
    const TAKEN_BACK: (Label, LabelSource) = (Label::Withdrawn, LabelSource::Dispute);

    fn contested() -> Vec<Event> {
        vec![Event::Disputed(Disputed { reason: "not_recognised".parse().unwrap(), reference: "CASE-1".to_owned() })]
    }

    fn resolved(upheld: bool, receipt: Option<u32>) -> Vec<Event> {
        let taken = receipt.map(|receipt| Event::TakenBack(TakenBack { receipt, amount_cents: Cents::new(1_200) }));
        [Event::DisputeResolved(DisputeResolved { upheld })].into_iter().chain(taken).collect()
    }

    fn back(why: RefundReason, receipt: u32) -> Vec<Event> {
        vec![Event::RefundOpened(RefundOpened { refund: receipt, amount_cents: Cents::new(1_200), why, receipt })]
    }

    /// What is said by each of these records, one after the other.
    fn said(records: impl IntoIterator<Item = Vec<Event>>) -> Vec<(Label, LabelSource)> {
        let (mut word, mut said) = (BankWord::default(), Vec::new());
        for (seq, events) in (1..).zip(records) {
            let record = Record { seq, at: Timestamp::from_seconds(100), envelope: None, events };
            let by = word.take(&record);
            assert_eq!(by.is_some(), BankWord::is_said_in(&record));
            said.extend(by);
        }
        said
    }

    #[test]
    fn a_dispute_is_about_what_paid_unless_it_took_what_came_with_another_receipt() {
        assert_eq!(said([contested(), resolved(false, None)]), [CONTESTED, LEGIT]);
        assert_eq!(said([contested(), resolved(true, None)]), [CONTESTED, FRAUD]);
        assert_eq!(said([contested(), resolved(true, Some(0))]), [CONTESTED, FRAUD]);
        // It was paid twice, and the bank took the second one.
        let twice = back(RefundReason::DoublePayment, 1);
        assert_eq!(said([twice.clone(), contested(), resolved(true, Some(1))]), [CONTESTED, TAKEN_BACK]);
        assert_eq!(said([twice.clone(), contested(), resolved(true, Some(0))]), [CONTESTED, FRAUD]);
        // Too little came before what paid.
        let short = back(RefundReason::AmountTooSmall, 0);
        assert_eq!(said([short.clone(), contested(), resolved(true, Some(0))]), [CONTESTED, TAKEN_BACK]);
        assert_eq!(said([short, contested(), resolved(true, Some(1))]), [CONTESTED, FRAUD]);
        // Of a dispute about other money nothing changes that was found before.
        let both = [twice, contested(), resolved(true, Some(0)), contested(), resolved(true, Some(1))];
        assert_eq!(said(both), [CONTESTED, FRAUD, CONTESTED, FRAUD]);
        let both = [back(RefundReason::DoublePayment, 1), contested(), resolved(false, None), contested(), resolved(true, Some(1))];
        assert_eq!(said(both), [CONTESTED, LEGIT, CONTESTED, LEGIT]);
    }
}

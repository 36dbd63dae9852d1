//! The page of one voucher: what is left of it, what it paid, and what it took back.

use std::collections::BTreeMap;

use tornello_engine::ids::PaymentId;
use tornello_engine::record::Record;
use tornello_engine::voucher::Event;

use crate::rule;

/// The page of one voucher.
#[derive(Default)]
pub struct Purse {
    pub records: Vec<Record<Event>>,
    pub left: i64,
    pub taken: BTreeMap<PaymentId, i64>,
    pub restored: BTreeMap<(PaymentId, u32), i64>,
}

impl Purse {
    pub fn take(&mut self, record: Record<Event>) -> Result<(), String> {
        rule(record.seq == self.records.len() as u64 + 1, "records are not numbered without gaps")?;
        for event in &record.events {
            match event {
                Event::Issued(issued) => {
                    rule(record.seq == 1, "a voucher is issued twice")?;
                    self.left = issued.amount_cents.get();
                }
                Event::Redeemed(redeemed) => {
                    rule(self.taken.insert(redeemed.payment, redeemed.amount_cents.get()).is_none(), "a voucher pays twice for the same")?;
                    self.left -= redeemed.amount_cents.get();
                }
                Event::Restored(restored) => {
                    let new = self.restored.insert((restored.payment, restored.refund), restored.amount_cents.get()).is_none();
                    rule(new, "a voucher takes the same refund back twice")?;
                    self.left += restored.amount_cents.get();
                }
            }
        }
        rule(self.left >= 0, "a voucher is worth less than nothing")?;
        self.records.push(record);
        Ok(())
    }
}

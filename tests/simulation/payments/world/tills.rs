//! Desks: they open a till, put cash in and take it out, and count it.

use tornello_actors::tills;
use tornello_engine::till::Direction;

use super::*;

impl World {
    /// Somebody opens a till, asks once more to, or does something with one that is open.
    pub fn till(&mut self) {
        let open: Vec<TillId> = self.books.drawers.iter().filter(|(_, drawer)| drawer.is_open).map(|(id, _)| *id).collect();
        if open.is_empty() || self.dice.chance(45) {
            let (envelope, till, float_cents) = if !self.openings.is_empty() && self.dice.chance(30) {
                self.counts.count("tills opened again", 1);
                self.openings[self.openings.len() - 1 - self.dice.index(self.openings.len().min(3))].clone()
            } else {
                let opening = (self.envelope(), code(self.dice.pick(&["desk-1", "desk-2"])), Cents::new(self.dice.pick(&[0, 5_000])));
                self.openings.push(opening.clone());
                opening
            };
            let node = self.node();
            self.begin_flow(Of::Others, format_args!("{till} is opened with {float_cents}"), async move {
                Outcome::Till(tills::open(&node, envelope, MUSEUM, till, float_cents).await)
            });
            return;
        }
        let id = self.dice.pick(&open);
        let (direction, amount_cents) = (self.dice.pick(&[Direction::In, Direction::Out]), Cents::new(self.dice.pick(&[1, 2_000])));
        let command = if self.dice.chance(55) {
            till::Command::MoveCash { direction, amount_cents, reason: code("safe") }
        } else {
            let (counted_cents, taken_cents) = (Cents::new(self.dice.pick(&[0, 5_000, 6_001])), Cents::new(self.dice.pick(&[0, 1_201, -333])));
            till::Command::Close { counted_cents, taken_cents, summed_to: self.books.batches as u64 }
        };
        let (node, envelope) = (self.node(), self.envelope());
        self.begin_flow(Of::Others, format_args!("till {id}: {command:?}"), {
            let command = command.clone();
            async move { Outcome::Till(node.till(id, envelope, command).await.map(|_| id)) }
        });
    }

    /// The list of open tills says what the books do.
    pub fn tills_at_rest(&mut self) -> Result<(), String> {
        let open = self.books.drawers.iter().filter(|(_, drawer)| drawer.is_open).map(|(id, drawer)| (*id, &drawer.opened));
        let listed = self.node().tills().open();
        rule(open.eq(listed.iter().map(|(id, head)| (*id, &head.opened))), "other tills are listed as open than are")
    }
}

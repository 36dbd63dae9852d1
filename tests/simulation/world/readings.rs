//! Sensors: a reading comes in, and the museum shares the room in its building out among its slots.

use tornello_actors::sensors::{Measured, Reading};

use super::*;
use crate::auditor::Shared;

impl World {
    /// A reading of one of the buildings, while nothing else is on its way.
    pub(super) async fn drive_a_reading(&mut self) -> Result<(), Halt> {
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        self.end_due(true).await?;
        let (now, place) = (self.now(), self.dice.index(2));
        let museum = MUSEUMS[place];
        // What is asked from now on is asked of these as well.
        for hours in -1..=2 {
            let slot = SlotId::new(museum, RouteId(1), hour_of(now, hours));
            if self.node().museums().opening(slot).is_some() && !self.slots.contains(&slot) {
                self.slots.insert(0, slot);
            }
        }
        for slot in self.slots.clone().into_iter().filter(|slot| slot.museum() == museum) {
            if self.look_at(slot, true, |_| ()).await?.is_err() {
                return Ok(());
            }
        }
        if self.node().health() != Health::Writing {
            return Ok(());
        }
        let (people, sd) = (self.dice.below(u64::from(self.ceilings[place]) + 4) as u32, self.dice.below(3) as u32);
        let measured_at = now.plus_seconds(self.dice.within(-120, 20));
        self.read(place, (people, sd), measured_at, true).await
    }

    /// A reading comes in, after all slots of its museum were seen or not.
    pub(super) async fn read(&mut self, place: usize, (people, sd): (u32, u32), measured_at: Timestamp, are_all_seen: bool) -> Result<(), Halt> {
        let (now, museum, ceiling) = (self.now(), MUSEUMS[place], self.ceilings[place]);
        let (who, sensor) = (callers::SENSORS, callers::code("door"));
        self.line(format_args!("sensors see {people} ± {sd} people of {ceiling} in museum {} at {measured_at}", museum.0));
        self.auditor.shares(Shared { museum, sensor, who, inside: people, sd, measured_at, ceiling, now });
        let reading = Reading { museum, sensor, at: measured_at, measured: Measured::Inside { people, sd: Some(sd) } };
        let node = Arc::clone(self.node());
        let (faults, is_due) = (self.counts.faults, !node.board().due(now).is_empty());
        let soon = (-1..=2).map(|hours| SlotId::new(museum, RouteId(1), hour_of(now, hours)));
        let concerns = |slot: &SlotId| slot.start() < now.plus_seconds(self.policy.dwell_s.into()) && now < slot.start().plus_seconds(HOUR_S);
        let planned: Vec<SlotId> = soon.filter(concerns).filter(|slot| node.museums().opening(*slot).is_some()).collect();
        let read = self.drive(async move { node.read(reading, who).await }.boxed_local(), true).await?;
        self.line(format_args!("they are answered {:?}", read.map(|occupancy| occupancy.map(|occupancy| occupancy.at))));
        self.audit()?;
        if matches!(read, Ok(Some(_))) {
            let is_sound = self.counts.faults == faults;
            self.auditor.heard(are_all_seen && is_sound);
            if !is_due && is_sound {
                self.auditor.all_room_is_given(&planned)?;
            }
        }
        // What is found only later is by this reading still.
        if !self.disk.is_to_find() {
            self.auditor.shared = None;
        }
        Ok(())
    }
}

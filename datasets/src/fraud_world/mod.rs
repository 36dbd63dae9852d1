//! A simulated world to judge fraud scoring on, because no real data about single buyers of tickets exists in the open. **Nothing here is real**: people, rates and
//! attacks are invented, each rate a named constant with a sentence of why, and figures measured on it say how a scorer does in this world, not in a museum.
//!
//! Agents are state machines: they are told what became of what they asked, and say what they want next ([`Intent`]). They do no I/O, know neither labels nor scores,
//! and have dice of their own, so the same seed and the same answers give the same world. Whoever drives takes [`World::next`], does it, and says with [`World::tell`]
//! what happened; [`House`] is the plainest driver, a few rules in memory. The honest are in `honest`, the others in `attack`; [`Truth`] says afterwards who was who.
//! The world was written before any scorer was tried on it, and is not changed to suit one.

mod attack;
mod buyer;
mod desk;
mod dice;
mod honest;
mod house;
mod intent;
mod town;
mod truth;

use std::collections::{BTreeMap, HashMap};

use dice::Dice;
pub use house::House;
pub use intent::{Action, Channel, Happened, Intent, Method, Parties, Party, PartyKind, Refusal};
use town::SECOND_US;
pub use town::{
    BEGINS_S, DAY_S, DAYS_MAX, FIRST_SLOT_S, HOLD_S, PARTY_MAX, REDUCED_CENTS, SALE_OPENS_DAYS, SLOT_S, SLOTS_PER_DAY, SOUGHT_OPENS_DAYS, Slot,
    VENUES, Venue, day_of,
};
pub use truth::{Attack, Deed, Nature, Persona, Truth, Variant};

/// How long somebody needs for one more check, in seconds: to wait for a proof of work, or to type a name. Programs do it too.
const CHECK_S: i64 = 20;

/// What kind of world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What every draw starts from.
    pub seed: u64,
    /// How many days, at most [`DAYS_MAX`].
    pub days: u16,
    /// How many honest buyers a mean day has on the web; everything else follows from it.
    pub buyers_per_day: u32,
    /// Whether there are attackers.
    pub attacked: bool,
}

impl Settings {
    /// The usual world: six weeks, three to learn from and three to be judged on.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, days: 42, buyers_per_day: 1_200, attacked: true }
    }
}

/// One who acts. It never learns more than what became of what it asked.
trait Agent: Send {
    /// What it wants next.
    fn step(&mut self, now_us: i64, told: Told, dice: &mut Dice) -> Vec<Wish>;
}

/// What an agent is told. The tag is that of the wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It is time.
    Woken { tag: u32 },
    /// What became of an intent, by its number.
    Answer { tag: u32, intent: u64, happened: Happened },
}

/// What an agent wants.
#[derive(Debug, Clone, Copy)]
struct Wish {
    at_us: i64,
    /// What the agent knows it by.
    tag: u32,
    want: Want,
}

#[derive(Debug, Clone, Copy)]
enum Want {
    /// To be woken.
    Wake,
    /// To have something done.
    Ask { channel: Channel, parties: Parties, action: Action, harmful: bool },
}

/// An agent that is about to enter the world.
struct Newcomer {
    at_us: i64,
    nature: Nature,
    agent: Box<dyn Agent>,
}

enum Due {
    /// A day begins: its visitors make up their minds.
    Day(i64),
    /// A wish comes true; whether a check that was asked for is passed.
    Wish(u32, Wish, bool),
}

/// The world. Same seed, same answers: same intents.
pub struct World {
    settings: Settings,
    ends_us: i64,
    people: honest::People,
    agents: Vec<(Box<dyn Agent>, Dice)>,
    queue: BTreeMap<(i64, u64), Due>,
    queued: u64,
    /// Whose an intent without an answer is, and the wish that it was.
    asked: HashMap<u64, (u32, Wish)>,
    truth: Truth,
}

impl World {
    /// A world at its beginning.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let days = i64::from(settings.days.min(DAYS_MAX));
        let mut world = Self {
            settings,
            ends_us: (BEGINS_S + days * DAY_S) * SECOND_US,
            people: honest::People::new(settings.seed, if settings.attacked { attack::thieves(settings) } else { Vec::new() }),
            agents: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            asked: HashMap::new(),
            truth: Truth::default(),
        };
        world.queue_at(BEGINS_S * SECOND_US, Due::Day(0));
        if settings.attacked {
            attack::campaigns(settings, &world.people).into_iter().for_each(|newcomer| world.enter(newcomer));
        }
        world
    }

    /// What kind of world it is.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// The next intent, in the order of time; none when the world has ended. It waits for an answer.
    #[expect(clippy::should_implement_trait, reason = "what comes next depends on what the caller tells in between")]
    pub fn next(&mut self) -> Option<Intent> {
        loop {
            let ((at_us, _), due) = self.queue.pop_first()?;
            if at_us >= self.ends_us {
                return None;
            }
            match due {
                Due::Day(day) => {
                    let scale = f64::from(self.settings.buyers_per_day);
                    self.people.arrive(self.settings.seed, day, scale).into_iter().for_each(|newcomer| self.enter(newcomer));
                    self.queue_at(at_us + DAY_S * SECOND_US, Due::Day(day + 1));
                }
                Due::Wish(agent, Wish { tag, want: Want::Wake, .. }, _) => self.step(agent, at_us, Told::Woken { tag }),
                Due::Wish(agent, wish, checked) => {
                    let Want::Ask { channel, parties, action, harmful } = wish.want else { continue };
                    let number = self.truth.deeds.len() as u64;
                    self.truth.deeds.push(Deed { agent, harmful });
                    self.asked.insert(number, (agent, wish));
                    return Some(Intent { number, at_us, channel, parties, action, checked });
                }
            }
        }
    }

    /// Says what became of an intent.
    pub fn tell(&mut self, intent: &Intent, happened: Happened) {
        let Some((agent, wish)) = self.asked.remove(&intent.number) else { return };
        if happened == Happened::SteppedUp {
            // Asked again once the check is passed.
            self.queue_at(intent.at_us + CHECK_S * SECOND_US, Due::Wish(agent, wish, true));
            return;
        }
        self.step(agent, intent.at_us, Told::Answer { tag: wish.tag, intent: intent.number, happened });
    }

    /// Who was behind what, so far. For those who judge.
    #[must_use]
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    fn enter(&mut self, newcomer: Newcomer) {
        let Newcomer { at_us, nature, agent } = newcomer;
        let number = self.agents.len() as u32;
        self.agents.push((agent, Dice::of(self.settings.seed, u64::from(number) << 8 | 1)));
        self.truth.natures.push(nature);
        self.queue_at(at_us, Due::Wish(number, Wish { at_us, tag: 0, want: Want::Wake }, false));
    }

    fn step(&mut self, agent: u32, now_us: i64, told: Told) {
        let (state, dice) = &mut self.agents[agent as usize];
        for wish in state.step(now_us, told, dice) {
            self.queue_at(wish.at_us.max(now_us), Due::Wish(agent, wish, false));
        }
    }

    fn queue_at(&mut self, at_us: i64, due: Due) {
        if at_us < self.ends_us {
            self.queued += 1;
            self.queue.insert((at_us, self.queued), due);
        }
    }
}

#[cfg(test)]
mod tests;

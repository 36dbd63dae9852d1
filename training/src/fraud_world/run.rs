//! Plays a world through its plainest house with the real signals and rules in between, as the node has them: what a command looks like is judged before it is decided,
//! what became of it is counted afterwards. Rules may refuse or ask for one more check, and the agents feel that; what a model says changes nothing here, so that all
//! models are judged on the same history.

use tornello_datasets::fraud_world::{Action, Happened, House, Intent, Settings, Truth, World, day_of};
use tornello_models::fraud::rules::{Action as RuleAction, Fired, RuleSet};
use tornello_models::fraud::signals::{FeatureVector, Outlet, Role, SignalEvent, SignalKind, Store, Taking};

use crate::progress::Progress;

/// Parties that are remembered: those of the last weeks of a usual world.
const PARTIES: usize = 250_000;

/// Who reads what: analysts of a channel, or of the gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// The cases of a channel.
    Outlet(Outlet),
    /// What gates have noticed.
    Gate,
}

impl Queue {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Outlet(Outlet::Web),
        Self::Outlet(Outlet::Kiosk),
        Self::Outlet(Outlet::BoxOffice),
        Self::Outlet(Outlet::Group),
        Self::Outlet(Outlet::Reseller),
        Self::Gate,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outlet(outlet) => outlet.name(),
            Self::Gate => "gate",
        }
    }
}

/// Somebody who acts: whom a case is about.
pub type Acting = (Role, u128);

/// Something that was scored. There is no truth in it.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The intent, by its number.
    pub intent: u64,
    /// When.
    pub at_us: i64,
    /// Who would read of it.
    pub queue: Queue,
    /// Whom a case would be about.
    pub acting: Option<Acting>,
    /// Everybody who takes part, as far as it is known.
    pub parties: Vec<Taking>,
    /// In which slot; 0: in none.
    pub slot: u64,
    /// What scorers see.
    pub features: FeatureVector,
    /// The rules that fired.
    pub fired: Fired,
    /// Whether it became a sale with a card.
    pub charged: bool,
}

/// A history.
pub struct History {
    /// What was scored, in order.
    pub scored: Vec<Scored>,
    /// Admissions of each day, which nobody scores one by one: those that a gate notices are scored.
    pub admissions: Vec<u64>,
    /// Days.
    pub days: i64,
    /// Who was who, to judge by.
    pub truth: Truth,
    /// Refusals by rules, by intent.
    pub blocked: Vec<u64>,
    /// Checks asked for by rules, by intent.
    pub stepped_up: Vec<u64>,
    /// All intents.
    pub intents: u64,
}

/// Plays a world to its end, a step a day.
pub fn play(settings: Settings, rules: &RuleSet, progress: Progress) -> History {
    play_before(i64::MAX, settings, rules, progress)
}

/// Plays the days of a world before one of them.
pub fn play_before(end: i64, settings: Settings, rules: &RuleSet, progress: Progress) -> History {
    let (mut world, mut house, mut store) = (World::new(settings), House::default(), Store::new(PARTIES));
    let days = i64::from(settings.days);
    let mut history = History {
        scored: Vec::new(),
        admissions: vec![0; settings.days.into()],
        days,
        truth: Truth::default(),
        blocked: Vec::new(),
        stepped_up: Vec::new(),
        intents: 0,
    };
    let stage = progress.stage("days of the world", days.min(end).unsigned_abs());
    let mut today = -1;
    while let Some(intent) = world.next().filter(|intent| day_of(intent.at_us) < end) {
        if day_of(intent.at_us) != today {
            today = day_of(intent.at_us);
            stage.step();
        }
        history.intents += 1;
        for event in house.expire(intent.at_us) {
            store.fold(&event);
        }
        let happened = one(&intent, &mut house, &mut store, rules, &mut history);
        world.tell(&intent, happened);
        // What was changed by one event is of no use to readers of earlier ones here.
        store.begin(intent.number);
    }
    history.truth = world.truth().clone();
    history
}

fn one(intent: &Intent, house: &mut House, store: &mut Store, rules: &RuleSet, history: &mut History) -> Happened {
    let mut noted = None;
    if let Some(event) = house.asked(intent) {
        let features = store.features(&event);
        let fired = rules.ask(&features, event.outlet, event.museum);
        if !intent.checked {
            noted = Some(history.scored.len());
            history.scored.push(scored(intent, Queue::Outlet(event.outlet), &event, features, fired));
        }
        match fired.action {
            Some(RuleAction::Block) => {
                history.blocked.push(intent.number);
                if let Some(event) = house.blocked(intent) {
                    store.fold(&event);
                }
                return Happened::Blocked;
            }
            // Also where another rule asks for a review, as in the node.
            _ if fired.needs_proof() && !intent.checked => {
                history.stepped_up.push(intent.number);
                return Happened::SteppedUp;
            }
            _ => {}
        }
    }
    let (happened, events) = house.play(intent);
    for event in &events {
        let before = matches!(event.kind, SignalKind::TillClosed { .. }).then(|| store.features(event));
        store.fold(event);
        match event.kind {
            SignalKind::Admitted => {
                if let Some(count) = history.admissions.get_mut(day_of(event.at_us).unsigned_abs() as usize) {
                    *count += 1;
                }
            }
            // A count of cash is asked about before it is noted, as a refund is. What a gate notices has happened: nobody there waits for a score.
            SignalKind::AdmittedTwice { .. } | SignalKind::Conflict | SignalKind::TillClosed { .. } => {
                let queue = if matches!(event.kind, SignalKind::TillClosed { .. }) { Queue::Outlet(event.outlet) } else { Queue::Gate };
                let features = before.unwrap_or_else(|| store.features(event));
                let fired = rules.ask(&features, event.outlet, event.museum);
                history.scored.push(scored(intent, queue, event, features, fired));
            }
            _ => {}
        }
    }
    if let Some(scored) = noted.and_then(|index| history.scored.get_mut(index)) {
        scored.charged = happened == Happened::Done && matches!(intent.action, Action::Pay { .. }) && intent.parties.card.is_some();
    }
    happened
}

fn scored(intent: &Intent, queue: Queue, event: &SignalEvent, features: FeatureVector, fired: Fired) -> Scored {
    let acting = event.acting().map(|taking| (taking.role, taking.id));
    let (parties, slot) = (event.parties.clone(), event.slot);
    Scored { intent: intent.number, at_us: intent.at_us, queue, acting, parties, slot, features, fired, charged: false }
}

impl Scored {
    /// Its day of the world.
    #[must_use]
    pub const fn day(&self) -> i64 {
        day_of(self.at_us)
    }

    /// Seconds since the world began, for what is measured between two of them.
    #[must_use]
    pub const fn at_s(&self) -> i64 {
        self.at_us / 1_000_000 - tornello_datasets::fraud_world::BEGINS_S
    }
}

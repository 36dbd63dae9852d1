//! What is outside of the house and outlives it: pagoPA, as far as the node can see it, and the people who pay. Answers are lost, slow or refused; what was
//! asked twice is done once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tornello_actors::payments::{Cart, Gateway, GatewayError};
use tornello_engine::ids::PaymentId;
use tornello_engine::payment::{Opened, Receipt};

use crate::callers::code;
use crate::dice::Dice;

/// How a position stands at pagoPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Payable,
    Withdrawn,
    PaidElsewhere,
}

/// What becomes of something that pagoPA is asked.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    AnswerLost,
    NotDone,
    /// Done at once, and answered late.
    Slow,
    /// Done late.
    Slower,
    Refused,
}

struct Known {
    dice: Dice,
    positions: BTreeMap<PaymentId, Position>,
    /// Those who wait for an answer.
    waiting: Vec<oneshot::Sender<()>>,
    asked: u64,
    troubles: u64,
}

impl Known {
    /// Only what is not known is made payable, and only what is known is withdrawn.
    fn becomes(&mut self, payment: PaymentId, becomes: Position) {
        if becomes == Position::Payable {
            self.positions.entry(payment).or_insert(becomes);
        } else if let Some(position) = self.positions.get_mut(&payment) {
            *position = becomes;
        }
    }
}

/// pagoPA.
pub struct Outside {
    known: Mutex<Known>,
    /// Whether anything goes wrong there now.
    pub troubled: AtomicBool,
}

impl Outside {
    pub fn new(seed: u64) -> Arc<Self> {
        let known = Known { dice: Dice::new(seed), positions: BTreeMap::new(), waiting: Vec::new(), asked: 0, troubles: 0 };
        Arc::new(Self { known: Mutex::new(known), troubled: AtomicBool::new(true) })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panics with pagoPA in hand")
    }

    pub fn position(&self, payment: PaymentId) -> Option<Position> {
        self.lock().positions.get(&payment).copied()
    }

    /// Everybody who waits is answered.
    pub fn go_on(&self) {
        self.lock().waiting.clear();
    }

    /// How often it was asked, and how often that went wrong.
    pub fn counts(&self) -> (u64, u64) {
        let known = self.lock();
        (known.asked, known.troubles)
    }
}

/// The line of one life of the node to it.
pub struct Connection {
    pub outside: Arc<Outside>,
    /// Whether that life goes on.
    pub alive: Arc<AtomicBool>,
}

impl Connection {
    async fn ask(&self, payment: PaymentId, becomes: Position, may_refuse: bool) -> Result<(), GatewayError> {
        let later = || GatewayError::Later("the line is dead".to_owned());
        if !self.alive.load(Ordering::SeqCst) {
            return Err(later());
        }
        let (fate, waits) = {
            let mut known = self.outside.lock();
            let known = &mut *known;
            known.asked += 1;
            let refused = if may_refuse { 5 } else { 0 };
            let fates = [(60, Fate::Done), (12, Fate::AnswerLost), (12, Fate::NotDone), (8, Fate::Slow), (8, Fate::Slower), (refused, Fate::Refused)];
            let fate = if self.outside.troubled.load(Ordering::SeqCst) { known.dice.weighted(&fates) } else { Fate::Done };
            known.troubles += u64::from(!matches!(fate, Fate::Done));
            if matches!(fate, Fate::Done | Fate::AnswerLost | Fate::Slow) {
                known.becomes(payment, becomes);
            }
            let waits = matches!(fate, Fate::Slow | Fate::Slower).then(|| {
                let (go_on, waits) = oneshot::channel();
                known.waiting.push(go_on);
                waits
            });
            (fate, waits)
        };
        if let Some(waits) = waits {
            let _ = waits.await;
        }
        if matches!(fate, Fate::Slower) {
            self.outside.lock().becomes(payment, becomes);
        }
        match fate {
            Fate::Done | Fate::Slow | Fate::Slower => Ok(()),
            Fate::AnswerLost | Fate::NotDone => Err(later()),
            Fate::Refused => Err(GatewayError::Never(code("refused"))),
        }
    }
}

impl Gateway for Connection {
    fn publish<'a>(&'a self, payment: PaymentId, _: &'a Opened) -> BoxFuture<'a, Result<(), GatewayError>> {
        self.ask(payment, Position::Payable, true).boxed()
    }

    fn withdraw(&self, payment: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>> {
        self.ask(payment, Position::Withdrawn, true).boxed()
    }

    fn paid_elsewhere<'a>(&'a self, payment: PaymentId, _: &'a Receipt) -> BoxFuture<'a, Result<(), GatewayError>> {
        self.ask(payment, Position::PaidElsewhere, true).boxed()
    }

    fn checkout<'a>(&'a self, _: &'a Cart) -> BoxFuture<'a, Result<String, GatewayError>> {
        std::future::ready(Ok("https://checkout.example".to_owned())).boxed()
    }
}

//! What goes wrong with the calls of a test, on its own thread.

use std::cell::RefCell;
use std::io::{self, ErrorKind};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and that is said.
    Refused,
    /// Half of it is done, and there is no room for the rest.
    Full,
    /// Half of it is done.
    Half,
    /// It is done, and is said not to be.
    Late,
    /// Half of it is done, and then the process is no more: nothing is done any more until it is there again.
    Killed,
}

impl Fault {
    /// All ways.
    pub const ALL: [Self; 5] = [Self::Refused, Self::Full, Self::Half, Self::Late, Self::Killed];
}

#[derive(Default)]
struct Plan {
    calls: usize,
    faults: Vec<(usize, Fault)>,
    is_dead: bool,
}

thread_local! {
    static PLAN: RefCell<Plan> = RefCell::default();
}

/// From now on the calls with these numbers go wrong, counted from 0.
pub fn plan(faults: &[(usize, Fault)]) {
    PLAN.with_borrow_mut(|plan| *plan = Plan { faults: faults.to_vec(), ..Plan::default() });
}

/// How many calls there were since.
pub fn calls() -> usize {
    PLAN.with_borrow(|plan| plan.calls)
}

/// Whether the process is no more; if so, it is there again now.
pub fn was_killed() -> bool {
    PLAN.with_borrow_mut(|plan| std::mem::take(&mut plan.is_dead))
}

pub(super) fn call(all: impl FnOnce() -> io::Result<()>, half: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let fault = PLAN.with_borrow_mut(|plan| {
        if plan.is_dead {
            return Some(Fault::Refused);
        }
        let fault = plan.faults.iter().find(|(call, _)| *call == plan.calls).map(|(_, fault)| *fault);
        plan.calls += 1;
        plan.is_dead = fault == Some(Fault::Killed);
        fault
    });
    let failed = || Err(io::Error::from(ErrorKind::Other));
    match fault {
        None => all(),
        Some(Fault::Refused) => failed(),
        Some(Fault::Full) => half().and(Err(ErrorKind::StorageFull.into())),
        Some(Fault::Half | Fault::Killed) => half().and(failed()),
        Some(Fault::Late) => all().and(failed()),
    }
}

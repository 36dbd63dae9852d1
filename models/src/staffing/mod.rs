//! How many people a museum needs at work: desks by the time that visitors wait, gates by the busiest quarter of an hour, guards by rooms and people inside.
//!
//! [`queue`] holds the formulae of waiting lines, [`roster`] makes lines of a day from a forecast, each with what drives it and what one more or one less would
//! mean. Forecast and rules come in as figures; who wears which uniform is not known here.

pub mod queue;
pub mod roster;

pub use queue::Line as Queue;
pub use roster::{Arrivals, Driver, Need, Role, Rules, needs, with};

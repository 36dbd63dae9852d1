//! How likely a booking is to be lost, by cancellation or by nobody coming, as known when it is made; what that is worth later on ([`standing`]), what follows for a slot ([`shows`]) and for selling
//! beyond its places ([`overbooking`]); and how likely a group's quote is never paid ([`lapse`]). Pure; the words and numbers of a booking are made by whoever calls, in an order of their own.

pub mod encoding;
pub mod lapse;
pub mod model;
pub mod overbooking;
pub mod shows;
pub mod standing;

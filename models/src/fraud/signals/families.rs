//! Families: which features speak of the same behaviour. A scorer without labels adds up within a family before it compares, and reasons are of different families, so
//! that three windows of one count are one reason and not three. A family is what an analyst would call the behaviour; which attack it goes with is for people to say.

use super::features::{FEATURES, N};

/// What features speak of. Numbers are part of fitted models: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// How something is bought, or by somebody how new: a circumstance, and no behaviour.
    Circumstance = 0,
    /// How much is held, paid and bought, how fast, of how many slots and museums.
    Volume = 1,
    /// Holds that are not bought.
    Unsold = 2,
    /// Payments that fail, also together with others' in the same slot.
    Payments = 3,
    /// One device with many cards and addresses, as a hotel's.
    Identities = 4,
    /// Tickets given back.
    Refunds = 5,
    /// Commands that rules refused.
    Refused = 6,
    /// Tickets shown again.
    Gate = 7,
    /// What somebody at a desk does with voids and cash.
    Operator = 8,
    /// Free and reduced titles.
    Titles = 9,
    /// Large parties, in a day or a week.
    Size = 10,
    /// What is done from one network, which many may share.
    Network = 11,
    /// What others do in the same slot and museum: a circumstance by itself, and telling of who does it too.
    Place = 12,
    /// Places for many on earlier days, and again now.
    Again = 13,
    /// One card or address with many devices, or with each other's.
    Spread = 14,
    /// Holds that are not bought in a slot in which others' are not either.
    Together = 15,
    /// Many places at once in a slot that others hold at that moment: as at an opening, or where somebody keeps it from others.
    Rush = 16,
}

/// Beginnings of names, the more special first.
const BEGINNINGS: [(&str, Family); 27] = [
    ("person_people_before_", Family::Again),
    ("person_large_before_", Family::Again),
    ("person_unsold_slot_", Family::Together),
    ("people_slot_", Family::Rush),
    ("person_holds_", Family::Volume),
    ("person_sales_", Family::Volume),
    ("person_people_", Family::Volume),
    ("person_cents_", Family::Volume),
    ("person_begun_", Family::Volume),
    ("person_slots_", Family::Volume),
    ("person_museums_", Family::Volume),
    ("account_holds_", Family::Volume),
    ("account_people_", Family::Volume),
    ("person_unsold_", Family::Unsold),
    ("person_expired_", Family::Unsold),
    ("person_released_", Family::Unsold),
    ("account_unsold_", Family::Unsold),
    ("person_failed_", Family::Payments),
    ("slot_", Family::Place),
    ("museum_", Family::Place),
    ("device_", Family::Identities),
    ("card_", Family::Spread),
    ("buyer_", Family::Spread),
    ("person_refund", Family::Refunds),
    ("person_large_", Family::Size),
    ("operator_", Family::Operator),
    ("network_", Family::Network),
];

/// The family of a feature, by its name.
#[must_use]
pub fn family(name: &str) -> Family {
    match name {
        "cheap_share" | "person_cheap_share_7d" => return Family::Titles,
        "person_blocked_1d" => return Family::Refused,
        "person_twice_7d" | "person_apart_7d" => return Family::Gate,
        _ => {}
    }
    BEGINNINGS.iter().find(|(beginning, _)| name.starts_with(beginning)).map_or(Family::Circumstance, |(_, family)| *family)
}

/// The family of each feature, as a number, in the order of the list.
#[must_use]
pub fn groups() -> [u8; N] {
    FEATURES.map(|(name, _)| family(name) as u8)
}

/// The features of which a scorer asks how far somebody goes: [`groups`] without what others do in the same slot, for which nobody is a suspect.
#[must_use]
pub fn behaviours() -> [u8; N] {
    groups().map(|group| if group == Family::Place as u8 { Family::Circumstance as u8 } else { group })
}

/// How much the rarity of each family counts, from [`Family::Volume`] on. Tourists, members and hotels buy much, hotels with many cards on one device, classes go free,
/// friends come in large parties, thousands share a network, banks refuse cards of the honest twice, and who leaves a cart sees others do so too: who goes far there and
/// nowhere else is most likely one of these. What nobody honest does often counts in full: a card that goes from device to device, or parties that come back for many
/// places on many days.
pub const WEIGHTS: [f64; 16] = [0.5, 1.0, 0.6, 0.7, 0.7, 1.0, 1.0, 1.0, 0.4, 0.6, 0.5, 0.0, 1.0, 1.0, 0.8, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_circumstances_are_in_no_family() {
        let circumstances: Vec<&str> = FEATURES.iter().map(|(name, _)| *name).filter(|name| family(name) == Family::Circumstance).collect();
        assert_eq!(circumstances, ["person_since_s", "person_known_s", "people", "cents", "price_ratio", "lead_s", "night", "anonymous"]);
        for (beginning, _) in BEGINNINGS {
            assert!(FEATURES.iter().any(|(name, _)| name.starts_with(beginning)), "{beginning} is the beginning of none");
        }
    }

    #[test]
    fn what_is_counted_over_minutes_is_the_behaviour_that_it_is_over_hours() {
        for (name, longer, of) in [
            ("person_slots_10m", "person_slots_1h", Family::Volume),
            ("person_museums_10m", "person_museums_1h", Family::Volume),
            ("device_cards_10m", "device_cards_1h", Family::Identities),
            ("network_failed_10m", "network_failed_1h", Family::Network),
            ("network_cards_10m", "network_cards_1h", Family::Network),
        ] {
            let of_column = |name: &str| groups()[super::super::index_of(name).expect(name)];
            assert_eq!((of_column(name), of_column(longer)), (of as u8, of as u8), "{name}");
        }
    }
}

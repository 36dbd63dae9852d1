//! What an analyst who knew the attack would want to read first: the features in which each attack of the world shows by how it is carried out. A reason agrees with the
//! planted cause if it is one of these. The lists follow from what the attackers do, not from what a model says.

use tornello_datasets::fraud_world::Attack;

/// Features that go with an attack, by the beginning of their names.
const fn beginnings(attack: Attack) -> &'static [&'static str] {
    match attack {
        // Places held and not bought, again and again, from one browser or network, over many slots that others want.
        Attack::Hoarding => &[
            "person_holds_",
            "person_unsold_",
            "person_expired_",
            "network_holds_",
            "network_unsold_",
            "slot_expired_",
            "slot_unsold_",
            "person_large_",
            "network_large_",
            "person_slots_",
            "people_slot_",
        ],
        // Many purchases at once with cards, addresses and browsers that cross, of slots that others want.
        Attack::Scalping => &[
            "device_cards_",
            "device_buyers_",
            "card_devices_",
            "card_buyers_",
            "buyer_cards_",
            "buyer_devices_",
            "network_cards_",
            "network_buyers_",
            "network_holds_",
            "person_holds_",
            "person_sales_",
            "person_people_",
            "person_cents_",
            "person_slots_",
            "device_other_",
            "card_other_",
            "buyer_other_",
            "person_large_",
            "network_large_",
            "people_slot_",
        ],
        // Very many places of many slots and sites.
        Attack::Reselling => &[
            "person_holds_1d",
            "person_holds_7d",
            "person_sales_",
            "person_people_",
            "person_cents_",
            "person_slots_",
            "person_museums_",
            "person_large_",
        ],
        // Cards that fail, and many of them.
        Attack::CardTesting => &[
            "person_failed_",
            "person_begun_",
            "device_cards_",
            "buyer_cards_",
            "device_other_cards_",
            "buyer_other_cards_",
            "network_failed_",
            "network_cards_",
            "slot_failed_",
            "museum_failed_",
        ],
        // Much bought, much given back.
        Attack::RefundAbuse => &["person_refund", "person_people_", "person_sales_", "person_cents_", "person_slots_"],
        // A ticket shown again.
        Attack::GateSharing => &["person_twice_", "person_apart_"],
        // Voids and cash that is missing.
        Attack::OperatorTheft => &["operator_"],
    }
}

/// Whether a feature says what an attack is about.
pub(super) fn is_cause(attack: Attack, feature: &str) -> bool {
    beginnings(attack).iter().any(|beginning| feature.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::signals::FEATURES;

    use super::*;

    #[test]
    fn every_cause_is_a_feature() {
        for attack in Attack::ALL {
            for beginning in beginnings(attack) {
                assert!(FEATURES.iter().any(|(name, _)| name.starts_with(beginning)), "{}: {beginning}", attack.name());
            }
        }
    }
}

//! How a museum shares the room in its building out among the slots whose visitors meet there: those that run, and those that begin before everybody inside
//! has left. The rule, in this order:
//!
//! 1. what each slot has promised: tickets sold and holds alive, not let in yet; of one that is closed only the tickets, as nobody can buy what is held there until it reopens;
//! 2. what each has left to sell, in proportion to that;
//! 3. what nobody wants yet, evenly, for places that staff may add.
//!
//! Fractions go to the largest remainders, of equal ones to the earlier slot. A later start finds more room, as some will have left by then; so slots stand in the
//! order of their starts, and all that begin up to an instant together get no more than the room of that instant. Who was promised a place for which there is no room
//! comes in as soon as there is some: all others have that much less to sell, and of what a slot has promised beyond its room nothing is sold again if it ends.

use serde::{Deserialize, Serialize};

/// What one slot asks of the building, in the order of starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The people for whom there is room when the slot begins; now, if it runs.
    pub room: u32,
    /// Places taken whose visitors are still to come.
    pub promised: u32,
    /// Places left to sell.
    pub left: u32,
    /// Whether the slot is still to be sold: one that is over only waits for those who come late.
    pub sells: bool,
}

/// What one slot gets: how many people may still come in by it, beyond those whom the museum had counted as let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// How many of the slot's tickets had been let in when the room was shared out.
    pub admitted: u32,
    /// How many people may come in beyond these.
    pub share: u32,
}

impl Grant {
    /// The most places of the slot that may be taken.
    #[must_use]
    pub const fn places(self) -> u32 {
        self.admitted.saturating_add(self.share)
    }
}

/// The people for whom there is room in `wait_us` microseconds (now, if that is past), given the upper bound of the people inside now. These are taken to have come
/// in evenly over one dwell time, so that the share `(dwell - wait) / dwell` of them is still inside then. None when nobody will be.
#[must_use]
pub fn room(ceiling: u32, upper: u32, wait_us: i64, dwell_s: u32) -> Option<u32> {
    let (dwell_us, wait_us) = (i128::from(dwell_s) * 1_000_000, i128::from(wait_us.max(0)));
    if wait_us > 0 && wait_us >= dwell_us {
        return None;
    }
    let staying = if wait_us == 0 { upper } else { ((i128::from(upper) * (dwell_us - wait_us) + dwell_us - 1) / dwell_us) as u32 };
    Some(ceiling.saturating_sub(staying))
}

/// Shares the room out; one share for each claim. The claims up to any one of them never get more than its room.
#[must_use]
pub fn shares(claims: &[Claim]) -> Vec<u32> {
    let mut rooms: Vec<u64> = claims.iter().map(|claim| u64::from(claim.room)).collect();
    let mut shares = vec![0_u64; claims.len()];
    let widest = rooms.iter().copied().max().unwrap_or(0);
    let wishes: [fn(&Claim, u64) -> u64; 3] =
        [|claim, _| u64::from(claim.promised), |claim, _| u64::from(claim.left), |claim, widest| if claim.sells { widest } else { 0 }];
    for wish in wishes {
        let wants: Vec<u64> = claims.iter().map(|claim| wish(claim, widest)).collect();
        let (parts, mut given) = (divide(&rooms, &wants), 0);
        for ((share, room), part) in shares.iter_mut().zip(&mut rooms).zip(parts) {
            given += part;
            *share += part;
            *room -= given;
        }
    }
    shares.into_iter().map(|share| u32::try_from(share).unwrap_or(u32::MAX)).collect()
}

/// What the shares come to beside what was promised beyond them; one part for each claim. While more is promised than there is room for, none has a place to give to somebody
/// else that it had promised: of a hold that ends there, nothing is sold again.
#[must_use]
pub fn parts(claims: &[Claim]) -> Vec<u32> {
    let mut parts = shares(claims);
    let mut has: Vec<(u32, u32)> = claims.iter().zip(&parts).map(|(claim, share)| (claim.room, claim.promised.max(*share))).collect();
    for (i, claim) in claims.iter().enumerate() {
        parts[i] = parts[i].min(spare(&has, i));
        has[i].1 = parts[i].max(claim.promised);
    }
    parts
}

/// How much one claim may have if all others keep what they have now.
#[must_use]
pub fn spare(claims: &[(u32, u32)], at: usize) -> u32 {
    let mut others = 0_u64;
    let mut least = u64::MAX;
    for (i, &(room, has)) in claims.iter().enumerate() {
        others += if i == at { 0 } else { u64::from(has) };
        if i >= at {
            least = least.min(u64::from(room).saturating_sub(others));
        }
    }
    u32::try_from(least).unwrap_or(u32::MAX)
}

/// As much of what is wanted as fits: from the last claims to the first, those of one room at a time, with all earlier ones together as one party that can take
/// no more than they have room for.
fn divide(rooms: &[u64], wants: &[u64]) -> Vec<u64> {
    // What all before a claim want together, and the most that they can get.
    let (mut wanted, mut most) = (vec![0_u64], vec![0_u64]);
    for (i, (room, want)) in rooms.iter().zip(wants).enumerate() {
        wanted.push(wanted[i] + want);
        most.push((most[i] + want).min(*room));
    }
    let mut parts = vec![0; wants.len()];
    let (mut end, mut total) = (wants.len(), most[wants.len()]);
    while end > 0 {
        let begin = rooms[..end].iter().rposition(|room| *room != rooms[end - 1]).map_or(0, |before| before + 1);
        let parties: Vec<u64> = [wanted[begin]].into_iter().chain(wants[begin..end].iter().copied()).collect();
        let mut split = in_proportion(total, &parties);
        if split[0] > most[begin] {
            split = [vec![most[begin]], in_proportion(total - most[begin], &wants[begin..end])].concat();
        }
        parts[begin..end].copy_from_slice(&split[1..]);
        (end, total) = (begin, split[0]);
    }
    parts
}

/// Splits `total`, which is at most the sum of the weights, in proportion to them, by largest remainder: nobody gets more than its weight.
fn in_proportion(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let product = |weight: &u64| u128::from(total) * u128::from(*weight);
    let mut parts: Vec<u64> = weights.iter().map(|weight| (product(weight) / sum) as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(product(&weights[i]) % sum));
    let missing = total - parts.iter().sum::<u64>();
    for i in order.into_iter().take(missing as usize) {
        parts[i] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(room: u32, promised: u32, left: u32) -> Claim {
        Claim { room, promised, left, sells: true }
    }

    #[test]
    fn the_room_is_shared_by_the_stated_rule() {
        let over = |room, promised| Claim { sells: false, ..claim(room, promised, 0) };
        for (claims, expected, why) in [
            (vec![], vec![], "nobody"),
            (vec![claim(10, 0, 20), claim(10, 0, 20)], vec![5, 5], "alike"),
            (vec![claim(10, 0, 30), claim(10, 0, 10)], vec![8, 2], "in proportion; of equal remainders the earlier"),
            (vec![claim(10, 4, 0), claim(10, 0, 50)], vec![4, 6], "first what was promised"),
            (vec![claim(6, 9, 50), claim(6, 3, 50)], vec![5, 1], "promised more than there is room for"),
            (vec![claim(4, 0, 20), claim(22, 0, 20)], vec![4, 18], "what an earlier slot has no room for goes to a later one"),
            (vec![claim(50, 0, 10), claim(50, 0, 20)], vec![20, 30], "what nobody wants, evenly"),
            (vec![over(10, 3), claim(10, 0, 5)], vec![3, 7], "a slot that is over waits for its late visitors only"),
            (vec![claim(0, 5, 5)], vec![0], "full"),
            (vec![claim(30, 0, 9), claim(10, 0, 9)], vec![5, 5], "a later slot may find less room, where its visitors stay longer"),
        ] {
            assert_eq!(shares(&claims), expected, "{why}");
        }
    }

    #[test]
    fn what_is_promised_and_has_no_room_is_kept_free_in_later_slots() {
        for (claims, expected, why) in [
            (vec![claim(4, 9, 0), claim(22, 0, 20)], vec![4, 13], "five more will come in before it begins"),
            (vec![claim(4, 4, 16), claim(22, 0, 20)], vec![4, 18], "all who were promised a place have one"),
            (vec![claim(4, 9, 0), claim(22, 15, 5)], vec![4, 13], "two who were promised a place in it have none until others have left"),
            (vec![claim(6, 9, 50), claim(6, 3, 50)], vec![3, 0], "there is nothing to sell in either, and nothing of what ends there"),
            (vec![claim(4, 0, 20), claim(22, 30, 0)], vec![0, 22], "a later promise comes before an earlier sale, and takes nothing beyond that"),
        ] {
            assert_eq!(parts(&claims), expected, "{why}");
        }
    }

    #[test]
    fn who_has_left_by_then_takes_no_room() {
        const MIN_US: i64 = 60_000_000;
        for (wait, expected) in [(-5, Some(10)), (0, Some(10)), (45, Some(55)), (89, Some(99)), (90, None)] {
            assert_eq!(room(100, 90, wait * MIN_US, 5_400), expected, "in {wait} minutes");
        }
        assert_eq!((room(5, u32::MAX, 0, 0), room(5, 0, 1, 0)), (Some(0), None));
    }

    #[test]
    fn a_raise_is_held_to_what_the_others_have() {
        let claims = [(10, 4), (10, 3), (40, 20)];
        assert_eq!([0, 1, 2].map(|at| spare(&claims, at)), [7, 6, 33]);
        assert_eq!(spare(&[(10, 0), (10, 30)], 0), 0, "another one has too much");
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let claim = (0..200_u32, 0..40_u32, 0..60_u32, any::<bool>()).prop_map(|(room, promised, left, sells)| Claim {
            room,
            promised,
            left: if sells { left } else { 0 },
            sells,
        });
        prop::collection::vec(claim, 0..8)
    }

    /// One place after the other to whoever wants one and has room: the most that fits.
    fn greedy(claims: &[Claim], wants: impl Fn(&Claim) -> u32) -> u32 {
        let mut has = vec![0; claims.len()];
        for i in 0..claims.len() {
            while has[i] < wants(&claims[i]) && (i..claims.len()).all(|k| has[..=k].iter().sum::<u32>() < claims[k].room) {
                has[i] += 1;
            }
        }
        has.iter().sum()
    }

    proptest! {
        #[test]
        fn the_sum_never_exceeds_the_room_and_all_that_is_wanted_is_used(claims in claims()) {
            let shares = shares(&claims);
            for end in 1..=claims.len() {
                prop_assert!(shares[..end].iter().sum::<u32>() <= claims[end - 1].room);
            }
            prop_assert!(shares.iter().sum::<u32>() >= greedy(&claims, |claim| claim.promised + claim.left));
            let in_force: Vec<_> = claims.iter().zip(&shares).map(|(claim, share)| (claim.room, *share)).collect();
            prop_assert!((0..claims.len()).all(|at| spare(&in_force, at) >= shares[at]));
            if greedy(&claims, |claim| claim.promised) == claims.iter().map(|claim| claim.promised).sum::<u32>() {
                prop_assert!(claims.iter().zip(&shares).all(|(claim, share)| *share >= claim.promised), "promises come first");
            }
        }

        #[test]
        fn nothing_is_left_to_sell_that_a_promise_needs(claims in claims()) {
            let (shares, parts) = (shares(&claims), parts(&claims));
            prop_assert!(parts.iter().zip(&shares).all(|(part, share)| part <= share));
            for i in (0..claims.len()).filter(|i| parts[*i] > 0) {
                // Whatever ends in it is sold again up to its part, while the others keep what they have promised.
                let has = |j: usize| if j == i { parts[j] } else { parts[j].max(claims[j].promised) };
                prop_assert!((i + 1..=claims.len()).all(|end| (0..end).map(has).sum::<u32>() <= claims[end - 1].room));
            }
            if claims.iter().zip(&shares).all(|(claim, share)| *share >= claim.promised) {
                prop_assert_eq!(parts, shares);
            }
        }

        #[test]
        fn more_room_gives_more_and_takes_at_most_a_fraction(claims in claims(), more in 0..50_u32, room in 0..200_u32) {
            let wider = |claims: &[Claim]| claims.iter().map(|claim| Claim { room: claim.room + more, ..*claim }).collect::<Vec<_>>();
            prop_assert!(shares(&wider(&claims)).iter().sum::<u32>() >= shares(&claims).iter().sum::<u32>());
            // Of one room nobody loses more than the place that a remainder brought.
            let one: Vec<_> = claims.iter().map(|claim| Claim { room, ..*claim }).collect();
            prop_assert!(shares(&one).iter().zip(shares(&wider(&one))).all(|(before, after)| after + 1 >= *before));
        }

        #[test]
        fn nothing_overflows(claims in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 0..6)) {
            let claims: Vec<_> = claims.into_iter().map(|(room, promised, left)| claim(room, promised, left)).collect();
            let total: u64 = shares(&claims).iter().map(|share| u64::from(*share)).sum();
            prop_assert!(claims.last().is_none_or(|last| total <= u64::from(last.room)));
        }
    }
}

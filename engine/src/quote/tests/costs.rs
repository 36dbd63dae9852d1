//! What a visit costs, how a group is dealt out over slots, and by when the form and the money are due.

use jiff::civil::Date;

use super::*;
use crate::calendar::{self, MonthDay};
use crate::quote::policy::{Escorts, Fee, FeePer, MandatoryExtra, Terms};
use crate::quote::pricing::{pay_by, sign_by, split};
use crate::text::Text;

/// The rules of real sites: see the policies.
#[test]
fn what_visits_cost() {
    let extra = |code_: &str, count, price, free| Extra { code: code(code_), count, price_cents: Cents::new(price), free };
    let fee = |count, price, free| Extra { code: fee_code(), ..extra("x", count, price, free) };
    // 1 euro a person but for the first 150 of the day; audio above 10, 1.20 euros, one in ten free; one teacher for 15.
    let audio = MandatoryExtra { code: code("audio"), name: Text::new("Audio", "Audio"), price: Cents::new(120), above: 10, free_one_in: 10 };
    let euro = Fee { per: FeePer::Person, amount: Cents::new(100), free_a_day: 150 };
    let palace = {
        let base = GroupPolicy { group_min: 5, group_max: 60, extras: vec![audio], ..GroupPolicy::default() };
        GroupPolicy { school: Terms { fee: euro, ..base.school.clone() }, ..base }
    };
    // 15 to 25 with one escort (schools two), 10 euros a group, schools free.
    let cinema = {
        let escorts = |one_per| Some(Escorts { one_per, category: code("escort"), proof: Proof::None });
        let ten = Fee { per: FeePer::Group, amount: Cents::new(1_000), free_a_day: 0 };
        GroupPolicy {
            group_min: 15,
            school: Terms { escorts: escorts(13), fee: Fee::default() },
            other: Terms { escorts: escorts(25), fee: ten },
            ..GroupPolicy::default()
        }
    };
    let pupils = |count| vec![line("school-pupil", count, 0)];
    let full = |count| vec![line("full", count, 1_200)];
    type Expected = (i64, Option<Extra>, Vec<Extra>, Vec<u32>);
    type Case<'a> = (&'a GroupPolicy, Kind, Asked, u32, Result<Expected, Refusal>);
    let cases: Vec<Case<'_>> = vec![
        (&palace, Kind::School, asked(1, pupils(25), 2), 150, Ok((3_000, Some(fee(0, 100, 25)), vec![extra("audio", 25, 120, 2)], vec![27]))),
        (&palace, Kind::School, asked(1, pupils(25), 2), 10, Ok((4_500, Some(fee(15, 100, 10)), vec![extra("audio", 25, 120, 2)], vec![27]))),
        (&palace, Kind::School, asked(1, pupils(10), 0), 0, Ok((1_000, Some(fee(10, 100, 0)), vec![], vec![10]))),
        (&palace, Kind::School, asked(1, pupils(25), 3), 150, Err(Refusal::TooManyEscorts { free: 2 })),
        (&palace, Kind::School, asked(1, pupils(4), 0), 150, Err(Refusal::GroupTooSmall { min: 5 })),
        (&palace, Kind::School, asked(1, vec![line("school-escort", 20, 0)], 1), 0, Err(Refusal::EscortCategory { category: code("school-escort") })),
        (
            &palace,
            Kind::School,
            asked(1, [pupils(20), vec![line("school-escort", 12, 0)]].concat(), 0),
            0,
            Err(Refusal::EscortCategory { category: code("school-escort") }),
        ),
        (&palace, Kind::School, asked(1, vec![line("school-escort", 10, 500)], 0), 0, Ok((6_000, Some(fee(10, 100, 0)), vec![], vec![10]))),
        (&palace, Kind::Other, asked(2, full(61), 0), 0, Ok((73_200 + 6_600, None, vec![extra("audio", 55, 120, 6)], vec![31, 30]))),
        (&cinema, Kind::School, asked(1, pupils(25), 2), 0, Ok((0, None, vec![], vec![27]))),
        (&cinema, Kind::Company, asked(1, full(25), 1), 9, Ok((31_000, Some(fee(1, 1_000, 0)), vec![], vec![26]))),
        (&cinema, Kind::Company, asked(2, full(26), 2), 0, Ok((33_200, Some(fee(2, 1_000, 0)), vec![], vec![14, 14]))),
        (&cinema, Kind::Company, asked(1, full(26), 2), 0, Err(Refusal::WrongNumberOfSlots { parts: 2 })),
        (&cinema, Kind::Company, asked(2, full(20), 0), 0, Err(Refusal::WrongNumberOfSlots { parts: 1 })),
        (&cinema, Kind::Company, asked(0, full(20), 0), 0, Err(Refusal::BadSlots)),
        (&cinema, Kind::Company, asked(1, vec![line("full", 10, 1), line("full", 10, 1)], 0), 0, Err(Refusal::BadLines)),
        (&cinema, Kind::Company, asked(1, vec![line("full", 20, -1)], 0), 0, Err(Refusal::BadLines)),
        (&cinema, Kind::Company, asked(1, vec![line("full", 20, 1), line("a", 0, 1)], 0), 0, Err(Refusal::BadLines)),
        (&cinema, Kind::Company, asked(40, full(2_001), 0), 0, Err(Refusal::BadLines)),
    ];
    for (policy, kind, asked, left, expected) in cases {
        let priced = price(policy, kind, &asked, left);
        let seen = priced.map(|offer| {
            assert_eq!(offer.sum(), offer.total_cents, "QU-1");
            let parts = offer.parts.iter().map(|part| people(&part.lines)).collect();
            (offer.total_cents.get(), offer.fee, offer.extras, parts)
        });
        assert_eq!(seen, expected, "{kind:?} {asked:?}");
    }
    // Escorts count for the size of a group where the museum says so, as at a site with groups of at most 16 with their guide.
    let small = GroupPolicy { group_max: 16, max_includes_escorts: true, ..GroupPolicy::default() };
    assert_eq!(price(&small, Kind::School, &asked(1, pupils(15), 1), 0).map(|offer| offer.people()), Ok(16));
    assert_eq!(price(&small, Kind::School, &asked(1, pupils(16), 1), 0), Err(Refusal::WrongNumberOfSlots { parts: 2 }));
    // Nor is a part larger than what its slot takes in one hold, escorts among them.
    let narrow = |slots, count, escorts| pricing::price(&palace, Kind::School, &asked(slots, pupils(count), escorts), 0, 30);
    let sizes = |offer: Offer| offer.parts.iter().map(|part| people(&part.lines)).collect::<Vec<_>>();
    assert_eq!(narrow(1, 28, 2).map(sizes), Ok(vec![30]));
    assert_eq!(narrow(1, 29, 2), Err(Refusal::WrongNumberOfSlots { parts: 2 }));
    assert_eq!(narrow(2, 29, 2).map(sizes), Ok(vec![16, 15]));
    // What they want beside; not what they have to take anyway.
    let with = |code_: &str, count| Asked { extras: vec![extra(code_, count, 5_000, 0)], ..asked(1, full(20), 0) };
    assert_eq!(price(&cinema, Kind::Company, &with("guide", 1), 0).map(|offer| offer.total_cents), Ok(Cents::new(24_000 + 1_000 + 5_000)));
    assert_eq!(price(&palace, Kind::Company, &with("audio", 1), 0), Err(Refusal::ExtraTwice { extra: code("audio") }));
    assert_eq!(price(&palace, Kind::Company, &with("booking-fee", 1), 0), Err(Refusal::ExtraTwice { extra: fee_code() }));
    assert_eq!(price(&palace, Kind::Company, &with("guide", 0), 0), Err(Refusal::BadExtras));
    // All slots are different, of one day and of the museum.
    let at_slots = |slots| Asked { slots, ..asked(1, full(26), 0) };
    for slots in [vec![slot(0), slot(0)], vec![slot(0), slot(48)], vec![slot(0), SlotId::new(MuseumId(8), RouteId(1), slot(0).start())]] {
        assert_eq!(price(&cinema, Kind::Company, &at_slots(slots), 0), Err(Refusal::BadSlots));
    }
    let elsewhere = Command::Draft { about: About { museum: MuseumId(8), ..about(Kind::Other, None) }, asked: adults(20), rules: Box::new(rules()) };
    assert_eq!(World::new().ask(0, &elsewhere), Err(Refusal::BadSlots));
}

#[test]
fn payment_is_due_working_days_before_the_visit() {
    let patron = MonthDay::new(6, 24).ok();
    let policy = |days| GroupPolicy { payment_working_days: days, ..GroupPolicy::default() };
    for (days, patron, visit, expected) in [
        // Friday with three working days before it: from Tuesday on; so until Monday night.
        (3, None, "2026-06-19T08:00:00Z", "2026-06-15T22:00:00Z"),
        (1, None, "2026-06-19T08:00:00Z", "2026-06-17T22:00:00Z"),
        // A Sunday; a Monday, with the weekend before it.
        (1, None, "2026-06-21T08:00:00Z", "2026-06-18T22:00:00Z"),
        (2, None, "2026-06-22T08:00:00Z", "2026-06-17T22:00:00Z"),
        // Over 2 June and the weekend before it; over the patron's feast.
        (3, None, "2026-06-04T08:00:00Z", "2026-05-28T22:00:00Z"),
        (2, patron, "2026-06-26T08:00:00Z", "2026-06-22T22:00:00Z"),
        (2, None, "2026-06-26T08:00:00Z", "2026-06-23T22:00:00Z"),
        // Winter time; and a visit just after midnight in Rome is of that day.
        (1, None, "2026-12-09T09:00:00Z", "2026-12-06T23:00:00Z"),
        (1, None, "2026-06-18T22:30:00Z", "2026-06-17T22:00:00Z"),
        // Nothing asked for: until it begins.
        (0, None, "2026-06-19T08:00:00Z", "2026-06-19T08:00:00Z"),
    ] {
        assert_eq!(pay_by(&policy(days), patron, instant(visit)), instant(expected), "{days} before {visit}");
    }
    // The form: working days after its sending, of which the last one counts wholly, also over the change of the clocks. 2 June is a holiday.
    let days = |signature_days| GroupPolicy { signature_days, ..GroupPolicy::default() };
    for (sent, within, patron, expected) in [
        ("2026-06-01T08:00:00Z", 10, None, "2026-06-16T22:00:00Z"),
        ("2026-10-20T22:30:00Z", 10, None, "2026-11-04T23:00:00Z"),
        ("2026-06-19T08:00:00Z", 1, None, "2026-06-22T22:00:00Z"),
        ("2026-06-23T08:00:00Z", 1, patron, "2026-06-25T22:00:00Z"),
    ] {
        assert_eq!(sign_by(&days(within), patron, instant(sent)), instant(expected), "{sent}");
    }
}

proptest! {
    /// People are dealt out evenly, and nobody is lost.
    #[test]
    fn a_group_is_split_evenly(counts in prop::collection::vec(1_u16..100, 1..6), parts in 1_usize..12) {
        let lines: Vec<Line> = counts.iter().enumerate().map(|(i, count)| line(&format!("c{i}"), *count, 100)).collect();
        let dealt = split(&lines, parts);
        prop_assert_eq!(dealt.len(), parts);
        let even = |sizes: Vec<u32>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1;
        prop_assert!(even(dealt.iter().map(|lines| people(lines)).collect()));
        for line in &lines {
            let of = |part: &Vec<Line>| part.iter().find(|dealt| dealt.category == line.category).map_or(0, |line| u32::from(line.count));
            let sizes: Vec<u32> = dealt.iter().map(of).collect();
            prop_assert_eq!(sizes.iter().sum::<u32>(), u32::from(line.count));
            prop_assert!(even(sizes));
        }
        prop_assert!(dealt.iter().flatten().all(|line| line.count > 0));
    }

    /// Between the last day to pay and the day of the visit lie exactly the working days asked for, and one day later it would be fewer.
    #[test]
    fn working_days_are_counted_as_an_auditor_counts_them(day in 0_i32..2_000, days in 1_u16..15) {
        let visit = Date::new(2026, 1, 1).unwrap().saturating_add(jiff::Span::new().days(day));
        let starts_at = calendar::instant(visit.to_datetime(jiff::civil::time(9, 0, 0, 0)));
        let policy = GroupPolicy { payment_working_days: days, ..GroupPolicy::default() };
        let last_day = calendar::local_day(pay_by(&policy, None, starts_at).plus_seconds(-1));
        let between = |from: Date| {
            let inside = from.tomorrow().unwrap().series(jiff::Span::new().days(1)).take_while(|day| *day < visit);
            inside.filter(|day| calendar::is_working_day(*day, None)).count()
        };
        prop_assert_eq!(between(last_day), usize::from(days));
        prop_assert!(between(last_day.tomorrow().unwrap()) < usize::from(days));
    }
}

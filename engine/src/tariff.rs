//! What a ticket costs, for whom, and what must be shown at the gate: categories, reductions and days of free entry.
//!
//! Eligibility is a category and the kind of proof that the gate checks; copies of documents are kept nowhere. Prices are resolved here and frozen in the
//! hold. [`Tariff::state_museum`] is the national tariff of the Italian state museums, with its sources; other sites bring their own.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::channel::Channel;
use crate::ids::Code;
use crate::money::Cents;
use crate::text::Text;

/// The most categories of a tariff.
pub const CATEGORIES_MAX: usize = 64;
/// The most local days of free entry of a tariff.
pub const FREE_DATES_MAX: usize = 1_000;
/// The highest price of one ticket: 1,000 euros.
pub const PRICE_MAX: Cents = Cents::new(100_000);
/// The highest booking fee of one ticket: 50 euros.
pub const FEE_MAX: Cents = Cents::new(5_000);

/// The reduced price of state museums for EU citizens from 18 to 25 years: 2 euros since 28 February 2019 (DM 13/2019).
const EU_18_25: Cents = Cents::new(200);

/// The prices of one museum.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Who pays what, in the order in which visitors see it; at most [`CATEGORIES_MAX`].
    pub categories: Vec<Category>,
    /// Days on which nobody pays.
    pub free_days: FreeDays,
    /// Whether a place can be booked on those days.
    pub free_day_booking: FreeDayBooking,
    /// Added to each paid ticket that is sold through the web shop or a reseller.
    #[serde(default)]
    pub booking_fee: Cents,
}

/// One kind of ticket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its short name in the API and on every ticket of it.
    pub code: Code,
    /// Its name for visitors.
    pub name: Text,
    /// Full, reduced or free.
    pub kind: Kind,
    /// What one ticket costs.
    pub price: Cents,
    /// What the gate checks.
    #[serde(default)]
    pub proof: Proof,
    /// Whether only the group office books it, as it does for school groups.
    #[serde(default)]
    pub group_only: bool,
}

/// What kind of price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What everyone else pays (intero).
    Full,
    /// Less than the full price (ridotto).
    Reduced,
    /// Nothing (gratuito).
    Free,
}

/// Days on which entry is free for all. Places are limited on these days as on any other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeDays {
    /// The first Sunday of each month (DM 507/1997, art. 4, c. 2).
    #[serde(default)]
    pub first_sunday: bool,
    /// 25 April, 2 June and 4 November (the ministry's initiative since 2023).
    #[serde(default)]
    pub national: bool,
    /// Days that the site's director has set (DM 507/1997, art. 4, c. 2-bis); at most [`FREE_DATES_MAX`].
    #[serde(default)]
    pub dates: Vec<Date>,
}

/// Why a day is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeDay {
    /// The first Sunday of the month.
    FirstSunday,
    /// A national day.
    National,
    /// A day of this site.
    Local,
}

impl FreeDays {
    /// Why entry is free on `date`, if it is.
    #[must_use]
    pub fn on(&self, date: Date) -> Option<FreeDay> {
        if self.first_sunday && calendar::first_sunday_of_month(date) {
            Some(FreeDay::FirstSunday)
        } else if self.national && matches!((date.month(), date.day()), (4, 25) | (6, 2) | (11, 4)) {
            Some(FreeDay::National)
        } else {
            self.dates.contains(&date).then_some(FreeDay::Local)
        }
    }
}

/// How visitors get a place on a day of free entry; all three are in use at Italian museums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeDayBooking {
    /// They must book.
    Required,
    /// They may book.
    Recommended,
    /// They queue: only the desk and the totems on site give tickets.
    Impossible,
}

/// What the gate asks to see; nothing of it is stored. Numbers are written in the journal and in ticket codes: append only, at most 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Proof {
    /// Nothing but the ticket.
    #[default]
    None,
    /// Age below 18.
    Age,
    /// Age from 18 to 25 and citizenship.
    EuAge18To25,
    /// The list of a school group.
    SchoolList,
    /// The form of a teacher in service at an Italian school.
    TeacherForm,
    /// Enrolment in, or teaching of, one of the subjects that the decree names.
    EnrolmentCertificate,
    /// A disability.
    DisabilityCard,
    /// Being the companion of a person with a disability.
    CompanionOfDisabled,
    /// A licence of tourist guide.
    GuideLicence,
    /// A licence of tourist interpreter.
    InterpreterLicence,
    /// Membership of ICOM.
    IcomCard,
    /// Service in the Ministry of Culture.
    MinistryCard,
    /// The institute's permit to study.
    StudyPermit,
    /// Service in an association of volunteers for the heritage.
    VolunteerCard,
    /// The profession of journalist.
    PressCard,
    /// Residence.
    Residence,
    /// A voucher or card of a partner.
    Voucher,
}

impl Proof {
    /// Every proof, in the order of the numbers.
    pub const ALL: [Self; 17] = [
        Self::None,
        Self::Age,
        Self::EuAge18To25,
        Self::SchoolList,
        Self::TeacherForm,
        Self::EnrolmentCertificate,
        Self::DisabilityCard,
        Self::CompanionOfDisabled,
        Self::GuideLicence,
        Self::InterpreterLicence,
        Self::IcomCard,
        Self::MinistryCard,
        Self::StudyPermit,
        Self::VolunteerCard,
        Self::PressCard,
        Self::Residence,
        Self::Voucher,
    ];

    /// The number in journal and ticket codes.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The proof with this number; none if this version does not know it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// What to show at the gate, in Italian; nothing for [`Proof::None`].
    #[must_use]
    pub const fn show_it(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Age => "Documento d'identità che attesti l'età inferiore a 18 anni; i minori di 12 anni entrano accompagnati.",
            Self::EuAge18To25 => {
                "Documento d'identità che attesti l'età tra 18 e 25 anni e la cittadinanza dell'Unione europea (o di un paese con reciprocità)."
            }
            Self::SchoolList => "Elenco degli studenti e degli insegnanti su carta intestata della scuola, con la conferma della prenotazione.",
            Self::TeacherForm => "Modulo ministeriale, dell'anno in corso, che attesti il servizio come docente di una scuola italiana.",
            Self::EnrolmentCertificate => {
                "Certificato di iscrizione per l'anno accademico in corso, o attestazione di docenza, in una delle discipline previste."
            }
            Self::DisabilityCard => "Documento che attesti la disabilità, per esempio la Carta europea della disabilità.",
            Self::CompanionOfDisabled => "Ingresso insieme alla persona con disabilità: un familiare o un accompagnatore dei servizi di assistenza.",
            Self::GuideLicence => "Tesserino di guida turistica in corso di validità.",
            Self::InterpreterLicence => "Tesserino di interprete turistico in corso di validità, a fianco della guida.",
            Self::IcomCard => "Tessera ICOM dell'anno in corso.",
            Self::MinistryCard => "Tessera di servizio del Ministero della Cultura.",
            Self::StudyPermit => "Autorizzazione dell'istituto per motivi di studio o di ricerca.",
            Self::VolunteerCard => "Tessera di un'associazione di volontariato convenzionata con il Ministero della Cultura.",
            Self::PressCard => "Tesserino dell'Ordine dei giornalisti, in regola con la quota dell'anno.",
            Self::Residence => "Documento d'identità che attesti la residenza.",
            Self::Voucher => "Buono o tessera indicati al momento dell'acquisto.",
        }
    }

    /// What to show at the gate, in English; nothing for [`Proof::None`].
    #[must_use]
    pub const fn show_en(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Age => "An identity document that shows an age below 18; children under 12 enter with an adult.",
            Self::EuAge18To25 => {
                "An identity document that shows an age of 18 to 25 and citizenship of the European Union (or of a country with reciprocity)."
            }
            Self::SchoolList => "The list of pupils and teachers on the school's letterhead, with the booking confirmation.",
            Self::TeacherForm => "The ministry's form of the current year that certifies service as a teacher at an Italian school.",
            Self::EnrolmentCertificate => "A certificate of enrolment for the current academic year, or of teaching, in one of the listed subjects.",
            Self::DisabilityCard => "A document that certifies the disability, such as the European Disability Card.",
            Self::CompanionOfDisabled => "Entry together with the person with a disability: one relative or one companion from the care services.",
            Self::GuideLicence => "A valid licence of tourist guide.",
            Self::InterpreterLicence => "A valid licence of tourist interpreter, beside the guide.",
            Self::IcomCard => "An ICOM card of the current year.",
            Self::MinistryCard => "A service card of the Ministry of Culture.",
            Self::StudyPermit => "The institute's permit for study or research.",
            Self::VolunteerCard => "A card of a volunteers' association that has an agreement with the Ministry of Culture.",
            Self::PressCard => "A card of the Italian order of journalists, with the year's fee paid.",
            Self::Residence => "An identity document that shows the residence.",
            Self::Voucher => "The voucher or card named at the time of purchase.",
        }
    }
}

/// What one ticket costs on a date through a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Price {
    /// The entry itself.
    pub price: Cents,
    /// The booking fee on top.
    pub fee: Cents,
    /// What the gate checks; nothing on a free day.
    pub proof: Proof,
    /// What kind of price; free on a free day, whatever the category.
    pub kind: Kind,
}

impl Price {
    /// What is to be paid in all.
    #[must_use]
    pub const fn total(&self) -> Cents {
        self.price.plus(self.fee)
    }
}

/// Why there is no price. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PriceError {
    /// The tariff has no such category.
    #[error("there is no category {category} in this tariff")]
    UnknownCategory {
        /// What was asked for.
        category: Code,
    },
    /// Only the group office books this category.
    #[error("category {category} is booked by the group office only")]
    GroupOnly {
        /// What was asked for.
        category: Code,
    },
    /// On this free day nothing is booked.
    #[error("nothing can be booked on {date}: entry is free, tickets are given on site")]
    NoBookingOnFreeDay {
        /// The day.
        date: Date,
    },
}

impl PriceError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownCategory { .. } => "unknown_category",
            Self::GroupOnly { .. } => "group_only",
            Self::NoBookingOnFreeDay { .. } => "no_booking_on_free_day",
        }
    }
}

/// What is wrong with a tariff, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TariffError {
    /// None or too many categories.
    #[error("{count} categories: have 1 to 64")]
    Categories {
        /// How many there are.
        count: usize,
    },
    /// Two categories with one code.
    #[error("category {category} stands twice: give each its own code")]
    CategoryTwice {
        /// Which.
        category: Code,
    },
    /// A name that cannot be shown.
    #[error("category {category}: give it a name of 1 to 200 characters in each language, without control characters")]
    BadName {
        /// Which.
        category: Code,
    },
    /// A price that does not fit the kind.
    #[error("category {category}: let free cost nothing, and full and reduced 0.01 to 1000.00 euros")]
    PriceOfKind {
        /// Which.
        category: Code,
    },
    /// A reduced price above every full price.
    #[error("category {category}: let a reduced price not be above the highest full price")]
    ReducedAboveFull {
        /// Which.
        category: Code,
    },
    /// A fee below zero or too high.
    #[error("let the booking fee be 0.00 to 50.00 euros")]
    BookingFee,
    /// Too many local free days.
    #[error("{count} local free days: keep at most 1000, past ones can go")]
    TooManyFreeDates {
        /// How many there are.
        count: usize,
    },
}

impl Tariff {
    /// The national tariff of Italian state museums with the given full price; free for all if that is nothing. From DM 507/1997, art. 4, as changed by
    /// DM 239/2006, by the rules of 2014 (under 18 of any nationality; no longer over 65) and by DM 13/2019 (2 euros from 18 to 25 years; never above the
    /// full price). First Sundays are free by DM 507/1997, art. 4, c. 2; 25 April, 2 June and 4 November by the ministry's initiative since 2023.
    /// No booking fee; booking on free days is recommended.
    #[must_use]
    pub fn state_museum(full: Cents) -> Self {
        let paid = |code, it, en, kind, price: Cents, proof| {
            let kind = if price > Cents::ZERO { kind } else { Kind::Free };
            Category { code, name: Text::new(it, en), kind, price: price.max(Cents::ZERO), proof, group_only: false }
        };
        let free = |code, it, en, proof| paid(code, it, en, Kind::Free, Cents::ZERO, proof);
        let school = |code, it, en, proof| Category { group_only: true, ..free(code, it, en, proof) };
        let categories = vec![
            // DM 507/1997, art. 1: entry is paid.
            paid(named("full"), "Intero", "Full price", Kind::Full, full, Proof::None),
            // DM 13/2019.
            paid(
                named("eu-18-25"),
                "Ridotto 18-25 anni (UE)",
                "Reduced, EU citizens aged 18 to 25",
                Kind::Reduced,
                EU_18_25.min(full),
                Proof::EuAge18To25,
            ),
            // DM 239/2006, any nationality since 2014.
            free(named("under-18"), "Gratuito, minori di 18 anni", "Free, under 18", Proof::Age),
            // DM 507/1997, art. 4, c. 3, f: only by booking, within the quota that the head of the institute sets.
            school(named("school-pupil"), "Gratuito, studenti in gruppo scolastico", "Free, pupils of a school group", Proof::SchoolList),
            school(named("school-escort"), "Gratuito, insegnanti accompagnatori", "Free, teachers with a school group", Proof::SchoolList),
            // By the ministry's yearly form.
            free(named("teacher"), "Gratuito, docenti di scuole italiane", "Free, teachers of Italian schools", Proof::TeacherForm),
            // DM 239/2006: architecture, conservation, education, letters with archaeology or art history, academies of fine arts.
            free(
                named("student"),
                "Gratuito, studenti e docenti delle discipline previste",
                "Free, students and teachers of the listed subjects",
                Proof::EnrolmentCertificate,
            ),
            // DM 507/1997 and DM 239/2006, art. 4, c. 3 and 4.
            free(named("disability"), "Gratuito, persone con disabilità", "Free, people with a disability", Proof::DisabilityCard),
            free(
                named("companion"),
                "Gratuito, accompagnatore di persona con disabilità",
                "Free, companion of a person with a disability",
                Proof::CompanionOfDisabled,
            ),
            free(named("guide"), "Gratuito, guide turistiche", "Free, tourist guides at work", Proof::GuideLicence),
            free(named("interpreter"), "Gratuito, interpreti turistici", "Free, tourist interpreters at work", Proof::InterpreterLicence),
            free(named("ministry"), "Gratuito, personale del Ministero", "Free, staff of the Ministry", Proof::MinistryCard),
            free(named("icom"), "Gratuito, soci ICOM", "Free, ICOM members", Proof::IcomCard),
            free(named("volunteer"), "Gratuito, volontari convenzionati", "Free, volunteers under agreement", Proof::VolunteerCard),
            free(named("study"), "Gratuito, motivi di studio o ricerca", "Free, study or research", Proof::StudyPermit),
        ];
        Self {
            categories,
            free_days: FreeDays { first_sunday: true, national: true, dates: Vec::new() },
            free_day_booking: FreeDayBooking::Recommended,
            booking_fee: Cents::ZERO,
        }
    }

    /// The category with this code.
    #[must_use]
    pub fn category(&self, code: Code) -> Option<&Category> {
        self.categories.iter().find(|category| category.code == code)
    }

    /// Whether anything is booked for a visit on `date` through `channel`: on a day of free entry that nobody books, tickets are given on site alone.
    #[must_use]
    pub fn books(&self, date: Date, channel: Channel) -> bool {
        let on_site = matches!(channel, Channel::BoxOffice | Channel::Kiosk);
        on_site || self.free_day_booking != FreeDayBooking::Impossible || self.free_days.on(date).is_none()
    }

    /// What one ticket of a category costs for a visit on `date` (in Rome) through `channel`: a free day comes before free, reduced and full categories. The
    /// ticket keeps its category on a free day, but costs nothing and needs no proof.
    ///
    /// # Errors
    /// If there is no such category, if it is for groups alone and the channel is another, or if a free day cannot be booked and the channel does not sell on site.
    pub fn quote(&self, date: Date, channel: Channel, category: Code) -> Result<Price, PriceError> {
        let found = self.category(category).ok_or(PriceError::UnknownCategory { category })?;
        if found.group_only && channel != Channel::Group {
            return Err(PriceError::GroupOnly { category });
        }
        if !self.books(date, channel) {
            return Err(PriceError::NoBookingOnFreeDay { date });
        }
        if self.free_days.on(date).is_some() {
            return Ok(Price { price: Cents::ZERO, fee: Cents::ZERO, proof: Proof::None, kind: Kind::Free });
        }
        let has_fee = !found.price.is_zero() && matches!(channel, Channel::Web | Channel::Reseller);
        let fee = if has_fee { self.booking_fee } else { Cents::ZERO };
        Ok(Price { price: found.price, fee, proof: found.proof, kind: found.kind })
    }

    /// Whether the tariff can be used; the first error found is told.
    pub fn validate(&self) -> Result<(), TariffError> {
        let count = self.categories.len();
        if !(1..=CATEGORIES_MAX).contains(&count) {
            return Err(TariffError::Categories { count });
        }
        let full = self.categories.iter().filter(|category| category.kind == Kind::Full).map(|category| category.price).max();
        for (i, category) in self.categories.iter().enumerate() {
            let (code, price) = (category.code, category.price);
            if self.categories[..i].iter().any(|other| other.code == code) {
                return Err(TariffError::CategoryTwice { category: code });
            }
            if !category.name.is_sound() {
                return Err(TariffError::BadName { category: code });
            }
            let fits = if category.kind == Kind::Free { price.is_zero() } else { price > Cents::ZERO && price <= PRICE_MAX };
            if !fits {
                return Err(TariffError::PriceOfKind { category: code });
            }
            if category.kind == Kind::Reduced && full.is_none_or(|full| price > full) {
                return Err(TariffError::ReducedAboveFull { category: code });
            }
        }
        if !(Cents::ZERO..=FEE_MAX).contains(&self.booking_fee) {
            return Err(TariffError::BookingFee);
        }
        let count = self.free_days.dates.len();
        if count > FREE_DATES_MAX { Err(TariffError::TooManyFreeDates { count }) } else { Ok(()) }
    }
}

/// A code written in this file.
fn named(text: &'static str) -> Code {
    text.parse().expect("the codes of the national tariff are codes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn code(text: &str) -> Code {
        text.parse().unwrap()
    }

    const ORDINARY: Date = date(2026, 6, 10);

    #[test]
    fn the_national_tariff_is_sound_at_any_full_price() {
        for (full, reduced, kind) in
            [(1_500, 200, Kind::Reduced), (200, 200, Kind::Reduced), (100, 100, Kind::Reduced), (0, 0, Kind::Free), (-5, 0, Kind::Free)]
        {
            let tariff = Tariff::state_museum(Cents::new(full));
            assert_eq!(tariff.validate(), Ok(()), "{full}");
            let price = tariff.quote(ORDINARY, Channel::Web, code("eu-18-25")).unwrap();
            assert_eq!((price.price, price.kind), (Cents::new(reduced), kind), "{full}");
        }
    }

    #[test]
    fn prices_are_resolved_by_day_then_category() {
        let mut tariff = Tariff::state_museum(Cents::new(1_500));
        tariff.booking_fee = Cents::new(200);
        tariff.free_days.dates.push(date(2026, 9, 19));
        let free_day = |day: &str| (day.parse().unwrap(), 0, 0, Proof::None, Kind::Free);
        let cases = [
            ("full", Channel::Web, (ORDINARY, 1_500, 200, Proof::None, Kind::Full)),
            ("full", Channel::Reseller, (ORDINARY, 1_500, 200, Proof::None, Kind::Full)),
            ("full", Channel::BoxOffice, (ORDINARY, 1_500, 0, Proof::None, Kind::Full)),
            ("full", Channel::Kiosk, (ORDINARY, 1_500, 0, Proof::None, Kind::Full)),
            ("full", Channel::Group, (ORDINARY, 1_500, 0, Proof::None, Kind::Full)),
            ("eu-18-25", Channel::Web, (ORDINARY, 200, 200, Proof::EuAge18To25, Kind::Reduced)),
            ("under-18", Channel::Web, (ORDINARY, 0, 0, Proof::Age, Kind::Free)),
            ("school-pupil", Channel::Group, (ORDINARY, 0, 0, Proof::SchoolList, Kind::Free)),
            ("full", Channel::Web, free_day("2026-04-05")),
            ("full", Channel::Web, free_day("2026-10-04")),
            ("full", Channel::Web, free_day("2026-04-25")),
            ("full", Channel::Web, free_day("2026-06-02")),
            ("under-18", Channel::Web, free_day("2026-11-04")),
            ("eu-18-25", Channel::Reseller, free_day("2026-09-19")),
            ("full", Channel::Web, (date(2026, 5, 10), 1_500, 200, Proof::None, Kind::Full)),
            ("full", Channel::Web, (date(2026, 5, 1), 1_500, 200, Proof::None, Kind::Full)),
        ];
        for (category, channel, (day, price, fee, proof, kind)) in cases {
            let expected = Price { price: Cents::new(price), fee: Cents::new(fee), proof, kind };
            assert_eq!(tariff.quote(day, channel, code(category)), Ok(expected), "{category} {channel} {day}");
            assert_eq!(expected.total(), Cents::new(price + fee));
        }
    }

    #[test]
    fn why_a_day_is_free() {
        let mut days = Tariff::state_museum(Cents::ZERO).free_days;
        days.dates.push(date(2026, 12, 13));
        for (day, expected) in [
            (date(2026, 3, 1), Some(FreeDay::FirstSunday)),
            (date(2026, 3, 8), None),
            (date(2026, 4, 25), Some(FreeDay::National)),
            (date(2026, 12, 13), Some(FreeDay::Local)),
        ] {
            assert_eq!(days.on(day), expected, "{day}");
            assert_eq!(FreeDays::default().on(day), None, "{day}");
        }
    }

    #[test]
    fn what_has_no_price() {
        let mut tariff = Tariff::state_museum(Cents::new(1_500));
        tariff.free_day_booking = FreeDayBooking::Impossible;
        let sunday = date(2026, 3, 1);
        for channel in Channel::ALL {
            let unknown = tariff.quote(sunday, channel, code("over-65"));
            assert_eq!(unknown, Err(PriceError::UnknownCategory { category: code("over-65") }));
            let school = tariff.quote(sunday, channel, code("school-pupil"));
            let free = tariff.quote(sunday, channel, code("full"));
            let closed = Err(PriceError::NoBookingOnFreeDay { date: sunday });
            let on_site = matches!(channel, Channel::BoxOffice | Channel::Kiosk);
            assert_eq!(free.is_ok(), on_site, "{channel}");
            assert!(on_site || free == closed, "{channel}");
            assert_eq!((tariff.books(sunday, channel), tariff.books(ORDINARY, channel)), (on_site, true), "{channel}");
            if channel == Channel::Group {
                assert_eq!(school, closed);
            } else {
                assert_eq!(school, Err(PriceError::GroupOnly { category: code("school-pupil") }), "{channel}");
            }
            for booking in [FreeDayBooking::Required, FreeDayBooking::Recommended] {
                let tariff = Tariff { free_day_booking: booking, ..tariff.clone() };
                assert!(tariff.books(sunday, channel) && tariff.quote(sunday, channel, code("full")).is_ok(), "{channel}");
            }
        }
        let codes = [
            PriceError::UnknownCategory { category: code("a") }.code(),
            PriceError::GroupOnly { category: code("a") }.code(),
            PriceError::NoBookingOnFreeDay { date: sunday }.code(),
        ];
        assert_eq!(codes, ["unknown_category", "group_only", "no_booking_on_free_day"]);
    }

    #[test]
    fn what_is_wrong_with_a_tariff_is_told() {
        let full = code("full");
        type Change = fn(&mut Tariff);
        let cases: [(Change, TariffError); 13] = [
            (|t| t.categories.clear(), TariffError::Categories { count: 0 }),
            (|t| t.categories = vec![t.categories[0].clone(); 65], TariffError::Categories { count: 65 }),
            (|t| t.categories.push(t.categories[0].clone()), TariffError::CategoryTwice { category: full }),
            (|t| t.categories[0].name.it = " ".to_owned(), TariffError::BadName { category: full }),
            (|t| t.categories[0].price = Cents::ZERO, TariffError::PriceOfKind { category: full }),
            (|t| t.categories[0].price = Cents::new(-1), TariffError::PriceOfKind { category: full }),
            (|t| t.categories[0].price = Cents::new(100_001), TariffError::PriceOfKind { category: full }),
            (|t| t.categories[2].price = Cents::new(1), TariffError::PriceOfKind { category: "under-18".parse().unwrap() }),
            (|t| t.categories[1].price = Cents::new(1_501), TariffError::ReducedAboveFull { category: "eu-18-25".parse().unwrap() }),
            (|t| drop(t.categories.remove(0)), TariffError::ReducedAboveFull { category: "eu-18-25".parse().unwrap() }),
            (|t| t.booking_fee = Cents::new(-1), TariffError::BookingFee),
            (|t| t.booking_fee = Cents::new(5_001), TariffError::BookingFee),
            (|t| t.free_days.dates = vec![ORDINARY; 1_001], TariffError::TooManyFreeDates { count: 1_001 }),
        ];
        for (change, expected) in cases {
            let mut tariff = Tariff::state_museum(Cents::new(1_500));
            change(&mut tariff);
            assert_eq!(tariff.validate(), Err(expected), "{expected}");
        }
    }

    #[test]
    fn proofs_keep_their_numbers_and_have_words() {
        for (number, proof) in (0_u8..).zip(Proof::ALL) {
            assert_eq!((proof.number(), Proof::from_number(number)), (number, Some(proof)));
            assert_eq!(postcard::to_allocvec(&proof).unwrap(), [number]);
            let silent = proof == Proof::None;
            assert_eq!((proof.show_it().is_empty(), proof.show_en().is_empty()), (silent, silent), "{proof:?}");
        }
        // Written in journals and on tickets: these numbers never change.
        assert_eq!((Proof::EuAge18To25.number(), Proof::IcomCard.number(), Proof::Voucher.number()), (2, 10, 16));
        assert_eq!(Proof::from_number(17), None);
        let tariff = Tariff::state_museum(Cents::new(1_500));
        let bytes = postcard::to_allocvec(&tariff).unwrap();
        assert_eq!(postcard::from_bytes::<Tariff>(&bytes), Ok(tariff));
    }
}

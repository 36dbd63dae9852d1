//! Why something was suspected, in words for people: the name of a feature as a short sentence in Italian and English. The names are made of who, what and over how long, as in
//! `person_holds_1h`; one that is not known is shown as it is, so that no reason is ever left out.

use serde::Serialize;
use tornello_engine::ids::Code;
use tornello_engine::money::Cents;

/// A reason in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ReasonView {
    /// The name of the feature.
    #[schema(max_length = 23)]
    pub code: String,
    /// In Italian.
    #[schema(max_length = 200)]
    pub it: String,
    /// In English.
    #[schema(max_length = 200)]
    pub en: String,
}

type Words = (&'static str, &'static str, &'static str);

/// Who: the first word of a name.
const PARTIES: [Words; 9] = [
    ("person", "Stesso acquirente", "Same buyer"),
    ("device", "Stesso dispositivo", "Same device"),
    ("card", "Stessa carta", "Same card"),
    ("buyer", "Stesso indirizzo e-mail", "Same e-mail address"),
    ("network", "Stessa rete", "Same network"),
    ("account", "Stesso conto", "Same account"),
    ("operator", "Stesso operatore", "Same operator"),
    ("slot", "Altri nella stessa fascia oraria", "Others in the same slot"),
    ("museum", "Altri nello stesso museo", "Others in the same museum"),
];

/// What: the words in the middle.
const MEASURES: [Words; 36] = [
    ("holds", "molte prenotazioni", "many holds"),
    ("sales", "molti acquisti", "many purchases"),
    ("people", "biglietti per molte persone", "tickets for many people"),
    ("cents", "importi elevati", "large amounts"),
    ("unsold", "prenotazioni mai pagate", "holds that were never paid"),
    ("expired", "prenotazioni lasciate scadere", "holds left to expire"),
    ("released", "prenotazioni restituite", "holds given back"),
    ("unsold_share", "quasi nessuna prenotazione pagata", "hardly a hold was paid"),
    ("begun", "molti pagamenti iniziati", "many payments begun"),
    ("failed", "pagamenti falliti", "failed payments"),
    ("refunds", "molti rimborsi", "many refunds"),
    ("refund_share", "gran parte degli acquisti rimborsata", "most purchases were paid back"),
    ("cheap_share", "quasi solo ridotti e gratuiti", "hardly anything but reduced and free tickets"),
    ("slots", "molte fasce orarie", "many slots"),
    ("museums", "molti musei", "many museums"),
    ("blocked", "tentativi respinti dalle regole", "attempts that rules refused"),
    ("twice", "biglietti mostrati più volte", "tickets shown again"),
    ("apart", "biglietti mostrati a varchi lontani", "tickets shown at gates far apart"),
    ("since_s", "attività ravvicinate", "one thing right after the other"),
    ("known_s", "visto per la prima volta da poco", "first seen a short time ago"),
    ("cards", "molte carte", "many cards"),
    ("buyers", "molti acquirenti", "many buyers"),
    ("devices", "molti dispositivi", "many devices"),
    ("voids", "molti annullamenti", "many voids"),
    ("void_share", "gran parte delle vendite annullata", "most sales were voided"),
    ("late_voids", "annullamenti poco prima della chiusura di cassa", "voids shortly before the count of cash"),
    ("gap", "differenze di cassa", "cash differences"),
    ("failed_share", "gran parte dei pagamenti fallita", "most payments failed"),
    ("failed_slot", "pagamenti falliti, come altri nella stessa fascia oraria", "failed payments, as of others in the same slot"),
    ("unsold_slot", "prenotazioni mai pagate, come altri nella stessa fascia oraria", "holds that were never paid, as of others in the same slot"),
    ("other_cards", "altre carte oltre a questa", "other cards than this one"),
    ("other_buyers", "altri acquirenti oltre a questo", "other buyers than this one"),
    ("other_devices", "altri dispositivi oltre a questo", "other devices than this one"),
    ("large", "più volte gruppi oltre quattro persone", "parties of more than four, several times"),
    ("people_before", "biglietti per molte persone anche nei giorni prima", "tickets for many people on earlier days too"),
    ("large_before", "gruppi oltre quattro persone anche nei giorni prima", "parties of more than four on earlier days too"),
];

/// Over how long: the last word.
const WINDOWS: [Words; 5] = [
    ("1m", "in un minuto", "within a minute"),
    ("10m", "in dieci minuti", "within ten minutes"),
    ("1h", "in un'ora", "within an hour"),
    ("1d", "in un giorno", "within a day"),
    ("7d", "in sette giorni", "within seven days"),
];

/// What is said of the thing itself.
const WHOLE: [Words; 9] = [
    ("people_slot_1h", "Gruppo numeroso in una fascia oraria che altri stanno prenotando", "A large party for a slot that others are holding"),
    ("people", "Gruppo numeroso", "A large party"),
    ("cents", "Importo elevato", "A large amount"),
    ("price_ratio", "Prezzo insolito rispetto al listino", "A price unlike the list's"),
    ("cheap_share", "Quasi solo biglietti ridotti o gratuiti", "Hardly anything but reduced or free tickets"),
    ("lead_s", "Anticipo insolito rispetto alla visita", "An unusual time before the visit"),
    ("night", "Orario insolito", "An unusual hour"),
    ("anonymous", "Acquirente, dispositivo e carta sconosciuti", "Neither buyer, device nor card is known"),
    ("counters_unread", "Non si è potuto leggere ciò che è noto di chi acquista", "What is known of the buyer could not be read"),
];

fn find(words: &[Words], name: &str) -> Option<(&'static str, &'static str)> {
    words.iter().find(|(known, ..)| *known == name).map(|(_, it, en)| (*it, *en))
}

/// What is said of the amount where there is none: that it is nothing is the reason then.
const NOTHING_TO_PAY: Words = ("cents", "Nessun importo da pagare", "Nothing to pay");

/// A reason in words, of something that cost so much.
#[must_use]
pub fn words(code: Code, amount_cents: Cents) -> ReasonView {
    let name = code.as_str();
    match find(&[NOTHING_TO_PAY], name).filter(|_| amount_cents.is_zero()) {
        Some((it, en)) => ReasonView { code: name.to_owned(), it: it.to_owned(), en: en.to_owned() },
        None => feature(name),
    }
}

/// A feature in words, whatever it is the reason for.
#[must_use]
pub fn feature(name: &str) -> ReasonView {
    let (it, en) = composed(name).unwrap_or_else(|| (name.to_owned(), name.to_owned()));
    ReasonView { code: name.to_owned(), it, en }
}

fn composed(name: &str) -> Option<(String, String)> {
    if let Some((it, en)) = find(&WHOLE, name) {
        return Some((it.to_owned(), en.to_owned()));
    }
    let (party, rest) = name.split_once('_')?;
    let (who_it, who_en) = find(&PARTIES, party)?;
    if let Some((it, en)) = find(&MEASURES, rest) {
        return Some((format!("{who_it}: {it}"), format!("{who_en}: {en}")));
    }
    let (measure, window) = rest.rsplit_once('_')?;
    let ((it, en), (long_it, long_en)) = (find(&MEASURES, measure)?, find(&WINDOWS, window)?);
    Some((format!("{who_it}: {it} {long_it}"), format!("{who_en}: {en} {long_en}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_in_both_languages() {
        for (code, it, en) in [
            ("person_holds_1h", "Stesso acquirente: molte prenotazioni in un'ora", "Same buyer: many holds within an hour"),
            ("device_cards_1d", "Stesso dispositivo: molte carte in un giorno", "Same device: many cards within a day"),
            ("person_slots_10m", "Stesso acquirente: molte fasce orarie in dieci minuti", "Same buyer: many slots within ten minutes"),
            ("person_museums_10m", "Stesso acquirente: molti musei in dieci minuti", "Same buyer: many museums within ten minutes"),
            ("network_failed_10m", "Stessa rete: pagamenti falliti in dieci minuti", "Same network: failed payments within ten minutes"),
            ("person_since_s", "Stesso acquirente: attività ravvicinate", "Same buyer: one thing right after the other"),
            (
                "slot_failed_1h",
                "Altri nella stessa fascia oraria: pagamenti falliti in un'ora",
                "Others in the same slot: failed payments within an hour",
            ),
            ("night", "Orario insolito", "An unusual hour"),
            ("counters_unread", "Non si è potuto leggere ciò che è noto di chi acquista", "What is known of the buyer could not be read"),
            ("something-new", "something-new", "something-new"),
        ] {
            let said = words(code.parse().unwrap(), Cents::new(1_200));
            assert_eq!((said.it.as_str(), said.en.as_str()), (it, en));
        }
        let amount = |cents| words("cents".parse().unwrap(), Cents::new(cents)).en;
        assert_eq!((amount(90_000).as_str(), amount(0).as_str()), ("A large amount", "Nothing to pay"));
    }

    #[test]
    fn every_feature_has_words_and_whoever_writes_rules_can_read_of_it() {
        let guide = include_str!("../../FRAUD.md");
        let (_, listed) = guide.split_once("### What a rule can ask\n").unwrap();
        let listed = listed.split("\n## ").next().unwrap();
        for (name, _) in tornello_actors::fraud::FEATURES {
            assert!(composed(name).is_some(), "{name} is shown as it is");
            assert!(listed.contains(&format!("`{name}`")), "FRAUD.md should say what {name} is");
        }
    }
}

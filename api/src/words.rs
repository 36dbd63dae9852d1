//! Closed lists of words in the contract: what a type of the engine is written as. They are read off the type itself, so that the contract names the words that are
//! taken and no other; the engine knows nothing of contracts.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor, value};
use tornello_actors::fraud::lately::Drift;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::PartyKind;
use tornello_engine::model_registry::{self, ModelKind};
use tornello_engine::quote::policy;
use tornello_engine::{attendance, case, fraud_rules, payment, planning, quote, slot, tariff, till};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// One of the words that a `T` is written as.
pub struct Word<T>(PhantomData<T>);

/// A type that is written as one of some words.
pub trait Worded: DeserializeOwned {
    /// What the contract calls it. Of one name there is one: `tests/tidy.rs` looks.
    const NAME: &'static str;
}

impl<T: Worded> PartialSchema for Word<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words_of::<T>().iter().copied())).into()
    }
}

impl<T: Worded> ToSchema for Word<T> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }
}

/// Why a sale is cancelled.
pub type CancelCauseWord = Word<slot::CancelCause>;

impl Worded for slot::CancelCause {
    const NAME: &'static str = "CancelCause";
}

/// How an appeal stands.
pub type AppealStateWord = Word<case::AppealState>;

impl Worded for case::AppealState {
    const NAME: &'static str = "AppealState";
}

/// Why there is a case.
pub type CaseOriginWord = Word<case::Origin>;

impl Worded for case::Origin {
    const NAME: &'static str = "CaseOrigin";
}

/// How a case stands.
pub type CaseStatusWord = Word<case::Status>;

impl Worded for case::Status {
    const NAME: &'static str = "CaseStatus";
}

/// What an analyst found.
pub type CaseVerdictWord = Word<case::Verdict>;

impl Worded for case::Verdict {
    const NAME: &'static str = "CaseVerdict";
}

/// Into a drawer or out of it.
pub type CashDirectionWord = Word<till::Direction>;

impl Worded for till::Direction {
    const NAME: &'static str = "CashDirection";
}

/// Who sells.
pub type ChannelWord = Word<Channel>;

impl Worded for Channel {
    const NAME: &'static str = "Channel";
}

/// What is handed over at a desk.
pub type DeskMethodWord = Word<slot::DeskMethod>;

impl Worded for slot::DeskMethod {
    const NAME: &'static str = "DeskMethod";
}

/// What drift asks for.
pub type DriftWord = Word<Drift>;

impl Worded for Drift {
    const NAME: &'static str = "Drift";
}

/// By what a fee is counted.
pub type FeePerWord = Word<policy::FeePer>;

impl Worded for policy::FeePer {
    const NAME: &'static str = "FeePer";
}

/// Why a day is free.
pub type FreeDayWord = Word<tariff::FreeDay>;

impl Worded for tariff::FreeDay {
    const NAME: &'static str = "FreeDay";
}

/// How visitors get a place on a free day.
pub type FreeDayBookingWord = Word<tariff::FreeDayBooking>;

impl Worded for tariff::FreeDayBooking {
    const NAME: &'static str = "FreeDayBooking";
}

/// Through a gate, one way or the other.
pub type GateDirectionWord = Word<slot::Direction>;

impl Worded for slot::Direction {
    const NAME: &'static str = "GateDirection";
}

/// What kind of group it is.
pub type GroupKindWord = Word<quote::Kind>;

impl Worded for quote::Kind {
    const NAME: &'static str = "GroupKind";
}

/// What holds places back.
pub type LimitedByWord = Word<slot::LimitedBy>;

impl Worded for slot::LimitedBy {
    const NAME: &'static str = "LimitedBy";
}

/// What models are for.
pub type ModelKindWord = Word<ModelKind>;

impl Worded for ModelKind {
    const NAME: &'static str = "ModelKind";
}

/// What a model does.
pub type ModelStageWord = Word<model_registry::Stage>;

impl Worded for model_registry::Stage {
    const NAME: &'static str = "ModelStage";
}

/// What a party is to a sale.
pub type PartyKindWord = Word<PartyKind>;

impl Worded for PartyKind {
    const NAME: &'static str = "PartyKind";
}

/// What kind of price.
pub type PriceKindWord = Word<tariff::Kind>;

impl Worded for tariff::Kind {
    const NAME: &'static str = "PriceKind";
}

/// What the gate asks to see.
pub type ProofWord = Word<tariff::Proof>;

impl Worded for tariff::Proof {
    const NAME: &'static str = "Proof";
}

/// Where a figure of attendance comes from.
pub type ProvenanceWord = Word<attendance::Provenance>;

impl Worded for attendance::Provenance {
    const NAME: &'static str = "Provenance";
}

/// How much has gone back.
pub type RefundedWord = Word<payment::Refunded>;

impl Worded for payment::Refunded {
    const NAME: &'static str = "Refunded";
}

/// What follows from a rule.
pub type RuleActionWord = Word<fraud_rules::Action>;

impl Worded for fraud_rules::Action {
    const NAME: &'static str = "RuleAction";
}

/// How a feature is held against a threshold.
pub type RuleOperatorWord = Word<fraud_rules::Op>;

impl Worded for fraud_rules::Op {
    const NAME: &'static str = "RuleOperator";
}

/// How an accepted quote is to be paid.
pub type SettleWord = Word<quote::Settle>;

impl Worded for quote::Settle {
    const NAME: &'static str = "Settle";
}

/// What somebody does at work.
pub type WorkWord = Word<planning::Role>;

impl Worded for planning::Role {
    const NAME: &'static str = "Work";
}

/// The words that a type is written as; none if it is no enumeration.
fn words_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut words: &'static [&'static str] = &[];
    // It is never read to its end: an enumeration says first which words it knows.
    let _ = T::deserialize(Listener(&mut words));
    words
}

/// Reads nothing, and hears which words are asked for.
struct Listener<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("there is nothing to read"))
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, words: &'static [&'static str], _: V) -> Result<V::Value, value::Error> {
        *self.0 = words;
        Err(value::Error::custom("there is nothing to read"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_says_itself_which_words_it_knows() {
        assert_eq!(words_of::<slot::CancelCause>(), ["visitor", "museum"]);
        assert_eq!(words_of::<Channel>(), Channel::ALL.map(Channel::name));
        for word in words_of::<tariff::Proof>() {
            assert!(serde_json::from_value::<tariff::Proof>((*word).into()).is_ok(), "{word}");
        }
        assert!(words_of::<u32>().is_empty() && words_of::<String>().is_empty());
    }
}

//! JSON by the letter of the contract: where it has an object, a list of the members' values is refused, at every depth; the readers that serde derives take either. What
//! is read goes straight into its type. How that is told is `misread.rs`'s. Days and times of the day are by the letter as well, also in a query.
//!
//! What serde has to look at twice (`untagged`, `flatten`, a `tag` within) it puts aside, and reads from there with readers of its own, which take lists again: no body
//! has an object in such a place.

use std::fmt;

use jiff::civil::{Date, Time};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

/// Reads JSON that is one value of a type, and nothing after it.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<Strict<T>>(json).map(|read| read.0)
}

/// As [`from_slice`], of JSON that was read before.
pub fn from_value<T: DeserializeOwned>(json: serde_json::Value) -> Result<T, serde_json::Error> {
    serde_json::from_value::<Strict<T>>(json).map(|read| read.0)
}

/// The longest time of a day, in bytes: `09:30:00`.
const TIME_MAX: usize = 8;

/// The day that a text is, as `2027-01-31`. The reader of days takes one with a time and an offset as well, and drops them: whoever means a part of a day would have all of it.
#[must_use]
pub fn day_of(text: &str) -> Option<Date> {
    text.parse::<Date>().ok().filter(|day| day.to_string() == text)
}

/// Reads a member that is a day: see [`day_of`].
pub fn day<'de, D: Deserializer<'de>>(from: D) -> Result<Date, D::Error> {
    let text = String::deserialize(from)?;
    day_of(&text).ok_or_else(|| D::Error::custom("a day as 2027-01-31, without a time, is expected"))
}

/// As [`day`], of one that may be left out.
pub fn day_if<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Date>, D::Error> {
    Option::<Day>::deserialize(from).map(|day| day.map(|Day(day)| day))
}

/// As [`day`], of a list of them.
pub fn days<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Date>, D::Error> {
    Vec::<Day>::deserialize(from).map(|days| days.into_iter().map(|Day(day)| day).collect())
}

/// Reads a member that is a time of the day, as `09:30`. Of what has a day or an offset beside it the reader of times drops that.
pub fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    let text = String::deserialize(from)?;
    let time = text.parse::<Time>().ok().filter(|_| text.len() <= TIME_MAX);
    time.ok_or_else(|| D::Error::custom("a time as 09:30, without a day, is expected"))
}

/// As [`time`], of one that may be left out.
pub fn time_if<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
    Option::<TimeOfDay>::deserialize(from).map(|time| time.map(|TimeOfDay(time)| time))
}

#[derive(Deserialize)]
struct Day(#[serde(deserialize_with = "day")] Date);

#[derive(Deserialize)]
struct TimeOfDay(#[serde(deserialize_with = "time")] Time);

/// Something that takes part in reading, and takes no list for an object: a type that is read, what it is read from, or one of the steps between.
#[derive(Debug)]
pub struct Strict<X>(pub X);

/// Who expects an object: a list is what they do not take, as whatever else is none.
struct Object<V>(V);

/// Who expects one of several forms: a word, or an object whose one member is named by the word.
struct OneOf<V>(V);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(Strict(from)).map(Self)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(from))
    }
}

/// JSON says itself what each value is, so most of what a type asks for is found without asking.
impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Strict(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Strict(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Strict(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(self, name: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Object(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, D::Error> {
        // Asked for an enum, the reader of JSON says of anything else that it is no JSON at all.
        self.0.deserialize_any(OneOf(visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.0.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.0.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.0.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.0.visit_f64(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_str(text)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        self.0.visit_borrowed_str(text)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        self.0.visit_string(text)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(from))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(from))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(members))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Object<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(members))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for OneOf<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<V::Value, E> {
        self.0.visit_enum(Strict(StrDeserializer::<E>::new(word)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<V::Value, A::Error> {
        let read = self.0.visit_enum(Strict(MapAccessDeserializer::new(&mut members)))?;
        let more = members.next_key::<IgnoredAny>()?;
        more.map_or(Ok(read), |_| Err(A::Error::custom("only one of the forms that the contract names may be given")))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        // A name is no object; one that is written like a number is read as the number that the type asks for.
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<A> {
    type Error = A::Error;
    type Variant = Strict<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(seed).map(|(word, rest)| (word, Strict(rest)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Strict(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Strict(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Object(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    struct Form {
        lines: Vec<Line>,
        way: Option<Way>,
        #[serde(default)]
        by_number: BTreeMap<u8, (u8, Line)>,
        #[serde(default)]
        anything: Value,
        first: Option<Line>,
        only: Option<Only>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Only(Line);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Line {
        category: String,
        count: u16,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Way {
        Foot,
        Bus { seats: u16 },
        Of(Line),
    }

    fn read(json: &Value) -> Result<Form, String> {
        let (text, value) = (from_slice::<Form>(json.to_string().as_bytes()), from_value::<Form>(json.clone()));
        let (text, value) = (text.map_err(|error| error.to_string()), value.map_err(|error| error.to_string()));
        assert_eq!(text.is_ok(), value.is_ok(), "{json}: {text:?} {value:?}");
        text
    }

    #[test]
    fn what_the_contract_has_is_read_as_before() {
        let line = json!({"category": "full", "count": 1});
        for json in [
            json!({"lines": []}),
            json!({"lines": [line, line], "way": null}),
            json!({"lines": [], "way": "foot"}),
            json!({"lines": [], "way": {"foot": null}}),
            json!({"lines": [], "way": {"bus": {"seats": 50}}}),
            json!({"lines": [], "way": {"of": line}}),
            json!({"lines": [], "by_number": {"7": [1, line]}}),
            json!({"lines": [], "anything": [[], {"a": [-1, 1.5, true, "\n"]}]}),
            json!({"lines": [], "first": line, "only": line}),
        ] {
            assert_eq!(read(&json), Ok(serde_json::from_value(json.clone()).unwrap()), "{json}");
        }
    }

    #[test]
    fn a_list_is_no_object_at_any_depth() {
        let line = json!({"category": "full", "count": 1});
        for json in [
            json!([[line]]),
            json!([]),
            json!({"lines": [["full", 1]]}),
            json!({"lines": [], "way": {"bus": [50]}}),
            json!({"lines": [], "way": {"of": ["full", 1]}}),
            json!({"lines": [], "by_number": {"7": [1, ["full", 1]]}}),
            json!({"lines": [], "first": ["full", 1]}),
            json!({"lines": [], "only": ["full", 1]}),
        ] {
            let refused = read(&json).unwrap_err();
            assert!(refused.starts_with("invalid type: sequence, expected ") && refused.contains(" at line 1 column "), "{json}: {refused}");
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct When {
        #[serde(deserialize_with = "day")]
        from: Date,
        #[serde(default, deserialize_with = "day_if")]
        to: Option<Date>,
        #[serde(default, deserialize_with = "days")]
        but: Vec<Date>,
        #[serde(default, deserialize_with = "time_if")]
        at: Option<Time>,
    }

    #[test]
    fn a_day_is_a_day_and_a_time_is_a_time() {
        let (first, last) = (jiff::civil::date(2027, 1, 31), jiff::civil::date(2027, 2, 1));
        let read = |json: &Value| from_slice::<When>(json.to_string().as_bytes());
        let whole = json!({"from": "2027-01-31", "to": "2027-02-01", "but": ["2027-01-31"], "at": "09:30"});
        let expected = When { from: first, to: Some(last), but: vec![first], at: Some(jiff::civil::time(9, 30, 0, 0)) };
        assert_eq!(read(&whole).unwrap(), expected);
        let bare = When { from: first, to: None, but: Vec::new(), at: None };
        for json in [json!({"from": "2027-01-31"}), json!({"from": "2027-01-31", "to": null, "at": null})] {
            assert_eq!(read(&json).unwrap(), bare, "{json}");
        }
        assert!(read(&json!({"to": "2027-01-31"})).unwrap_err().to_string().starts_with("missing field `from`"));
        let afternoon = ["2027-01-31T14:00", "2027-01-31 14:00:00", "2027-01-31T23:30:00-05:00", "2027-01-31T14:00[Europe/Rome]", "20270131"];
        for text in afternoon {
            for json in [json!({"from": text}), json!({"from": "2027-01-31", "to": text}), json!({"from": "2027-01-31", "but": [text]})] {
                let error = read(&json).unwrap_err();
                assert!(error.is_data() && error.to_string().starts_with("a day as 2027-01-31, without a time, is expected"), "{json}: {error}");
            }
        }
        for text in ["2027-01-31T14:00", "14:00+01:00", "2027-01-31", "noon"] {
            let error = read(&json!({"from": "2027-01-31", "at": text})).unwrap_err();
            assert!(error.is_data() && error.to_string().starts_with("a time as 09:30, without a day, is expected"), "{text}: {error}");
        }
    }

    #[test]
    fn what_nests_without_end_is_refused_and_uses_up_no_stack() {
        for (opens, closes) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{{\"lines\": [], \"anything\": {}1{}}}", opens.repeat(depth), closes.repeat(depth));
            assert!(from_slice::<Form>(nested(100).as_bytes()).is_ok(), "{opens}");
            let error = from_slice::<Form>(nested(100_000).as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("recursion limit exceeded"), "{opens}: {error}");
        }
    }

    #[test]
    fn of_several_forms_one_is_given() {
        for (way, told) in [
            (json!({}), "invalid type: map, expected enum"),
            (json!({"bus": {"seats": 50}, "foot": null}), "only one of the forms"),
            (json!(["bus"]), "invalid type: sequence, expected enum Way"),
            (json!(5), "invalid type: integer `5`, expected enum Way"),
            (json!("bus"), "invalid type: unit variant, expected struct variant"),
            (json!("of"), "invalid type: unit variant, expected newtype variant"),
            (json!("boat"), "unknown variant `boat`"),
        ] {
            let json = json!({"lines": [], "way": way});
            let error = from_slice::<Form>(json.to_string().as_bytes()).unwrap_err();
            assert!(error.is_data() && error.to_string().starts_with(told), "{json}: {error}");
        }
    }
}

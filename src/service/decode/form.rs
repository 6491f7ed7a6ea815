//! Queries and form bodies (`application/x-www-form-urlencoded`) as a struct, a map or a list of pairs.
//!
//! Not one of the usual crates, because those replace invalid UTF-8, and because values are decoded as path
//! parameters are.

use std::borrow::Cow;

use serde::de::value::CowStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess};
use serde::de::{Error, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{DecodeError, Fault, FaultKind};
use super::value::{Value, ValueCoding};

/// Makes a `T` of a query or form with at most `pairs_max` pairs.
///
/// A field of a list takes all pairs of its name; any other field takes exactly one. A blank value is `None`
/// to an optional field. Names that `T` does not know are ignored, unless it denies them.
pub(crate) fn from_form<T: DeserializeOwned>(raw: &[u8], pairs_max: usize) -> Result<T, Fault> {
    let raw = std::str::from_utf8(raw).map_err(|error| {
        let reason = format!("is not UTF-8 at byte {}", error.valid_up_to());
        Fault::new(FaultKind::Malformed, "", reason)
    })?;
    let mut pairs = Vec::with_capacity(8);
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == pairs_max {
            let reason = format!("has more than {pairs_max} fields");
            return Err(Fault::new(FaultKind::TooMany, "", reason));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = ValueCoding::Form.decode(name).map_err(|error| error.at(name).into_fault())?;
        pairs.push((decoded, value));
    }
    T::deserialize(FormDeserializer { pairs }).map_err(DecodeError::into_fault)
}

/// A name, decoded, and its value as sent.
type Pair<'de> = (Cow<'de, str>, &'de str);

struct FormDeserializer<'de> {
    pairs: Vec<Pair<'de>>,
}

impl<'de> Deserializer<'de> for FormDeserializer<'de> {
    type Error = DecodeError;

    /// A map: the pairs of one name together, in their order.
    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, DecodeError> {
        self.pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        visitor.visit_map(Groups { rest: &self.pairs })
    }

    /// All pairs in their order.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(PairsInOrder { rest: self.pairs.into_iter() })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.pairs.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf tuple tuple_struct
        map struct enum identifier ignored_any
    }
}

/// Pairs sorted by name, name by name.
struct Groups<'p, 'de> {
    rest: &'p [Pair<'de>],
}

impl<'de> MapAccess<'de> for Groups<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let Some((name, _)) = self.rest.first() else { return Ok(None) };
        let key: CowStrDeserializer<'_, DecodeError> = Cow::Borrowed(name.as_ref()).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let name = &self.rest[0].0;
        let length = self.rest.iter().take_while(|(other, _)| other == name).count();
        let (group, rest) = self.rest.split_at(length);
        self.rest = rest;
        seed.deserialize(SameNameValues { pairs: group }).map_err(|error| error.at(name))
    }
}

/// The values of one name; at least one.
#[derive(Clone, Copy)]
struct SameNameValues<'p, 'de> {
    pairs: &'p [Pair<'de>],
}

impl<'de> SameNameValues<'_, 'de> {
    fn single(self) -> Result<Value<'de>, DecodeError> {
        match self.pairs {
            [(_, raw)] => Ok(Value { raw, coding: ValueCoding::Form }),
            many => Err(DecodeError::custom(format_args!("must be given once, not {} times", many.len()))),
        }
    }
}

macro_rules! of_the_single_value {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.single()?.$method(visitor)
        }
    )+};
}

impl<'de> Deserializer<'de> for SameNameValues<'_, 'de> {
    type Error = DecodeError;

    of_the_single_value! {
        deserialize_bool deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier deserialize_unit deserialize_map
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.pairs {
            [_] => self.single()?.deserialize_any(visitor),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Values { rest: self.pairs })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.pairs {
            [(_, "")] => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.single()?.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.single()?.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}

/// The values of one name, one after the other.
struct Values<'p, 'de> {
    rest: &'p [Pair<'de>],
}

impl<'de> SeqAccess<'de> for Values<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(((_, raw), rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        seed.deserialize(Value { raw, coding: ValueCoding::Form }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// Every pair as a tuple of name and value.
struct PairsInOrder<'de> {
    rest: std::vec::IntoIter<Pair<'de>>,
}

impl<'de> SeqAccess<'de> for PairsInOrder<'de> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some((name, raw)) = self.rest.next() else { return Ok(None) };
        let value = ValueCoding::Form.decode(raw).map_err(|error| error.at(&name))?;
        let pair = serde::de::value::SeqDeserializer::new([name.clone(), value].into_iter());
        seed.deserialize(pair).map(Some).map_err(|error: DecodeError| error.at(&name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, Default)]
    #[serde(default)]
    struct Search {
        q: String,
        page: Option<u32>,
        tag: Vec<String>,
        exact: bool,
        order: Order,
        between: Option<(i32, i32)>,
    }

    #[derive(Debug, PartialEq, Deserialize, Default)]
    #[serde(rename_all = "snake_case")]
    enum Order {
        #[default]
        ByName,
        ByDate,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        a: u8,
    }

    fn parse<T: DeserializeOwned>(raw: &str) -> Result<T, Fault> {
        from_form(raw.as_bytes(), 8)
    }

    fn fault<T: DeserializeOwned + std::fmt::Debug>(raw: &str) -> (FaultKind, String) {
        let fault = parse::<T>(raw).unwrap_err();
        (fault.kind, format!("{}: {}", fault.place, fault.reason))
    }

    #[test]
    fn fields_are_found_by_name() {
        let found =
            "tag=a&q=x+y%2B%C3%A4&tag=b%26&page=2&exact=on&unknown=1&order=by_date&between=1&between=-2";
        assert_eq!(
            from_form(found.as_bytes(), 10),
            Ok(Search {
                q: "x y+ä".into(),
                page: Some(2),
                tag: vec!["a".into(), "b&".into()],
                exact: true,
                order: Order::ByDate,
                between: Some((1, -2)),
            })
        );
        assert_eq!(parse("p%61ge=&tag=&&q"), Ok(Search { tag: vec![String::new()], ..Search::default() }));
        assert_eq!(parse(""), Ok(Search::default()));
        assert_eq!(parse("a=1"), Ok(Strict { a: 1 }));
    }

    #[test]
    fn pairs_keep_their_order() {
        let pairs: Vec<(String, String)> = parse("b=1&a=%41&b=").unwrap();
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(pairs, [pair("b", "1"), pair("a", "A"), pair("b", "")]);
        let map: HashMap<String, Vec<u8>> = parse("b=1&a=2&b=3").unwrap();
        assert_eq!(map["b"], [1, 3]);
        assert_eq!(map["a"], [2]);
    }

    #[test]
    fn faults_name_the_field() {
        let unfit = |text: &str| (FaultKind::Unfit, text.to_string());
        assert_eq!(fault::<Strict>("a=x"), unfit("a: must be a whole number from 0 to 255, not \"x\""));
        assert_eq!(fault::<Strict>("b=1"), unfit("b: is not known here; known are a"));
        assert_eq!(fault::<Strict>(""), unfit("a: is missing"));
        assert_eq!(fault::<Strict>("a=1&a=2"), unfit("a: must be given once, not 2 times"));
        assert_eq!(fault::<Search>("order=x"), unfit("order: must be by_name or by_date, not \"x\""));
        assert_eq!(fault::<Search>("between=1").1, "between: must be an array of 2, not of length 1");
        assert_eq!(fault::<Search>("exact=maybe").1, "exact: must be true or false, not \"maybe\"");
        assert_eq!(fault::<HashMap<String, u8>>("a%20b=300").1.split(':').next(), Some("a b"));
    }

    #[test]
    fn malformed_text_and_too_much_of_it() {
        assert_eq!(fault::<Search>("q=%ff").0, FaultKind::Malformed);
        assert_eq!(fault::<Search>("q=%f").1.split(':').next(), Some("q"));
        assert_eq!(fault::<Search>("%zz=1").0, FaultKind::Malformed);
        assert_eq!(from_form::<Search>(b"q=\xff", 8).unwrap_err().kind, FaultKind::Malformed);
        assert!(parse::<Search>(&"x=1&".repeat(8)).is_ok());
        assert_eq!(
            fault::<Search>(&"x=1&".repeat(9)),
            (FaultKind::TooMany, ": has more than 8 fields".into())
        );
    }
}

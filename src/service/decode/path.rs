//! Path parameters as one value, a tuple, a list, a map or a struct.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{DecodeError, Fault, FaultKind};
use super::value::{Value, ValueCoding};

/// Makes a `T` of the parameters of a path: their names, and their values as sent, in order.
///
/// A single value needs exactly one parameter, a tuple as many as it has members, a struct those that its
/// fields name. A route with others is a bug of the program.
pub(crate) fn from_path<T: DeserializeOwned>(parameters: &[(&str, &str)]) -> Result<T, Fault> {
    T::deserialize(PathParameters { parameters }).map_err(|error| {
        let shape = !error.is_placed() && error.is_about_shape();
        let mut fault = error.into_fault();
        if shape {
            // No value is invalid: the type needs parameters that the route does not have.
            fault.kind = FaultKind::Program;
        }
        if let ([(name, _)], "") = (parameters, fault.place.as_str()) {
            fault.place = (*name).into();
        }
        fault
    })
}

struct PathParameters<'p, 'de> {
    parameters: &'p [(&'p str, &'de str)],
}

impl<'p, 'de> PathParameters<'p, 'de> {
    fn single(&self) -> Result<(&'p str, Value<'de>), DecodeError> {
        match self.parameters {
            [(name, raw)] => Ok((*name, Value { raw, coding: ValueCoding::Path })),
            others => Err(wrong_count(1, others.len())),
        }
    }

    fn check_count(&self, asked: usize) -> Result<(), DecodeError> {
        let count = self.parameters.len();
        if count == asked { Ok(()) } else { Err(wrong_count(asked, count)) }
    }
}

fn wrong_count(asked: usize, count: usize) -> DecodeError {
    let message = format!("the handler extracts {asked} path parameters, the route has {count}");
    DecodeError::new(FaultKind::Program, message)
}

macro_rules! of_the_single_value {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let (name, value) = self.single()?;
            value.$method(visitor).map_err(|error| error.at(name))
        }
    )+};
}

impl<'de> Deserializer<'de> for PathParameters<'_, 'de> {
    type Error = DecodeError;

    of_the_single_value! {
        deserialize_bool deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(Members::of(self.parameters))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.parameters.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
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

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Members::of(self.parameters))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.check_count(len)?;
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        enum_name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let (name, value) = self.single()?;
        value.deserialize_enum(enum_name, variants, visitor).map_err(|error| error.at(name))
    }

    forward_to_deserialize_any! { map struct ignored_any }
}

/// The parameters one after the other.
struct Members<'p, 'de> {
    rest: &'p [(&'p str, &'de str)],
}

impl<'p, 'de> Members<'p, 'de> {
    fn of(rest: &'p [(&'p str, &'de str)]) -> Self {
        Self { rest }
    }

    fn take<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let Some(((name, raw), rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let value = Value { raw, coding: ValueCoding::Path };
        seed.deserialize(value).map(Some).map_err(|error| error.at(name))
    }
}

impl<'de> SeqAccess<'de> for Members<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        self.take(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let Some((name, _)) = self.rest.first() else { return Ok(None) };
        seed.deserialize(StrDeserializer::<DecodeError>::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        self.take(seed).map(|value| value.expect("its key was read before"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Place {
        user: u32,
        name: String,
        note: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
        Blue,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(u64);

    /// As types that parse themselves do, UUIDs and dates for instance.
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(try_from = "String")]
    struct Even(u8);

    impl TryFrom<String> for Even {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, &'static str> {
            let number = text.parse().map_err(|_| "is no number")?;
            if number % 2 == 0 { Ok(Self(number)) } else { Err("must be even") }
        }
    }

    const ONE: [(&str, &str); 1] = [("id", "7")];
    const TWO: [(&str, &str); 2] = [("user", "7"), ("name", "a%20b+%C3%A4")];

    #[test]
    fn one_parameter_is_one_value() {
        assert_eq!(from_path(&ONE), Ok(7u8));
        assert_eq!(from_path(&ONE), Ok(-7i64 + 14));
        assert_eq!(from_path(&ONE), Ok(String::from("7")));
        assert_eq!(from_path(&ONE), Ok('7'));
        assert_eq!(from_path(&ONE), Ok(7.0f64));
        assert_eq!(from_path(&ONE), Ok(Id(7)));
        assert_eq!(from_path(&ONE), Ok(Some(7u128)));
        assert_eq!(from_path(&ONE), Ok((7i8,)));
        assert_eq!(from_path(&[("id", "8")]), Ok(Even(8)));
        assert_eq!(from_path(&[("id", "true")]), Ok(true));
        assert_eq!(from_path(&[("id", "red")]), Ok(Color::Red));
        assert_eq!(from_path(&[("id", "%62lue")]), Ok((Color::Blue,)));
        assert_eq!(from_path(&[]), Ok(None::<u8>));
    }

    #[test]
    fn several_are_a_tuple_a_struct_a_map_or_a_list() {
        assert_eq!(from_path(&TWO), Ok((7u32, String::from("a b+ä"))));
        assert_eq!(from_path(&TWO), Ok(Place { user: 7, name: "a b+ä".into(), note: None }));
        assert_eq!(from_path::<Vec<String>>(&TWO).unwrap(), ["7", "a b+ä"]);
        let map: BTreeMap<String, String> = from_path(&TWO).unwrap();
        assert_eq!(map["user"], "7");
        assert_eq!(from_path(&TWO), Ok(()));
    }

    fn fault<T: DeserializeOwned + std::fmt::Debug>(parameters: &[(&str, &str)]) -> (FaultKind, String) {
        let fault = from_path::<T>(parameters).unwrap_err();
        (fault.kind, format!("{}: {}", fault.place, fault.reason))
    }

    #[test]
    fn faults_name_the_parameter_its_value_and_what_is_asked_for() {
        let unfit = |text: &str| (FaultKind::Unfit, text.to_string());
        let place = |user: &'static str| fault::<Place>(&[("user", user), ("name", "x")]);
        assert_eq!(place("x"), unfit("user: must be a whole number from 0 to 4294967295, not \"x\""));
        assert_eq!(place("-1").1, "user: must be a whole number from 0 to 4294967295, not \"-1\"");
        assert_eq!(place("4294967296").0, FaultKind::Unfit);
        assert_eq!(fault::<bool>(&[("id", "on")]), unfit("id: must be true or false, not \"on\""));
        assert_eq!(fault::<f32>(&[("id", "NaN")]), unfit("id: must be a number, not \"NaN\""));
        assert_eq!(fault::<char>(&[("id", "ab")]), unfit("id: must be one character, not \"ab\""));
        assert_eq!(fault::<Color>(&[("id", "x")]), unfit("id: must be red or blue, not \"x\""));
        assert_eq!(fault::<Even>(&[("id", "7")]), unfit("id: must be even"));
        assert_eq!(
            fault::<(u8, u8)>(&[("a", "1"), ("b", "")]).1,
            "b: must be a whole number from 0 to 255, not \"\""
        );
    }

    #[test]
    fn what_is_no_text_is_malformed() {
        assert_eq!(
            fault::<String>(&[("id", "%ff")]),
            (FaultKind::Malformed, "id: is not UTF-8 once its percent signs are decoded".into())
        );
        assert_eq!(fault::<(u8, String)>(&[("a", "1"), ("b", "%f")]).0, FaultKind::Malformed);
    }

    #[test]
    fn asking_for_parameters_that_are_not_there_is_the_programs_fault() {
        assert_eq!(fault::<u8>(&TWO).0, FaultKind::Program);
        assert_eq!(fault::<(u8,)>(&TWO).0, FaultKind::Program);
        assert_eq!(fault::<(u8, u8, u8)>(&TWO).0, FaultKind::Program);
        assert_eq!(fault::<Place>(&ONE), (FaultKind::Program, "user: is missing".into()));
        assert_eq!(fault::<String>(&[]).0, FaultKind::Program);
    }
}

//! Decodes one value of a path, query or form from its text.

use std::borrow::Cow;

use serde::de::{self, Deserializer, IntoDeserializer, Unexpected, Visitor, value::CowStrDeserializer};
use serde::forward_to_deserialize_any;

use super::error::{DecodeError, FaultKind};
use crate::http::percent;

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ValueCoding {
    /// Percent-encoded.
    Path,
    /// The same with `+` for a space. A blank value is `None`, and `on` is true (a ticked box).
    Form,
}

impl ValueCoding {
    pub(super) fn decode(self, raw: &str) -> Result<Cow<'_, str>, DecodeError> {
        let decoded = match self {
            Self::Path => percent::decode(raw),
            Self::Form => percent::decode_form(raw),
        };
        decoded.map_err(|error| DecodeError::new(FaultKind::Malformed, error))
    }
}

/// A value as it was sent.
#[derive(Clone, Copy)]
pub(super) struct Value<'de> {
    pub(super) raw: &'de str,
    pub(super) coding: ValueCoding,
}

impl<'de> Value<'de> {
    fn text(self) -> Result<Cow<'de, str>, DecodeError> {
        self.coding.decode(self.raw)
    }
}

/// The text and the expected type, in serde's format.
fn unfit(text: &str, expected: &str) -> DecodeError {
    de::Error::invalid_value(Unexpected::Str(text), &expected)
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let text = self.text()?;
            visitor.$visit(text.parse::<$type>().map_err(|_| unfit(&text, stringify!($type)))?)
        }
    )+};
}

macro_rules! parsed_finite {
    ($($method:ident $visit:ident $type:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let text = self.text()?;
            let number = text.parse::<$type>().ok().filter(|number| number.is_finite());
            visitor.$visit(number.ok_or_else(|| unfit(&text, stringify!($type)))?)
        }
    )+};
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = DecodeError;

    parsed! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_i128 visit_i128 i128
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_u128 visit_u128 u128
    }

    parsed_finite! {
        deserialize_f32 visit_f32 f32
        deserialize_f64 visit_f64 f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let text = self.text()?;
        match (text.as_ref(), self.coding) {
            ("true", _) | ("on", ValueCoding::Form) => visitor.visit_bool(true),
            ("false", _) => visitor.visit_bool(false),
            _ => Err(unfit(&text, "a boolean")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let text = self.text()?;
        visitor.visit_char(text.parse().map_err(|_| unfit(&text, "a character"))?)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.coding == ValueCoding::Form && self.raw.is_empty() {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.raw.is_empty() { visitor.visit_unit() } else { self.deserialize_any(visitor) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    /// A variant is chosen by its name and holds nothing.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let name: CowStrDeserializer<'de, DecodeError> = self.text()?.into_deserializer();
        visitor.visit_enum(name)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { str string seq tuple tuple_struct map struct identifier }
}

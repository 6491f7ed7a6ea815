//! Texts with places to fill per request: `{{seq}}`, `{{rand 1 100}}`, `{{uuid}}`, `{{data NAME}}`.

use std::io::Write as _;
use std::sync::Arc;

use super::data::Data;
use super::random::Random;

/// A text with its places.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Debug)]
enum Piece {
    Text(Vec<u8>),
    Sequence,
    Between(u64, u64),
    Uuid,
    /// A column of the data.
    Value(usize, Form),
}

/// How values of the data are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// As they are.
    Plain,
    /// As a part of a path or query: all but unreserved characters as %XX (RFC 3986, section 2.3).
    Component,
}

/// What the places are filled with: numbers that no other core uses, and random ones that the seed repeats.
#[derive(Clone, Debug)]
pub(crate) struct Filling {
    sequence: u64,
    step: u64,
    random: Random,
    data: Option<Arc<Data>>,
}

impl Filling {
    /// That of core `core` of `cores`.
    pub(crate) fn new(seed: u64, core: usize, cores: usize) -> Self {
        Self {
            sequence: core as u64,
            step: cores as u64,
            random: Random::new(seed, 0x7e3a_0000 + core as u64),
            data: None,
        }
    }

    /// With rows of data, of which each number has one.
    pub(crate) fn with(mut self, data: Option<Arc<Data>>) -> Self {
        self.data = data;
        self
    }

    /// Goes on to the next request.
    pub(crate) fn advance(&mut self) {
        self.sequence += self.step;
    }
}

impl Template {
    /// A text without places.
    pub(crate) fn literal(text: &[u8]) -> Self {
        if text.is_empty() { Self::default() } else { Self(vec![Piece::Text(text.to_vec())]) }
    }

    /// Reads the places of a text.
    ///
    /// # Errors
    /// A sentence that names the place and the remedy.
    pub(crate) fn parse(text: &[u8], data: Option<&Data>, form: Form) -> Result<Self, String> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some(start) = find(rest, b"{{") {
            template.push_text(&rest[..start]);
            let inner = &rest[start + 2..];
            let end =
                find(inner, b"}}").ok_or("a `{{` without `}}`; write {{seq}}, {{rand 1 100}} or {{uuid}}")?;
            template.0.push(place(&String::from_utf8_lossy(&inner[..end]), data, form)?);
            rest = &inner[end + 2..];
        }
        template.push_text(rest);
        Ok(template)
    }

    /// Another one behind it.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Text behind it.
    pub(crate) fn push_text(&mut self, text: &[u8]) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(last)) => last.extend_from_slice(text),
            _ => self.0.push(Piece::Text(text.to_vec())),
        }
    }

    /// The text, if there is no place in it.
    pub(crate) fn constant(&self) -> Option<Vec<u8>> {
        self.0
            .iter()
            .map(|piece| if let Piece::Text(text) = piece { Some(&text[..]) } else { None })
            .collect::<Option<Vec<_>>>()
            .map(|texts| texts.concat())
    }

    /// Whether there is no place in it.
    pub(crate) fn is_constant(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Writes the text with its places filled.
    pub(crate) fn render(&self, filling: &mut Filling, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Sequence => number(out, filling.sequence),
                Piece::Between(low, high) => {
                    let width = (high - low).saturating_add(1);
                    number(out, low + filling.random.below(width));
                }
                Piece::Uuid => uuid(out, &mut filling.random),
                Piece::Value(column, form) => {
                    let data = filling.data.as_ref().expect("it was there when the place was read");
                    value(out, data.value(filling.sequence, *column), *form);
                }
            }
        }
    }
}

fn place(text: &str, data: Option<&Data>, form: Form) -> Result<Piece, String> {
    if let Some(name) = text.trim().strip_prefix("data ").map(str::trim) {
        let data =
            data.ok_or_else(|| format!("`{{{{{text}}}}}` takes a file of data; give it with --data FILE"))?;
        let column = data
            .column(name)
            .ok_or_else(|| format!("`{{{{{text}}}}}`: the data has no `{name}`; it has {}", data.names()))?;
        return Ok(Piece::Value(column, form));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["seq"] => return Ok(Piece::Sequence),
        ["uuid"] => return Ok(Piece::Uuid),
        ["rand", low, high] => {
            if let (Ok(low), Ok(high)) = (low.parse(), high.parse())
                && low <= high
            {
                return Ok(Piece::Between(low, high));
            }
        }
        _ => {}
    }
    Err(format!(
        "`{{{{{text}}}}}` is no place of a template; write {{{{seq}}}}, {{{{rand 1 100}}}}, \
         {{{{data NAME}}}} or {{{{uuid}}}}"
    ))
}

fn value(out: &mut Vec<u8>, value: &[u8], form: Form) {
    for &byte in value {
        match form {
            Form::Component if !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte) => {
                write!(out, "%{byte:02X}").expect("writing to memory does not fail");
            }
            _ => out.push(byte),
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn number(out: &mut Vec<u8>, number: u64) {
    write!(out, "{number}").expect("writing to memory does not fail");
}

/// A random UUID (RFC 9562, version 4).
fn uuid(out: &mut Vec<u8>, random: &mut Random) {
    let (high, low) = (random.bits() & !0xf000 | 0x4000, random.bits() & !(0b11 << 62) | 0b10 << 62);
    let written = write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    written.expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, filling: &mut Filling) -> String {
        let mut out = Vec::new();
        Template::parse(text.as_bytes(), None, Form::Plain).unwrap().render(filling, &mut out);
        filling.advance();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn places_are_filled() {
        let (mut first, mut second) = (Filling::new(1, 0, 2), Filling::new(1, 1, 2));
        assert_eq!(render("/a{{seq}}b{{ seq }}", &mut first), "/a0b0");
        assert_eq!(render("{{seq}}", &mut second), "1");
        assert_eq!(render("{{seq}}", &mut first), "2", "cores share no number");
        for _ in 0..100 {
            let number: u64 = render("{{rand 5 7}}", &mut first).parse().unwrap();
            assert!((5..=7).contains(&number));
        }
        assert!(render("{{rand 0 18446744073709551615}}", &mut first).parse::<u64>().is_ok());
        let uuid = render("{{uuid}}", &mut first);
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
    }

    #[test]
    fn every_request_takes_the_next_row() {
        let data = Arc::new(Data::parse("id,first name\n1,a/b &c\n2,ü\n3,").unwrap());
        let mut fillings = [0, 1].map(|core| Filling::new(1, core, 2).with(Some(data.clone())));
        let template =
            |form| Template::parse(b"{{data id}}={{ data first name }};", Some(&data), form).unwrap();
        let (plain, path) = (template(Form::Plain), template(Form::Component));
        let mut out = Vec::new();
        for n in 0..4 {
            if n == 0 { &plain } else { &path }.render(&mut fillings[n % 2], &mut out);
            fillings[n % 2].advance();
        }
        assert_eq!(String::from_utf8(out).unwrap(), "1=a/b &c;2=%C3%BC;3=;1=a%2Fb%20%26c;");
    }

    #[test]
    fn a_seed_repeats_them() {
        let run = |seed| {
            let mut filling = Filling::new(seed, 0, 1);
            (0..5).map(|_| render("{{uuid}}{{rand 1 1000}}", &mut filling)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn texts_without_places_are_constant() {
        let parse = |text: &[u8]| Template::parse(text, None, Form::Plain).unwrap();
        assert_eq!(parse(b"a{b}c").constant().unwrap(), b"a{b}c");
        assert_eq!(Template::default().constant().unwrap(), b"");
        assert_eq!(parse(b"a{{seq}}").constant(), None);
    }

    #[test]
    fn mistakes_are_named() {
        let refuse = |text: &str, data| Template::parse(text.as_bytes(), data, Form::Plain).unwrap_err();
        for text in ["{{", "{{seq", "{{nope}}", "{{rand 5}}", "{{rand 7 5}}", "{{rand a b}}"] {
            assert!(refuse(text, None).contains("{{uuid}}"), "{text}");
        }
        assert!(refuse("{{data id}}", None).contains("--data"));
        let data = Data::parse("id,name\n1,x").unwrap();
        assert!(refuse("{{data nme}}", Some(&data)).contains("it has id, name"));
    }
}

//! What a route asks of a request beside its path and method: fields and query parameters.

use std::fmt;

use crate::http::message::RequestHead;
use crate::http::percent::decode_form;

/// A condition on a request; a route with several answers the requests for which all of them hold.
///
/// ```
/// use quoit::service::{Condition, Router};
///
/// let routes = Router::new()
///     .get("/report", async || "the first version")
///     .nest("", Router::new().when(Condition::field("X-Version").is("2")).get("/report", async || "new"))
///     .build();
/// assert!(routes.is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where it looks.
    pub part: ConditionPart,
    /// The field's name, without case; or the parameter's, decoded and with case.
    pub name: String,
    /// What has to be there.
    pub test: ConditionTest,
}

/// Which part of a request a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionPart {
    /// The fields of its head.
    Field,
    /// The parameters of its query, decoded as forms are: `+` is a space.
    Query,
}

/// What a condition asks of the values of its name. Of several one is enough. Values are compared whole and
/// with case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionTest {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// There is one of these.
    OneOf(Vec<String>),
    /// There is one that begins with this.
    Prefix(String),
}

impl Condition {
    /// That there is a field of this name.
    pub fn field(name: &str) -> Self {
        Self { part: ConditionPart::Field, name: name.to_owned(), test: ConditionTest::Present }
    }

    /// That there is a query parameter of this name.
    pub fn query(name: &str) -> Self {
        Self { part: ConditionPart::Query, name: name.to_owned(), test: ConditionTest::Present }
    }

    /// With this value.
    pub fn is(self, value: &str) -> Self {
        self.is_one_of([value])
    }

    /// With one of these values.
    pub fn is_one_of<'v>(mut self, values: impl IntoIterator<Item = &'v str>) -> Self {
        self.test = ConditionTest::OneOf(values.into_iter().map(String::from).collect());
        self
    }

    /// With a value that begins with this.
    pub fn begins_with(mut self, prefix: &str) -> Self {
        self.test = ConditionTest::Prefix(prefix.to_owned());
        self
    }

    /// That there is none.
    pub fn is_absent(mut self) -> Self {
        self.test = ConditionTest::Absent;
        self
    }

    /// Whether it holds. Of a form that cannot be decoded the parameter is not there.
    pub(crate) fn holds(&self, request: &impl ConditionSubject) -> bool {
        let mut found = false;
        match self.part {
            ConditionPart::Field => {
                request.each_value(&self.name, &mut |value| found = found || self.test.takes(value));
            }
            ConditionPart::Query => {
                for pair in request.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    let is_name = decode_form(name).is_ok_and(|name| name == *self.name);
                    let takes = |value: &str| self.test.takes(value.as_bytes());
                    found = found || is_name && decode_form(value).is_ok_and(|v| takes(&v));
                }
            }
        }
        found != (self.test == ConditionTest::Absent)
    }

    fn is_about_the_same(&self, other: &Self) -> bool {
        self.part == other.part
            && match self.part {
                ConditionPart::Field => self.name.eq_ignore_ascii_case(&other.name),
                ConditionPart::Query => self.name == other.name,
            }
    }

    /// Whether no request with one value of this name fulfils both. One with several may: the first route in
    /// order gets it.
    fn excludes(&self, other: &Self) -> bool {
        use ConditionTest::{Absent, OneOf, Prefix};
        self.is_about_the_same(other)
            && match (&self.test, &other.test) {
                (Absent, Absent) => false,
                (Absent, _) | (_, Absent) => true,
                (OneOf(a), OneOf(b)) => !a.iter().any(|value| b.contains(value)),
                (OneOf(values), Prefix(prefix)) | (Prefix(prefix), OneOf(values)) => {
                    !values.iter().any(|value| value.starts_with(&**prefix))
                }
                (Prefix(a), Prefix(b)) => !a.starts_with(&**b) && !b.starts_with(&**a),
                _ => false,
            }
    }

    /// Why no request could ever fulfil it.
    pub(crate) fn mistake(&self) -> Option<String> {
        let is_token = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        let values: Vec<&str> = match &self.test {
            ConditionTest::OneOf(values) => values.iter().map(|value| &**value).collect(),
            ConditionTest::Prefix(prefix) => vec![prefix],
            ConditionTest::Present | ConditionTest::Absent => Vec::new(),
        };
        if matches!(&self.test, ConditionTest::OneOf(values) if values.is_empty()) {
            return Some(format!("{} has no value to be", self.subject()));
        }
        if self.part == ConditionPart::Query {
            return self.name.is_empty().then(|| "a query parameter has a name".to_owned());
        }
        if !is_token(&self.name) {
            return Some(format!("`{}` is no name of a field", self.name));
        }
        if self.name.eq_ignore_ascii_case("host") {
            return Some("hosts are matched by sites, not by a condition on a field".to_owned());
        }
        let never = values.into_iter().find(|value| {
            let is_bare = matches!(self.test, ConditionTest::Prefix(_));
            let trimmed = if is_bare { value.trim_start() } else { value.trim() };
            trimmed.len() != value.len() || value.bytes().any(|byte| byte < b' ' && byte != b'\t')
        });
        never.map(|value| format!("no field has the value {value:?}"))
    }

    fn subject(&self) -> String {
        match self.part {
            ConditionPart::Field => format!("field {}", self.name),
            ConditionPart::Query => format!("query parameter {}", self.name),
        }
    }
}

impl ConditionTest {
    fn takes(&self, value: &[u8]) -> bool {
        match self {
            // An absent one holds if nothing is taken.
            Self::Present | Self::Absent => true,
            Self::OneOf(values) => values.iter().any(|known| known.as_bytes() == value),
            Self::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject())?;
        match &self.test {
            ConditionTest::Present => f.write_str(" is there"),
            ConditionTest::Absent => f.write_str(" is not there"),
            ConditionTest::OneOf(values) => {
                let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
                write!(f, " is {}", values.join(" or "))
            }
            ConditionTest::Prefix(prefix) => write!(f, " begins with {prefix:?}"),
        }
    }
}

/// A request, or a question about one.
pub(crate) trait ConditionSubject {
    /// Calls `see` with the value of every field of this name.
    fn each_value(&self, name: &str, see: &mut dyn FnMut(&[u8]));

    /// The query as sent.
    fn query(&self) -> Option<&str>;
}

impl ConditionSubject for RequestHead {
    fn each_value(&self, name: &str, see: &mut dyn FnMut(&[u8])) {
        self.fields_named(name).for_each(see);
    }

    fn query(&self) -> Option<&str> {
        RequestHead::query(self)
    }
}

/// The conditions of a route, in a form that is equal where they mean the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteConditions {
    // INVARIANT: sorted by part and name.
    all: Vec<Condition>,
}

impl RouteConditions {
    pub(crate) fn add(&mut self, condition: Condition) {
        if !self.all.contains(&condition) {
            self.all.push(condition);
            self.all.sort_by_key(place);
        }
    }

    pub(crate) fn all(&self) -> &[Condition] {
        &self.all
    }

    pub(crate) fn hold(&self, request: &impl ConditionSubject) -> bool {
        self.all.iter().all(|condition| condition.holds(request))
    }

    /// The higher, the earlier they are tried: how many there are, and how many of them ask for whole values,
    /// or for their beginning.
    pub(crate) fn rank(&self) -> (usize, usize, usize) {
        let count = |is: fn(&ConditionTest) -> bool| self.all.iter().filter(|one| is(&one.test)).count();
        let values = count(|test| matches!(test, ConditionTest::OneOf(_)));
        (self.all.len(), values, count(|test| matches!(test, ConditionTest::Prefix(_))))
    }

    /// Whether conditions of the two contradict each other.
    pub(crate) fn exclude(&self, other: &Self) -> bool {
        self.all.iter().any(|one| other.all.iter().any(|another| one.excludes(another)))
    }

    /// What is wrong with them.
    pub(crate) fn mistake(&self) -> Option<String> {
        self.all.iter().find_map(Condition::mistake).or_else(|| {
            self.exclude(self).then(|| "its conditions contradict each other: no request has all".to_owned())
        })
    }
}

impl PartialEq for RouteConditions {
    fn eq(&self, other: &Self) -> bool {
        self.all.len() == other.all.len()
            && self
                .all
                .iter()
                .zip(&other.all)
                .all(|(one, another)| one.is_about_the_same(another) && one.test == another.test)
    }
}

/// Where a condition stands among those of its route.
fn place(condition: &Condition) -> (u8, String) {
    (condition.part as u8, condition.name.to_ascii_lowercase())
}

/// As messages name a route's conditions, behind its method and pattern; empty without any.
pub(crate) fn suffix(conditions: &[Condition]) -> String {
    let mut sorted: Vec<&Condition> = conditions.iter().collect();
    sorted.sort_by_key(|condition| place(condition));
    let texts: Vec<String> = sorted.into_iter().map(Condition::to_string).collect();
    if texts.is_empty() { String::new() } else { format!(" when {}", texts.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Asked(&'static [(&'static str, &'static str)], &'static str);

    impl ConditionSubject for Asked {
        fn each_value(&self, name: &str, see: &mut dyn FnMut(&[u8])) {
            let named = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            named.for_each(|(_, value)| see(value.as_bytes()));
        }

        fn query(&self) -> Option<&str> {
            Some(self.1)
        }
    }

    #[test]
    fn fields_and_parameters_are_compared() {
        let request = Asked(&[("X-A", "1"), ("x-a", "2"), ("X-E", "")], "a=1&b+c=%31%2B&&d&e=&bad=%zz&%zz=1");
        let field = Condition::field;
        let query = Condition::query;
        for (condition, holds) in [
            (field("x-A"), true),
            (field("x-A").is("2"), true),
            (field("X-A").is("3"), false),
            (field("X-A").is_one_of(["3", "1"]), true),
            (field("X-A").begins_with(""), true),
            (field("X-A").begins_with("12"), false),
            (field("X-A").is_absent(), false),
            (field("X-B").is_absent(), true),
            (field("X-B"), false),
            (field("X-E").is(""), true),
            (query("a").is("1"), true),
            (query("A"), false),
            (query("b c").is("1+"), true),
            (query("d").is(""), true),
            (query("e"), true),
            (query("bad"), false),
            (query("f").is_absent(), true),
        ] {
            assert_eq!(condition.holds(&request), holds, "{condition}");
        }
    }

    #[test]
    fn what_excludes_each_other_is_known() {
        let of = |conditions: &[Condition]| {
            let mut all = RouteConditions::default();
            conditions.iter().for_each(|one| all.add(one.clone()));
            all
        };
        let a = |value| Condition::field("X-A").is(value);
        assert!(of(&[a("1")]).exclude(&of(&[Condition::field("x-a").is("2")])));
        assert!(!of(&[a("1")]).exclude(&of(&[Condition::field("x-a").is_one_of(["2", "1"])])));
        assert!(!of(&[a("1")]).exclude(&of(&[Condition::query("X-A").is("2")])));
        assert!(of(&[a("1")]).exclude(&of(&[Condition::field("X-A").is_absent(), Condition::query("q")])));
        assert!(of(&[a("1")]).exclude(&of(&[Condition::field("X-A").begins_with("2")])));
        assert!(!of(&[a("12")]).exclude(&of(&[Condition::field("X-A").begins_with("1")])));
        let twice = of(&[Condition::query("q"), a("1"), Condition::field("x-a").is("2")]);
        assert!(twice.mistake().unwrap().contains("contradict"));
        assert!(of(&[a("1")]).rank() > of(&[Condition::field("X-A")]).rank());
        assert!(of(&[Condition::query("q"), a("1")]) == of(&[a("1"), Condition::query("q")]));
        for (condition, text) in [
            (Condition::field("a b"), "`a b` is no name of a field"),
            (Condition::field("Host").is("x"), "hosts are matched by sites, not by a condition on a field"),
            (Condition::field("X").is(" x"), "no field has the value \" x\""),
            (Condition::field("X").is_one_of([]), "field X has no value to be"),
            (Condition::query(""), "a query parameter has a name"),
        ] {
            assert_eq!(of(&[condition]).mistake().as_deref(), Some(text));
        }
    }
}

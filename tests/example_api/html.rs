//! Reads the page strictly: whatever a browser would have to guess at is a failure, so that what is found
//! here is what every browser finds.

/// A piece of a page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Open {
        name: String,
        attributes: Vec<(String, String)>,
    },
    Close(String),
    /// Text, its entities decoded.
    Text(String),
}

/// Elements whose content is not markup. (In `title` and `textarea` entities count; nothing opens there.)
const RAW: [&str; 2] = ["style", "script"];

/// Attributes whose values are the client's or the moment's.
const DATA: [&str; 6] = ["value", "href", "datetime", "nonce", "data-note", "data-etag"];

/// Takes a page apart.
#[track_caller]
pub(crate) fn parse(page: &str) -> Vec<Piece> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("</") {
            let (name, after) = after.split_once('>').expect("a closing tag ends");
            assert!(is_name(name), "</{name}>");
            pieces.push(Piece::Close(name.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('<') {
            let (piece, after) = open(after);
            rest = after;
            if let Piece::Open { name, .. } = &piece
                && RAW.contains(&name.as_str())
            {
                let end = rest.find("</").expect("it is closed");
                assert!(rest[end..].starts_with(&format!("</{name}>")), "{name} is closed first");
                rest = &rest[end..];
            }
            pieces.push(piece);
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            pieces.push(Piece::Text(decode(&rest[..end])));
            rest = &rest[end..];
        }
    }
    pieces
}

/// What follows `<`, up to behind its `>`.
#[track_caller]
fn open(mut rest: &str) -> (Piece, &str) {
    let end = rest.find([' ', '>']).expect("a tag ends");
    let name = &rest[..end];
    assert!(is_name(name), "<{name}>");
    let mut attributes = Vec::new();
    rest = &rest[end..];
    while let Some(attribute) = rest.strip_prefix(' ') {
        let (name, value) = attribute.split_once("=\"").expect("every value has quotes");
        assert!(is_name(name), "{name}=");
        let (value, after) = value.split_once('"').expect("a value ends");
        assert!(attributes.iter().all(|(known, _)| known != name), "{name} twice");
        attributes.push((name.to_owned(), decode(value)));
        rest = after;
    }
    let rest = rest.strip_prefix('>').expect("nothing between the last attribute and the end of its tag");
    (Piece::Open { name: name.to_owned(), attributes }, rest)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Decodes the five entities that the page has; any other is a failure.
#[track_caller]
fn decode(text: &str) -> String {
    assert!(!text.contains(['<', '>', '"', '\'']), "not escaped: {text}");
    let mut parts = text.split('&');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';').expect("an entity ends");
        decoded.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            other => panic!("&{other};"),
        });
        decoded += after;
    }
    decoded
}

/// The elements and attributes of a page, without what is data.
pub(crate) fn skeleton(pieces: &[Piece]) -> Vec<String> {
    let mut skeleton = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Open { name, attributes } => {
                let attributes = attributes.iter().map(|(name, value)| {
                    if DATA.contains(&name.as_str()) { name.clone() } else { format!("{name}={value}") }
                });
                skeleton.push(format!("<{name} {}>", attributes.collect::<Vec<_>>().join(" ")));
            }
            Piece::Close(name) => skeleton.push(format!("</{name}>")),
            Piece::Text(_) => {}
        }
    }
    skeleton
}

/// The text right within the first element with this name and class.
pub(crate) fn text_of<'p>(pieces: &'p [Piece], element: &str, class: Option<&str>) -> Option<&'p str> {
    let at = pieces.iter().position(|piece| is_element(piece, element, class))?;
    match &pieces[at + 1] {
        Piece::Text(text) => Some(text),
        _ => Some(""),
    }
}

/// The value of an attribute of the first element with this name and class.
pub(crate) fn attribute_of<'p>(
    pieces: &'p [Piece],
    element: &str,
    class: Option<&str>,
    attribute: &str,
) -> Option<&'p str> {
    let piece = pieces.iter().find(|piece| is_element(piece, element, class))?;
    let Piece::Open { attributes, .. } = piece else { return None };
    attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
}

fn is_element(piece: &Piece, element: &str, class: Option<&str>) -> bool {
    let Piece::Open { name, attributes } = piece else { return false };
    let has_class = |class| attributes.iter().any(|(name, value)| name == "class" && value == class);
    name == element && class.is_none_or(has_class)
}

#[test]
fn what_is_not_escaped_is_noticed() {
    for page in [
        "<!DOCTYPE html><p title=\"a\"onclick=\"b\">x</p>",
        "<!DOCTYPE html><p>a > b</p>",
        "<!DOCTYPE html><p>&copy;</p>",
        "<!DOCTYPE html><script nonce=\"1\">a</b></script>",
        "<!DOCTYPE html><p/onclick=x>x</p>",
    ] {
        assert!(std::panic::catch_unwind(|| parse(page)).is_err(), "{page}");
    }
    let one = parse("<!DOCTYPE html><p class=\"a\">x &lt;b&gt;</p>");
    let other = parse("<!DOCTYPE html><p class=\"a\">x <b>y</b></p>");
    assert_eq!(text_of(&one, "p", Some("a")), Some("x <b>"));
    assert_ne!(skeleton(&one), skeleton(&other));
}

//! The page: a template whose values all pass `escape_html`, with a policy as a second defence. Works without
//! its script, which only deletes.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quoit::filter::Nonce;
use quoit::service::escape_html;

use super::note::{Filter, Found, Note};

/// Allows only the page's own style and script by their nonce, and requests and forms to this site. Scripts
/// cannot make HTML of text (trusted types).
pub(super) const POLICY: &str = "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
    img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

const STYLE: &str = "
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 40rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
input, textarea, button { font: inherit; box-sizing: border-box; padding: .4rem .6rem; }
label { display: block; margin: .5rem 0; }
label input:not([type=checkbox]), textarea { display: block; width: 100%; }
form.search { display: flex; gap: .5rem; }
form.search input { flex: 1; min-width: 0; }
ul { list-style: none; padding: 0; }
li { border-top: 1px solid #8886; padding: .8rem 0; }
h2 { font-size: 1.1rem; margin: 0; }
p { white-space: pre-wrap; margin: .3rem 0; }
.wrong { border-left: .3rem solid #c33; padding-left: .7rem; }
.meta { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .8rem; font-size: .9rem; }
";

const SCRIPT: &str = r#"
document.addEventListener("click", async ({ target }) => {
  if (!target.matches("button[data-note]")) return;
  const headers = { "If-Match": target.dataset.etag };
  const reply = await fetch("/notes/" + target.dataset.note, { method: "DELETE", headers });
  if (reply.status === 204 || reply.status === 404) target.closest("li").remove();
  else target.textContent = "Changed meanwhile: reload";
});
"#;

const FORM: &str = r#"<details><summary>New note</summary>
<form method="post" action="/">
<label>Title <input name="title" required="" maxlength="200"></label>
<label>Text <textarea name="text" rows="4" maxlength="10000"></textarea></label>
<label>Tag <input name="tag" maxlength="100"></label>
<label>Link <input name="link" type="url" maxlength="2000"></label>
<label><input name="pinned" type="checkbox"> Pinned</label>
<button>Add</button>
</form></details>
"#;

/// The page with these notes, and with the mistakes in the form.
pub(super) fn render(
    title: &str,
    nonce: &Nonce,
    filter: &Filter,
    found: &Found<i64>,
    wrong: &[String],
) -> String {
    let title = escape_html(title);
    let nonce = nonce.as_str();
    let mut page = format!(
        r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,">
<style nonce="{nonce}">{STYLE}</style></head>
<body><h1>{title}</h1>
"#
    );
    for wrong in wrong {
        let _ = writeln!(page, r#"<p class="wrong" role="alert">{}</p>"#, escape_html(wrong));
    }
    let q = escape_html(filter.q.as_deref().unwrap_or_default());
    let _ = write!(
        page,
        r#"<form class="search" role="search" method="get" action="/">
<input name="q" type="search" maxlength="200" aria-label="Search" value="{q}"><button>Search</button></form>
{FORM}<ul>
"#
    );
    found.items.iter().for_each(|note| render_note(&mut page, note));
    page.push_str(if found.items.is_empty() { "</ul><p>Nothing here.</p>\n" } else { "</ul>\n" });
    if let Some(after) = found.next {
        let older = filter.target("/", after);
        let _ = writeln!(page, r#"<p><a rel="next" href="{}">Older notes</a></p>"#, escape_html(&older));
    }
    let _ = writeln!(page, "<script nonce=\"{nonce}\">{SCRIPT}</script></body></html>");
    page
}

fn render_note(page: &mut String, note: &Note) {
    let Note { id, title, text, tag, link, pinned, changed, .. } = note;
    let (title, text) = (escape_html(title), escape_html(text));
    let _ = write!(page, "<li><h2>{title}</h2>\n<p class=\"text\">{text}</p>\n<div class=\"meta\">");
    if *pinned {
        page.push_str("<strong>Pinned</strong>");
    }
    if let Some(tag) = tag {
        let target = utf8_percent_encode(tag, NON_ALPHANUMERIC);
        let _ = write!(page, r#"<a class="tag" href="/?tag={target}">#{}</a>"#, escape_html(tag));
    }
    if let Some(link) = link {
        // Checked to be http(s) on input; escaped nevertheless.
        let _ =
            write!(page, r#"<a class="link" rel="nofollow noopener" href="{0}">{0}</a>"#, escape_html(link));
    }
    // 2026-11-22T19:00:55Z, as people write it.
    let shown = changed.replace('T', " ").replace('Z', " UTC");
    let (changed, shown, etag) = (escape_html(changed), escape_html(&shown), note.etag());
    let etag = escape_html(&etag);
    let _ = writeln!(
        page,
        r#"<time datetime="{changed}">{shown}</time>
<button data-note="{id}" data-etag="{etag}">Delete</button></div></li>"#
    );
}

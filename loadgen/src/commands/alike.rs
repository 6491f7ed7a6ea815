//! Merges sentences that differ only in figures, and counts them. Knows nothing of
//! what they are about.

/// Adds a sentence. Where one is there already that differs in figures alone, that is kept, and counted:
/// `late by 23 µs (alike in 3 runs)`. Both may be counts of such sentences.
pub(crate) fn add(sentences: &mut Vec<String>, sentence: &str, noun: &str) {
    match sentences.iter_mut().find(|known| shape(known, noun) == shape(sentence, noun)) {
        Some(known) => {
            let (text, times) = counted(known, noun);
            let times = times.saturating_add(counted(sentence, noun).1);
            *known = format!("{text} (alike in {times} {noun})");
        }
        None => sentences.push(sentence.to_owned()),
    }
}

/// A sentence without its count, and that.
pub(crate) fn counted<'a>(sentence: &'a str, noun: &str) -> (&'a str, u64) {
    let inner = sentence.strip_suffix(')').and_then(|rest| rest.strip_suffix(noun));
    let parts =
        inner.and_then(|rest| rest.strip_suffix(' ')).and_then(|rest| rest.rsplit_once(" (alike in "));
    let found = parts.and_then(|(text, times)| Some((text, times.parse().ok()?)));
    found.unwrap_or((sentence, 1))
}

/// A sentence without its figures.
fn shape(sentence: &str, noun: &str) -> String {
    counted(sentence, noun).0.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_figures_is_told_once() {
        let mut sentences = Vec::new();
        for sentence in ["late by 23 µs", "busy", "late by 9 µs (alike in 4 runs)", "busy", "late by 1 ms"]
        {
            add(&mut sentences, sentence, "runs");
        }
        assert_eq!(sentences, ["late by 23 µs (alike in 5 runs)", "busy (alike in 2 runs)", "late by 1 ms"]);
        assert_eq!(counted("a (alike in x runs)", "runs"), ("a (alike in x runs)", 1));
    }
}

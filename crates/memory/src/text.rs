//! Texts: places in UTF-16 code units, as JavaScript counts them, and putting chunks together again.

use master_agent_core::ErrorCode;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::table::rows::Row;

/// Longer queries than this many bytes are cut for the search of words: nothing that follows changes the order much.
const LONGEST_QUERY: usize = 16_384;

/// A query for the search of words.
pub(crate) fn for_search(query: &str) -> String {
    let mut end = query.len().min(LONGEST_QUERY);
    while !query.is_char_boundary(end) {
        end -= 1;
    }
    query[..end].to_owned()
}

/// The words of a query that name something exactly, in lower case: with digits among letters or signs, underscores, `::`, or capitals
/// within. The full text index cuts them into pieces, so they are looked for as they stand.
pub(crate) fn identifiers(query: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in for_search(query).split_whitespace() {
        let word = word.trim_matches(|one: char| ".,;:!?()[]{}<>\"'`".contains(one));
        if is_identifier(word) {
            let word = word.to_lowercase();
            if !found.contains(&word) {
                found.push(word);
            }
        }
        if found.len() == 16 {
            break;
        }
    }
    found
}

fn is_identifier(word: &str) -> bool {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() < 3 || letters.len() > 200 {
        return false;
    }
    let any = |test: fn(&char) -> bool| letters.iter().any(test);
    let mixed = any(|one| one.is_numeric()) && any(|one| one.is_alphabetic() || "_./:#-".contains(*one));
    let inner = |wanted: char| letters[1..letters.len() - 1].contains(&wanted);
    let capital_within = letters.windows(2).any(|pair| pair[0].is_lowercase() && pair[1].is_uppercase());
    mixed || inner('_') || word.contains("::") || capital_within
}

/// Byte ranges in order as UTF-16 places.
pub(crate) fn utf16_places(text: &str, ranges: &[std::ops::Range<usize>]) -> Vec<(i64, i64)> {
    let mut marks: Vec<usize> = ranges.iter().flat_map(|range| [range.start, range.end]).collect();
    marks.sort_unstable();
    marks.dedup();
    let mut places = Vec::with_capacity(marks.len());
    let (mut byte, mut unit) = (0, 0_i64);
    for mark in &marks {
        unit += units(&text[byte..*mark]);
        byte = *mark;
        places.push(unit);
    }
    let at = |mark: usize| marks.binary_search(&mark).map_or(0, |index| places[index]);
    ranges.iter().map(|range| (at(range.start), at(range.end))).collect()
}

/// UTF-16 places as byte ranges; a place within a pair of surrogates is that of the pair. Takes one pass, however many there are.
pub(crate) fn byte_ranges(text: &str, places: impl Iterator<Item = (i64, i64)>) -> Vec<std::ops::Range<usize>> {
    let places: Vec<(i64, i64)> = places.collect();
    let mut marks: Vec<i64> = places.iter().flat_map(|(start, end)| [*start, *end]).collect();
    marks.sort_unstable();
    marks.dedup();
    let mut bytes = Vec::with_capacity(marks.len());
    let mut unit = 0;
    for (byte, character) in text.char_indices() {
        unit += if character.len_utf16() == 2 { 2 } else { 1 };
        while bytes.len() < marks.len() && marks[bytes.len()] < unit {
            bytes.push(byte);
        }
    }
    bytes.resize(marks.len(), text.len());
    let at = |mark: i64| marks.binary_search(&mark).map_or(0, |index| bytes[index]);
    places.iter().map(|(start, end)| at(*start)..at(*end)).collect()
}

/// The length of a text in UTF-16 code units.
pub(crate) fn units(text: &str) -> i64 {
    if text.is_ascii() {
        return i64::try_from(text.len()).unwrap_or(i64::MAX);
    }
    i64::try_from(text.chars().map(char::len_utf16).sum::<usize>()).unwrap_or(i64::MAX)
}

/// The byte of a UTF-16 place; within a pair of surrogates, that of the pair.
pub(crate) fn byte_at(text: &str, place: i64) -> usize {
    if place <= 0 {
        return 0;
    }
    if text.is_ascii() {
        return usize::try_from(place).map_or(text.len(), |place| place.min(text.len()));
    }
    let mut unit = 0_i64;
    for (byte, character) in text.char_indices() {
        let width = if character.len_utf16() == 2 { 2 } else { 1 };
        if unit + width > place {
            return byte;
        }
        unit += width;
    }
    text.len()
}

/// The chunks of a document in order as one text, without what they repeat, from `from` until `to`.
pub(crate) fn join<'a>(chunks: impl Iterator<Item = &'a Row>, from: i64, to: i64) -> String {
    let mut text = String::new();
    let mut reached = from;
    for row in chunks {
        let start = reached.max(row.start);
        let end = to.min(row.end);
        if end > start {
            text.push_str(&row.text[byte_at(&row.text, start - row.start)..byte_at(&row.text, end - row.start)]);
            reached = end;
        }
    }
    text
}

/// JSON that is passed on as it is.
pub(crate) fn raw(json: &str) -> Result<Box<RawValue>> {
    RawValue::from_string(json.to_owned())
        .map_err(|error| Error::new(ErrorCode::StoreCorrupt, format!("metadata in the table is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: i64, text: &str) -> Row {
        Row {
            id: "a".into(),
            chunk: 0,
            chunks: 1,
            start,
            end: start + units(text),
            text: text.to_owned(),
            vector: Vec::new(),
            metadata: "{}".into(),
            hash: "".into(),
            created_at: 0,
            updated_at: 0,
            expires_at: None,
        }
    }

    #[test]
    fn places_count_as_javascript_does() {
        let text = "a😀é\u{2028}z";
        assert_eq!(units(text), 6);
        let ranges = [0..1, 1..5, 5..7, 7..10, 10..11, 0..11];
        assert_eq!(utf16_places(text, &ranges), [(0, 1), (1, 3), (3, 4), (4, 5), (5, 6), (0, 6)]);
        for (range, (start, end)) in ranges.iter().zip(utf16_places(text, &ranges)) {
            assert_eq!(byte_at(text, start)..byte_at(text, end), range.clone());
        }
        let places = utf16_places(text, &ranges);
        assert_eq!(byte_ranges(text, places.into_iter()), ranges);
        assert_eq!(byte_ranges(text, [(0, 2), (2, 4)].into_iter()), [0..1, 1..7], "within a pair of surrogates");
        assert_eq!(byte_at(text, 2), 1, "within a pair of surrogates");
        assert_eq!(byte_at(text, 99), text.len());
        assert_eq!(byte_at("plain", 99), 5);
    }

    #[test]
    fn overlapping_chunks_are_joined_once() {
        let rows = [row(0, "one 😀 two "), row(7, "two three"), row(16, " four")];
        assert_eq!(join(rows.iter(), 0, i64::MAX), "one 😀 two three four");
        assert_eq!(join(rows[1..].iter(), 11, i64::MAX), "three four");
        assert_eq!(join(rows[..1].iter(), i64::MIN, 3), "one");
        assert_eq!(join([].iter(), 0, i64::MAX), "");
    }

    #[test]
    fn words_that_name_something_exactly_are_found() {
        let query = "Where is `ERR_X_100` (see NACA-0012), getUserById or a::b at v2.13.7 in the year 2024 or well-known U.S.?";
        assert_eq!(identifiers(query), ["err_x_100", "naca-0012", "getuserbyid", "a::b", "v2.13.7"]);
        assert!(identifiers("plain words, and a_ _b ab 12").is_empty());
    }

    #[test]
    fn a_long_query_is_cut_between_characters() {
        let query = "é".repeat(LONGEST_QUERY);
        let cut = for_search(&query);
        assert!(cut.len() <= LONGEST_QUERY && query.starts_with(&cut));
    }
}

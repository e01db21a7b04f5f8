//! Where sentences end, in any script: by their punctuation, the space after it and the letter after that.

use std::ops::Range;

use super::count::starts_cluster;
use super::outline::{Cut, Outline};

/// Words before a full stop that does not end a sentence.
const ABBREVIATIONS: [&str; 42] = [
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "vs", "etc", "fig", "figs", "eq", "eqs", "no", "nos", "vol", "pp", "p",
    "ed", "eds", "al", "cf", "ca", "approx", "dept", "inc", "ltd", "co", "corp", "gen", "col", "sec", "ch", "resp", "jan", "feb",
    "aug", "sept", "oct", "nov", "dec",
];

/// Marks the starts of sentences inside a run of prose.
pub(crate) fn outline(text: &str, range: Range<usize>, outline: &mut Outline) {
    let part = &text[range.clone()];
    let mut characters = part.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character.is_ascii() && !matches!(character, '.' | '!' | '?') {
            continue;
        }
        let Some(end) = end(character) else { continue };
        while characters.next_if(|&(_, next)| self::end(next).is_some() || closes(next)).is_some() {}
        let spaced = characters.next_if(|&(_, next)| next.is_whitespace()).is_some();
        while characters.next_if(|&(_, next)| next.is_whitespace()).is_some() {}
        let Some(&(next_at, next)) = characters.peek() else { return };
        let ends = match end {
            End::Full => true,
            End::Spaced => spaced && !next.is_lowercase(),
            End::Dot => spaced && !next.is_lowercase() && !is_abbreviation(&part[..at]),
        };
        if ends && starts_cluster(part, next_at) {
            outline.mark(range.start + next_at, Cut::Sentence);
        }
    }
}

enum End {
    /// Ends a sentence wherever it is.
    Full,
    /// Ends one where space follows.
    Spaced,
    /// The same, unless it is part of a word.
    Dot,
}

fn end(character: char) -> Option<End> {
    match character {
        '.' => Some(End::Dot),
        '!' | '?' | '…' | '؟' | '۔' | '।' | '॥' | '։' | '።' | '፧' | '។' | '။' | '༎' | '᠃' => {
            Some(End::Spaced)
        }
        '。' | '！' | '？' | '｡' | '．' => Some(End::Full),
        _ => None,
    }
}

fn closes(character: char) -> bool {
    matches!(character, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '」' | '』' | '）' | '】' | '》' | '*' | '_')
}

/// Whether the text up to a full stop ends with an abbreviation, an initial, or the number of a list's item.
fn is_abbreviation(before: &str) -> bool {
    let tail = &before[before.floor_char_boundary(before.len().saturating_sub(16))..];
    let start = tail.rfind(|c: char| c.is_whitespace() || "([{\"'“‘".contains(c)).map_or(0, |at| at + next_length(tail, at));
    let word = &tail[start..];
    let begins = before.len() - word.len() == 0 || before[..before.len() - word.len()].ends_with('\n');
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(only), None) => only.is_uppercase() || (begins && only.is_alphanumeric()),
        (Some(_), Some(_)) => {
            word.contains('.') && word.chars().all(|c| c.is_alphabetic() || c == '.')
                || (begins && word.bytes().all(|byte| byte.is_ascii_digit()))
                || ABBREVIATIONS.iter().any(|abbreviation| abbreviation.eq_ignore_ascii_case(word))
        }
        _ => false,
    }
}

fn next_length(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

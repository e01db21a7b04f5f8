//! Index values, and how they are written as bytes that sort as the values do.
//!
//! Every adapter stores the bytes and compares them as bytes, so that no adapter has an order of its own.
//! A part is a tag and a body: `01` and the integer, big-endian with its sign bit flipped; or `02` and the
//! UTF-8 text, in which `00` is written `00 FF`, and a closing `00`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::invalid;
use crate::StoreError;

/// One part of an index value. All integers come before all texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IndexPart {
    Integer(i64),
    Text(Box<str>),
}

impl From<i64> for IndexPart {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<&str> for IndexPart {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A value of one or more parts, compared part by part: a value comes before those that it is the beginning of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexValue(pub Vec<IndexPart>);

impl<P: Into<IndexPart>> From<P> for IndexValue {
    fn from(part: P) -> Self {
        Self(vec![part.into()])
    }
}

impl From<()> for IndexValue {
    fn from((): ()) -> Self {
        Self(Vec::new())
    }
}

impl<A: Into<IndexPart>, B: Into<IndexPart>> From<(A, B)> for IndexValue {
    fn from((a, b): (A, B)) -> Self {
        Self(vec![a.into(), b.into()])
    }
}

impl<A: Into<IndexPart>, B: Into<IndexPart>, C: Into<IndexPart>> From<(A, B, C)> for IndexValue {
    fn from((a, b, c): (A, B, C)) -> Self {
        Self(vec![a.into(), b.into(), c.into()])
    }
}

/// Where one index finds a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IndexEntry {
    pub index: Arc<str>,
    pub value: IndexValue,
}

/// Which values of a part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IndexRange {
    /// Any value, or none: entries that end before this part come too.
    #[default]
    All,
    /// `from` and above, below `to`.
    Between { from: Option<IndexPart>, to: Option<IndexPart> },
    /// Texts that begin with this.
    Prefix(Box<str>),
}

impl IndexRange {
    /// `from` and above.
    pub fn from(from: impl Into<IndexPart>) -> Self {
        Self::Between { from: Some(from.into()), to: None }
    }

    /// Below `to`.
    pub fn to(to: impl Into<IndexPart>) -> Self {
        Self::Between { from: None, to: Some(to.into()) }
    }

    /// `from` and above, below `to`.
    pub fn between(from: impl Into<IndexPart>, to: impl Into<IndexPart>) -> Self {
        Self::Between { from: Some(from.into()), to: Some(to.into()) }
    }

    /// Texts that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Box<str>>) -> Self {
        Self::Prefix(prefix.into())
    }
}

const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const END: u8 = 0;
const ESCAPED: u8 = 0xff;
/// Above every tag.
const BEHIND: u8 = 0xff;

/// The bytes of a value: `encode(a) < encode(b)` exactly when `a < b`.
pub fn encode(parts: &[IndexPart]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        push(&mut bytes, part);
    }
    bytes
}

fn push(bytes: &mut Vec<u8>, part: &IndexPart) {
    match part {
        IndexPart::Integer(integer) => {
            bytes.push(INTEGER);
            bytes.extend_from_slice(&(integer.wrapping_add(i64::MIN) as u64).to_be_bytes());
        }
        IndexPart::Text(text) => {
            push_text(bytes, text);
            bytes.push(END);
        }
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(TEXT);
    for byte in text.bytes() {
        bytes.push(byte);
        if byte == END {
            bytes.push(ESCAPED);
        }
    }
}

/// The value that [`encode`] wrote so; an error where it did not.
pub fn decode(bytes: &[u8]) -> Result<Vec<IndexPart>, StoreError> {
    let broken = || invalid("index value", "is not one that this package wrote");
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some((tag, body)) = rest.split_first() {
        rest = match *tag {
            INTEGER => {
                let (number, after) = body.split_first_chunk::<8>().ok_or_else(broken)?;
                parts.push(IndexPart::Integer((u64::from_be_bytes(*number) as i64).wrapping_add(i64::MIN)));
                after
            }
            TEXT => {
                let (text, after) = split_text(body).ok_or_else(broken)?;
                parts.push(IndexPart::Text(String::from_utf8(text).map_err(|_| broken())?.into()));
                after
            }
            _ => return Err(broken()),
        };
    }
    Ok(parts)
}

fn split_text(body: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        let byte = *body.get(at)?;
        let escaped = body.get(at + 1) == Some(&ESCAPED);
        match (byte, escaped) {
            (END, false) => return Some((text, &body[at + 1..])),
            (END, true) => at += 2,
            _ => at += 1,
        }
        text.push(byte);
    }
}

/// The half-open range of bytes in which the encoded values are that begin with `equal` and go on in `range`.
pub fn byte_range(equal: &[IndexPart], range: &IndexRange) -> (Vec<u8>, Vec<u8>) {
    let base = encode(equal);
    let with = |part: &IndexPart| {
        let mut bytes = base.clone();
        push(&mut bytes, part);
        bytes
    };
    let mut behind = base.clone();
    behind.push(BEHIND);
    match range {
        IndexRange::All => (base, behind),
        IndexRange::Between { from, to } => {
            // Without a lower bound: behind the entry that has no such part.
            let mut lowest = base.clone();
            lowest.push(INTEGER);
            (from.as_ref().map_or(lowest, with), to.as_ref().map_or(behind, with))
        }
        IndexRange::Prefix(prefix) => {
            let mut from = base.clone();
            push_text(&mut from, prefix);
            let mut to = from.clone();
            // A tag is below FF, so there is always a byte to raise.
            while to.last() == Some(&u8::MAX) {
                to.pop();
            }
            if let Some(last) = to.last_mut() {
                *last += 1;
            }
            (from, to)
        }
    }
}

/// The lowest text above all that begin with `prefix`; `None` where nothing is above them.
pub fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The order of UTF-8 bytes is that of code points; between D7FF and E000 there are none.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = IndexPart> {
        let integer = prop_oneof![any::<i64>(), -2_i64..3, Just(i64::MIN), Just(i64::MAX)].prop_map(IndexPart::Integer);
        let text = prop_oneof![".{0,6}", "[\0\u{1}a\u{10ffff}]{0,4}"].prop_map(|text| IndexPart::Text(text.into()));
        prop_oneof![integer, text]
    }

    fn value() -> impl Strategy<Value = Vec<IndexPart>> {
        prop::collection::vec(part(), 0..4)
    }

    proptest! {
        #[test]
        fn bytes_sort_as_values_do(a in value(), b in value()) {
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b));
        }

        #[test]
        fn bytes_are_read_back(value in value()) {
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = decode(&bytes) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }

        #[test]
        fn a_prefix_ends_before_its_successor(prefix in "[a\u{d7ff}\u{e000}\u{10ffff}é]{0,3}", other in "[ab\u{d7ff}\u{e000}\u{10ffff}é]{0,4}") {
            let inside = other >= prefix && successor(&prefix).is_none_or(|successor| other < successor);
            prop_assert_eq!(inside, other.starts_with(&prefix));
        }
    }
}

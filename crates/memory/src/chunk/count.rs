//! Counts tokens without tokenising the same word twice.

use std::collections::HashMap;

use master_agent_core::ErrorCode;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{ModelWrapper, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

use crate::error::{Error, Result};

/// The bytes of a word that count for one token at least, so that a passage is never much longer than its tokens say.
pub(crate) const BYTES_PER_TOKEN: usize = 64;
/// Words up to this many bytes are remembered.
const REMEMBERED: usize = 48;

pub(crate) struct Counter<'t, 'x> {
    tokenizer: &'t Tokenizer,
    /// The tokens of a text are those of its words, one by one: true of BERT's tokenizer, which removes the spaces and then
    /// cuts at punctuation and Chinese characters before it looks for tokens. Otherwise sums are estimates.
    exact: bool,
    words: HashMap<&'x str, usize>,
    limit: usize,
}

impl<'t, 'x> Counter<'t, 'x> {
    /// `limit`: the tokens of a passage.
    pub(crate) fn new(tokenizer: &'t Tokenizer, limit: usize) -> Self {
        Self { tokenizer, exact: is_additive(tokenizer), words: HashMap::new(), limit }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// The tokens that the model sees.
    pub(crate) fn count(&self, text: &str) -> Result<usize> {
        self.tokenizer.encode_fast(text, false).map(|encoding| encoding.len()).map_err(failed)
    }

    /// Whether a text may be one passage; at the cost of one tokenisation at most.
    pub(crate) fn fits(&mut self, text: &'x str) -> Result<bool> {
        let mut weight = 0;
        for word in text.split(is_space).filter(|word| !word.is_empty()) {
            weight += if self.exact { self.word(word)? } else { word.len().div_ceil(BYTES_PER_TOKEN) };
            if weight > self.limit {
                return Ok(false);
            }
        }
        Ok(self.exact || self.count(text)? <= self.limit)
    }

    /// The tokens of a text, at least one for each 64 bytes of a word.
    pub(crate) fn weigh(&mut self, text: &'x str) -> Result<usize> {
        text.split(is_space).filter(|word| !word.is_empty()).map(|word| self.word(word)).sum()
    }

    /// The weight of what has no space in it. A long word is not remembered as a whole; one that is longer than a passage may be
    /// is not even tokenised.
    fn word(&mut self, word: &'x str) -> Result<usize> {
        let by_length = word.len().div_ceil(BYTES_PER_TOKEN);
        if by_length > self.limit {
            return Ok(by_length);
        }
        if word.len() > REMEMBERED {
            return if self.exact { parts(word).map(|part| self.part(part)).sum() } else { Ok(self.count(word)?.max(by_length)) };
        }
        if let Some(&weight) = self.words.get(word) {
            return Ok(weight);
        }
        let weight = if self.exact { parts(word).map(|part| self.part(part)).sum::<Result<_>>()? } else { self.count(word)? };
        self.words.insert(word, weight);
        Ok(weight)
    }

    /// The weight of a part of a word that the tokenizer sees by itself.
    fn part(&mut self, part: &'x str) -> Result<usize> {
        if part.len() > REMEMBERED {
            return Ok(self.count(part)?.max(part.len().div_ceil(BYTES_PER_TOKEN)));
        }
        if let Some(&weight) = self.words.get(part) {
            return Ok(weight);
        }
        let weight = self.count(part)?;
        self.words.insert(part, weight);
        Ok(weight)
    }
}

pub(crate) fn failed(error: tokenizers::Error) -> Error {
    Error::new(ErrorCode::EmbeddingFailed, format!("the tokenizer failed: {error}")).caused_by(error)
}

/// Whether it is a tokenizer of BERT's kind, with no added token that goes across a space or a word.
fn is_additive(tokenizer: &Tokenizer) -> bool {
    let normalizer = match tokenizer.get_normalizer() {
        Some(NormalizerWrapper::BertNormalizer(bert)) => bert.clean_text && bert.handle_chinese_chars,
        _ => false,
    };
    let added = tokenizer.get_added_tokens_decoder();
    let apart = |token: &str| {
        let marked = |character: Option<char>| character.is_some_and(|character| character.is_ascii_punctuation());
        marked(token.chars().next()) && marked(token.chars().next_back()) && !token.contains(char::is_whitespace)
    };
    normalizer
        && matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)))
        && matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_))
        && added.values().all(|token| apart(&token.content))
}

/// Space that separates words for every tokenizer: some remove the control characters among the spaces instead.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() && !matches!(character, '\u{b}' | '\u{c}' | '\u{85}')
}

/// The parts of a word between which it can be cut without a change in its tokens: at punctuation and Chinese characters.
pub(crate) fn parts(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut previous: Option<char> = None;
        for (at, character) in rest.char_indices() {
            if previous.is_some_and(|previous| stands_alone(previous) || stands_alone(character)) && starts_cluster(rest, at) {
                let (part, after) = rest.split_at(at);
                rest = after;
                return Some(part);
            }
            previous = Some(character);
        }
        (!rest.is_empty()).then(|| std::mem::take(&mut rest))
    })
}

/// Punctuation (of which not all need to be known) and Chinese characters, each of which is a word to the tokenizer.
fn stands_alone(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(character, '、' | '。' | '「'..='】' | '！' | '（' | '）' | '，' | '：' | '；' | '？' | '…' | '—' | '“' | '”')
        || matches!(u32::from(character), 0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x20000..=0x2a6df | 0xf900..=0xfaff)
}

/// Whether a place between two characters is also one between two grapheme clusters, when the character before it is a space or
/// either of them stands alone (so that nothing further back matters).
pub(crate) fn starts_cluster(text: &str, at: usize) -> bool {
    let (Some(before), Some(after)) = (text[..at].chars().next_back(), text[at..].chars().next()) else { return true };
    if before.is_ascii() && after.is_ascii() {
        return !(before == '\r' && after == '\n');
    }
    text[at - before.len_utf8()..at + after.len_utf8()].graphemes(true).count() == 2
}

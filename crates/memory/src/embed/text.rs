//! Tokens of texts that may be far longer than a model reads.

use std::borrow::Cow;

use master_agent_core::ErrorCode;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection};

use crate::{Error, Result};

/// Bytes of text tried first for each token that the model reads: words of English have five and a space.
const BYTES_PER_TOKEN: usize = 16;

/// Bytes after which a tokenizer of which nothing is known is not asked about more.
const ENOUGH: usize = 1 << 20;

/// The beginning of `text` that has the same first `tokens` tokens as the whole, and its encoding without special tokens, cut off there.
///
/// What follows a piece can change its last word alone, so the tokens before that are those of the whole text. A text in which they are
/// too few is taken in larger and larger pieces.
pub(super) fn head<'a>(tokenizer: &Tokenizer, text: &'a str, tokens: usize) -> Result<(Cow<'a, str>, Encoding)> {
    let bert = longest_word(tokenizer);
    let mut size = tokens.saturating_mul(BYTES_PER_TOKEN);
    loop {
        let (piece, whole) = match bert {
            Some(longest) if text.len() > size => squeezed(text, size, longest),
            _ => {
                let end = floor_char_boundary(text, size);
                (Cow::Borrowed(&text[..end]), end == text.len())
            }
        };
        let mut encoding = encode(tokenizer, &piece)?;
        if whole {
            encoding.truncate(tokens, 0, TruncationDirection::Right);
            return Ok((piece, encoding));
        }
        let settled = if bert.is_some() {
            let last = encoding.get_word_ids().iter().rev().find_map(|word| *word);
            // A special token in the text has several words, if only a part of it is seen.
            let end = piece.len().saturating_sub(longest_special(tokenizer));
            encoding
                .get_word_ids()
                .iter()
                .zip(encoding.get_offsets())
                .take_while(|(word, (_, to))| **word != last && *to <= end)
                .count()
        } else {
            let end = piece.rfind(char::is_whitespace).unwrap_or(0);
            encoding.get_offsets().iter().take_while(|(_, to)| *to <= end).count()
        };
        if settled >= tokens || (bert.is_none() && piece.len() >= ENOUGH) {
            encoding.truncate(tokens, 0, TruncationDirection::Right);
            return Ok((piece, encoding));
        }
        size = size.saturating_mul(4);
    }
}

/// Characters of the longest word that is looked up, where words are told apart as BERT does: at white space, punctuation and ideographs.
fn longest_word(tokenizer: &Tokenizer) -> Option<usize> {
    match (tokenizer.get_normalizer(), tokenizer.get_pre_tokenizer(), tokenizer.get_model()) {
        (
            Some(NormalizerWrapper::BertNormalizer(normalizer)),
            Some(PreTokenizerWrapper::BertPreTokenizer(_)),
            ModelWrapper::WordPiece(model),
        ) if normalizer.clean_text => Some(model.max_input_chars_per_word),
        _ => None,
    }
}

fn longest_special(tokenizer: &Tokenizer) -> usize {
    tokenizer.get_added_tokens_decoder().values().map(|token| token.content.len()).max().unwrap_or(0)
}

/// The beginning of `text` with white space of one character and words no longer than they need be to be unknown, which has the same
/// tokens; about `size` bytes of it, and whether that is all.
fn squeezed(text: &str, size: usize, longest: usize) -> (Cow<'_, str>, bool) {
    let mut piece = String::with_capacity(size + 4);
    let (mut letters, mut space) = (0, false);
    for character in text.chars() {
        if piece.len() >= size {
            return (Cow::Owned(piece), false);
        }
        let (was_letters, was_space) = (letters, space);
        letters = if character.is_ascii_alphanumeric() { was_letters + 1 } else { 0 };
        space = matches!(character, ' ' | '\n' | '\t' | '\r');
        if letters <= longest + 1 && !(space && was_space) {
            piece.push(if space { ' ' } else { character });
        }
    }
    (Cow::Owned(piece), true)
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoding> {
    tokenizer.encode(text, false).map_err(|error| failed(&*error))
}

/// Adds the special tokens.
pub(super) fn framed(tokenizer: &Tokenizer, encoding: Encoding) -> Result<Encoding> {
    tokenizer.post_process(encoding, None, true).map_err(|error| failed(&*error))
}

fn failed(error: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::new(ErrorCode::EmbeddingFailed, format!("A text could not be split into tokens: {error}."))
}

/// Takes truncation and padding off.
pub(super) fn plain(mut tokenizer: Tokenizer) -> Tokenizer {
    // It fails for a stride that is too long, and there is none.
    let _ = tokenizer.with_truncation(None);
    tokenizer.with_padding(None);
    tokenizer
}

/// How many special tokens frame a text.
pub(super) fn frame(tokenizer: &Tokenizer) -> usize {
    tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false))
}

fn floor_char_boundary(text: &str, size: usize) -> usize {
    if size >= text.len() {
        return text.len();
    }
    (0..=size).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::embed::tests::fixture;

    fn tokenizer() -> Tokenizer {
        plain(Tokenizer::from_file(fixture("tiny").join("tokenizer.json")).unwrap())
    }

    fn whole(tokenizer: &Tokenizer, text: &str, tokens: usize) -> Vec<u32> {
        tokenizer.encode(text, false).unwrap().get_ids().iter().copied().take(tokens).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_head_has_the_first_tokens_of_the_whole(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("hello ".to_owned()), Just("seas,".to_owned()), Just(" ".repeat(40)), Just("x".repeat(120)), Just("\u{301}".repeat(30)),
                    Just("\u{0}\u{ad}".repeat(20)), Just("\u{6d77}".to_owned()), Just("[SEP]".to_owned()), "\\PC{0,20}", any::<String>(),
                ],
                0..30,
            ),
            tokens in 1usize..12,
        ) {
            let (tokenizer, text) = (tokenizer(), parts.concat());
            let (piece, encoding) = head(&tokenizer, &text, tokens).unwrap();
            prop_assert_eq!(encoding.get_ids(), whole(&tokenizer, &text, tokens));
            prop_assert_eq!(whole(&tokenizer, &piece, tokens), whole(&tokenizer, &text, tokens));
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_looked_at() {
        let size = 254 * BYTES_PER_TOKEN;
        for text in ["hello world ".repeat(100_000), "\u{6d77}\u{6d0b}\u{3002}".repeat(100_000), "a,b.".repeat(100_000)] {
            let (piece, encoding) = head(&tokenizer(), &text, 254).unwrap();
            assert_eq!(encoding.len(), 254);
            assert!(piece.len() < size + 4, "{}", piece.len());
        }
    }

    #[test]
    fn words_and_gaps_without_an_end_are_read_through() {
        let tokenizer = tokenizer();
        for text in [
            "x".repeat(300_000) + " hello",
            " \n".repeat(150_000) + "hello",
            "\u{301}".repeat(30_000) + "hello",
            "\u{e01}".repeat(30_000) + " hello",
        ] {
            let (_, encoding) = head(&tokenizer, &text, 254).unwrap();
            assert_eq!(encoding.get_ids(), whole(&tokenizer, &text, 254));
            assert_eq!(encoding.get_ids().last(), Some(&5));
        }
    }

    #[test]
    fn a_tokenizer_of_which_nothing_is_known_is_asked_in_words() {
        let mut tokenizer = tokenizer();
        tokenizer.with_pre_tokenizer(Some(tokenizers::pre_tokenizers::whitespace::Whitespace {}));
        assert_eq!(longest_word(&tokenizer), None);
        let text = "hello  seas, ".repeat(10_000);
        let (piece, encoding) = head(&tokenizer, &text, 20).unwrap();
        assert_eq!((encoding.get_ids(), piece.len()), (&whole(&tokenizer, &text, 20)[..], 320));
        assert!(head(&tokenizer, &"x".repeat(3 * ENOUGH), 20).unwrap().0.len() < 3 * ENOUGH);
    }

    #[test]
    fn the_frame_is_counted_and_put_around() {
        let tokenizer = tokenizer();
        let (_, encoding) = head(&tokenizer, "hello world", 1).unwrap();
        assert_eq!((frame(&tokenizer), framed(&tokenizer, encoding).unwrap().get_ids()), (2, &[2, 5, 3][..]));
    }
}

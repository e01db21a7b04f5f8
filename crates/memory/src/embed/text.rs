//! Tokens of texts that may be far longer than a model reads.

use master_agent_core::ErrorCode;
use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection};

use crate::{Error, Result};

/// Bytes of text tried first for each token that the model reads: words of English have five and a space.
const BYTES_PER_TOKEN: usize = 16;

/// The beginning of `text` that has the same first `tokens` tokens as the whole, and its encoding without special tokens, cut off there.
///
/// Tokens do not reach over white space, so those before the last white space of a piece are those of the whole text. A text without any
/// is taken in larger and larger pieces.
pub(super) fn head<'a>(tokenizer: &Tokenizer, text: &'a str, tokens: usize) -> Result<(&'a str, Encoding)> {
    let mut size = tokens.saturating_mul(BYTES_PER_TOKEN);
    loop {
        let piece = &text[..floor_char_boundary(text, size)];
        let whole = piece.len() == text.len();
        let mut encoding = encode(tokenizer, piece)?;
        let settled = piece.rfind(char::is_whitespace).unwrap_or(0);
        let count = encoding.get_offsets().iter().take_while(|(_, end)| *end <= settled).count();
        if whole || count >= tokens {
            encoding.truncate(tokens, 0, TruncationDirection::Right);
            return Ok((piece, encoding));
        }
        size = size.saturating_mul(4);
    }
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
            prop_assert_eq!(whole(&tokenizer, piece, tokens), whole(&tokenizer, &text, tokens));
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_looked_at() {
        let text = "hello world ".repeat(1_000_000);
        let (piece, encoding) = head(&tokenizer(), &text, 254).unwrap();
        assert_eq!((encoding.len(), piece.len()), (254, 254 * BYTES_PER_TOKEN));
    }

    #[test]
    fn words_and_gaps_without_an_end_are_read_through() {
        let tokenizer = tokenizer();
        for text in ["x".repeat(300_000) + " hello", " ".repeat(300_000) + "hello", "\u{301}".repeat(150_000) + "hello"] {
            let (piece, encoding) = head(&tokenizer, &text, 254).unwrap();
            assert_eq!(piece, text);
            assert_eq!(encoding.get_ids(), whole(&tokenizer, &text, 254));
        }
    }

    #[test]
    fn the_frame_is_counted_and_put_around() {
        let tokenizer = tokenizer();
        let (_, encoding) = head(&tokenizer, "hello world", 1).unwrap();
        assert_eq!((frame(&tokenizer), framed(&tokenizer, encoding).unwrap().get_ids()), (2, &[2, 5, 3][..]));
    }
}

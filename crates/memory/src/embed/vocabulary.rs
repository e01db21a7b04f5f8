//! Reading `tokenizer.json` fast: most of it is the vocabulary, which the general way of reading copies three times.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use ahash::AHashMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokenizers::Tokenizer;
use tokenizers::models::wordpiece::WordPiece;

/// The tokenizer of a `tokenizer.json`. Of a model other than WordPiece it is read the general way.
pub(super) fn tokenizer(json: &[u8]) -> Result<Tokenizer, String> {
    match word_piece(json) {
        Ok(Some(tokenizer)) => Ok(tokenizer),
        Ok(None) => Tokenizer::from_bytes(json).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: String,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    #[serde(borrow, default)]
    vocab: Option<&'a RawValue>,
}

fn word_piece(json: &[u8]) -> Result<Option<Tokenizer>, Box<dyn std::error::Error + Send + Sync>> {
    let parts: HashMap<&str, &RawValue> = serde_json::from_slice(json)?;
    let Some(Ok(model)) = parts.get("model").map(|model| serde_json::from_str::<Model<'_>>(model.get())) else { return Ok(None) };
    let (
        Model {
            kind,
            unk_token: Some(unknown),
            continuing_subword_prefix: Some(prefix),
            max_input_chars_per_word: Some(longest),
            ..
        },
        Some(vocabulary),
    ) = (&model, model.vocab)
    else {
        return Ok(None);
    };
    if kind != "WordPiece" {
        return Ok(None);
    }
    let Vocabulary(vocabulary) = serde_json::from_str(vocabulary.get())?;
    // The other parts are read the general way, with the tokens that they name alone.
    let mut rest = serde_json::Map::new();
    for (name, part) in parts.iter().filter(|(name, _)| **name != "model") {
        rest.insert((*name).to_owned(), serde_json::from_str(part.get())?);
    }
    let mut named = serde_json::Map::new();
    for token in rest.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
        if let Some((content, place)) = token["content"].as_str().and_then(|content| Some((content, vocabulary.get(content)?))) {
            named.insert(content.to_owned(), json!(place));
        }
    }
    let model = json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": prefix, "max_input_chars_per_word": longest, "vocab": named,
    });
    rest.insert("model".into(), model);
    let mut tokenizer = Tokenizer::from_bytes(serde_json::to_vec(&rest)?)?;
    let model = WordPiece::builder()
        .vocab(vocabulary)
        .unk_token(unknown.clone())
        .continuing_subword_prefix(prefix.clone())
        .max_input_chars_per_word(*longest)
        .build()?;
    tokenizer.with_model(model);
    Ok(Some(tokenizer))
}

struct Vocabulary(AHashMap<String, u32>);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Vocabulary, A::Error> {
                let mut vocabulary = AHashMap::with_capacity(1 << 15);
                while let Some((token, place)) = entries.next_entry::<Cow<'de, str>, u32>()? {
                    vocabulary.insert(token.into_owned(), place);
                }
                Ok(Vocabulary(vocabulary))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {

    use super::*;
    use crate::embed::tests::fixture;

    #[test]
    fn is_the_tokenizer_that_the_general_way_gives() {
        let packaged = crate::embed::tests::packaged().join("tokenizer.json");
        for path in [packaged, fixture("tiny").join("tokenizer.json")] {
            let json = std::fs::read(path).unwrap();
            let (fast, general) = (word_piece(&json).unwrap().unwrap(), Tokenizer::from_bytes(&json).unwrap());
            assert_eq!(serde_json::to_value(&fast).unwrap(), serde_json::to_value(&general).unwrap());
            for text in
                ["", "Hello, World!", "[CLS] a [MASK] b [SEP]", "\u{6d77}\u{e9}\u{301} unbelievably \u{1f680}", &"x".repeat(101)]
            {
                for special in [false, true] {
                    assert_eq!(fast.encode(text, special).unwrap(), general.encode(text, special).unwrap(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn another_model_is_read_the_general_way_and_damage_is_said() {
        let other =
            br#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":null,
            "post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{"a":0,"[UNK]":1},"unk_token":"[UNK]"}}"#;
        assert!(word_piece(other).unwrap().is_none());
        assert_eq!(tokenizer(other).unwrap().encode("a", false).unwrap().get_ids(), [0]);
        let whole = std::fs::read(fixture("tiny").join("tokenizer.json")).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 3] {
            assert!(tokenizer(&whole[..length]).is_err(), "{length}");
        }
        assert!(tokenizer(b"{}").is_err());
    }
}

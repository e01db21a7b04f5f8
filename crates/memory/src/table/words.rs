//! How the full text index cuts a text into words: case and accents folded, English words stemmed, function words left out.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use lance_index::scalar::InvertedIndexParams;
use lance_index::scalar::inverted::query::collect_query_tokens;
use lance_index::scalar::inverted::tokenizer::document_tokenizer::LanceTokenizer;
use master_agent_core::ErrorCode;

use crate::error::{Error, Result};

/// The function words of English by their classes: they say nothing of what a text is about.
const FUNCTION_WORDS: &[&str] = &[
    // articles and other determiners
    "a an the this that these those each every either neither some any no all both such another other own same few many most more much",
    // pronouns
    "i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself we us our ours ourselves \
     they them their theirs themselves one who whom whose which what",
    // forms of be, have, do, and the modal verbs
    "am is are was were be been being have has had having do does did doing done can could shall should will would may might must ought cannot",
    // prepositions
    "about above across after against along among around at before behind below beneath beside between beyond by down during except for \
     from in into near of off on onto out over past since through throughout to toward towards under until up upon via with within without",
    // conjunctions
    "and but or nor so yet if because as than then though although while whereas unless whether",
    // adverbs of place, time, degree and negation
    "here there where when why how again once only very too also just not never ever now further",
    // what is left of contractions where they are cut at the apostrophe
    "s t d ll m re ve don didn doesn isn aren wasn weren won wouldn shouldn couldn haven hasn hadn mustn needn",
];

/// Longer words than this many bytes are left out: what no query asks for. Letters of many scripts have three.
const LONGEST: usize = 120;

/// The parameters of the index, which are stored with it. Words are stemmed before they are compared with those that are left out
/// ("because" is "becaus" by then), so those are given in both forms.
pub(crate) fn text_index() -> InvertedIndexParams {
    static LEFT_OUT: OnceLock<Vec<String>> = OnceLock::new();
    let left_out = LEFT_OUT.get_or_init(|| {
        let plain = InvertedIndexParams::default().remove_stop_words(false);
        let words = FUNCTION_WORDS.iter().flat_map(|class| class.split_whitespace());
        let mut forms: BTreeSet<String> = words.clone().map(str::to_owned).collect();
        for word in words {
            forms.extend(lancedb::table::tokenize(word, &plain).into_iter().flatten().map(|token| token.text));
        }
        forms.into_iter().collect()
    });
    InvertedIndexParams::default().max_token_length(Some(LONGEST)).custom_stop_words(Some(left_out.clone()))
}

/// The words of a text, as the index has them.
pub(crate) fn words_of(text: &str) -> Result<Vec<String>> {
    static TOKENIZER: OnceLock<Box<dyn LanceTokenizer>> = OnceLock::new();
    let known = match TOKENIZER.get() {
        Some(known) => known,
        None => {
            let made = text_index().build().map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?;
            TOKENIZER.get_or_init(|| made)
        }
    };
    let tokens = collect_query_tokens(text, &mut known.clone());
    Ok((0..tokens.len()).map(|at| tokens.get_token(at).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        words_of(text).unwrap_or_default()
    }

    #[test]
    fn words_are_folded_and_stemmed_and_function_words_left_out() {
        assert_eq!(words("The Cafés were running, because of what's only there"), ["cafe", "run"]);
        assert_eq!(words("NACA-0012 läuft"), ["naca", "0012", "lauft"]);
        assert!(words("why is it not, before or during; very once?").is_empty());
    }
}

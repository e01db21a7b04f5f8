//! The names of the models that fastembed knows.

use fastembed::{EmbeddingModel, ModelInfo, RerankerModelInfo, TextEmbedding, TextRerank};
use master_agent_core::ErrorCode;

use crate::{Error, Result};

/// Finds a model by fastembed's name (`BGESmallENV15`), the hub's (`Xenova/bge-small-en-v1.5`), or that of the repository from which the
/// hub's was converted (`BAAI/bge-small-en-v1.5`). Of a quantised model and the plain one with the same name the plain one is meant.
pub(super) fn find(name: &str) -> Result<ModelInfo<EmbeddingModel>> {
    let models = TextEmbedding::list_supported_models();
    let names =
        models.iter().map(|model| Names { own: format!("{:?}", model.model), hub: &model.model_code }).collect::<Vec<_>>();
    let place = best(name, &names).ok_or_else(|| unknown("an embedding model", name, &names))?;
    Ok(models[place].clone())
}

pub(super) fn find_reranker(name: &str) -> Result<RerankerModelInfo> {
    let models = TextRerank::list_supported_models();
    let names =
        models.iter().map(|model| Names { own: format!("{:?}", model.model), hub: &model.model_code }).collect::<Vec<_>>();
    let place = best(name, &names).ok_or_else(|| unknown("a reranker", name, &names))?;
    Ok(models[place].clone())
}

struct Names<'a> {
    own: String,
    hub: &'a str,
}

/// What is left of a hub's name when owner and conversion are taken off.
fn stem(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let name = name.strip_suffix("-q").unwrap_or(&name);
    name.strip_suffix("-onnx").unwrap_or(name).to_owned()
}

fn best(name: &str, names: &[Names<'_>]) -> Option<usize> {
    let quantised = |place: &usize| names[*place].own.ends_with('Q') || names[*place].own.ends_with("Q4");
    let those = |meant: &dyn Fn(&Names<'_>) -> bool| {
        let found = (0..names.len()).filter(|&place| meant(&names[place]));
        found.min_by_key(|place| (quantised(place), *place))
    };
    those(&|names| names.own.eq_ignore_ascii_case(name))
        .or_else(|| those(&|names| names.hub.eq_ignore_ascii_case(name)))
        .or_else(|| those(&|names| stem(names.hub) == stem(name)))
}

fn unknown(kind: &str, name: &str, names: &[Names<'_>]) -> Error {
    let mut near: Vec<_> = names
        .iter()
        .map(|names| {
            (distance(&names.own.to_lowercase(), &name.to_lowercase()).min(distance(&stem(names.hub), &stem(name))), names.hub)
        })
        .collect();
    near.sort();
    near.dedup_by_key(|(_, name)| *name);
    let near = near.iter().take(3).map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    Error::new(ErrorCode::InvalidArgument, format!("{name:?} is not {kind} that is known by name. Near it: {near}."))
}

/// How many letters have to be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(200).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_its_own_name_that_of_the_hub_and_that_of_its_origin() {
        for name in ["BGESmallENV15", "bgesmallenv15", "Xenova/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", "bge-small-en-v1.5"]
        {
            assert_eq!(find(name).unwrap().model, EmbeddingModel::BGESmallENV15, "{name}");
        }
        assert_eq!(find("BGESmallENV15Q").unwrap().model, EmbeddingModel::BGESmallENV15Q);
        assert_eq!(find("Xenova/all-MiniLM-L12-v2").unwrap().model, EmbeddingModel::AllMiniLML12V2);
        assert_eq!(find("sentence-transformers/all-MiniLM-L6-v2").unwrap().model, EmbeddingModel::AllMiniLML6V2);
        assert_eq!(find_reranker("BAAI/bge-reranker-base").unwrap().model_code, "BAAI/bge-reranker-base");
    }

    #[test]
    fn every_model_is_found_by_its_own_name() {
        for model in TextEmbedding::list_supported_models() {
            assert_eq!(find(&format!("{:?}", model.model)).unwrap().model, model.model);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_near_ones() {
        let error = find("bge-smal-en").unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.to_string().contains("Xenova/bge-small-en-v1.5"), "{error}");
        assert!(find("").is_err() && find(&"x".repeat(100_000)).is_err());
        assert!(find_reranker("bge-rerank").unwrap_err().to_string().contains("BAAI/bge-reranker-base"));
    }

    #[test]
    fn distances() {
        assert_eq!((distance("", ""), distance("abc", ""), distance("kitten", "sitting")), (0, 3, 3));
    }
}

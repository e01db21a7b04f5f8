//! One order from two: vectors and words.

/// A chunk that was found. `vector` is a cosine, `text` a BM25 score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) address: u64,
    pub(crate) score: f32,
    pub(crate) vector: Option<f32>,
    pub(crate) text: Option<f32>,
}

/// The order of the vectors alone: `score` is the cosine, or 0 when that is negative.
pub(crate) fn vector(near: Vec<(u64, f32)>) -> Vec<Candidate> {
    near.into_iter()
        .map(|(address, cosine)| Candidate { address, score: cosine.clamp(0.0, 1.0), vector: Some(cosine), text: None })
        .collect()
}

/// The order of the words alone. `score` is BM25 still; see `scale`.
pub(crate) fn text(matching: Vec<(u64, f32)>) -> Vec<Candidate> {
    matching.into_iter().map(|(address, score)| Candidate { address, score, vector: None, text: Some(score) }).collect()
}

/// What both searches found: entry by entry the address, the BM25 score if words match, the length in UTF-16 code units, the vector
/// (row after row, of length 1), and which identifiers of the query the text has.
pub(crate) struct Passages {
    pub(crate) addresses: Vec<u64>,
    pub(crate) text: Vec<Option<f32>>,
    pub(crate) lengths: Vec<f32>,
    pub(crate) vectors: Vec<f32>,
    /// Per identifier of the query, whether each entry has it.
    pub(crate) identifiers: Vec<Vec<bool>>,
}

/// The part of the vectors in the sum.
const VECTOR_WEIGHT: f32 = 0.6;
/// How much the length of a passage counts in BM25: 0.4 as in Anserini. LanceDB has 0.75, made for documents of all lengths.
const LENGTH_WEIGHT: f32 = 0.4;
const LANCE_LENGTH_WEIGHT: f32 = 0.75;
const K1: f32 = 1.2;
/// Passages that the query is moved towards, and how far.
const FEEDBACK: usize = 3;
const FEEDBACK_WEIGHT: f32 = 0.4;

/// The order of what both searches found, best first: the weighted sum of cosine and BM25, each as a z-score over the candidates, after
/// the query's vector was moved towards the best passages (pseudo relevance feedback, Rocchio 1971); identifiers count as they stand.
///
/// `score` is 0 to 1: that of the first is `evidence(cosine)`, what speaks for it by itself; the others fall in proportion.
pub(crate) fn hybrid(query: &[f32], found: &Passages) -> Vec<Candidate> {
    let width = query.len().max(1);
    let vectors: Vec<&[f32]> = found.vectors.chunks_exact(width).collect();
    let cosines: Vec<f32> = vectors.iter().map(|vector| dot(vector, query)).collect();
    let mean = found.lengths.iter().sum::<f32>() / (found.lengths.len().max(1) as f32);
    let text: Vec<f32> = found
        .text
        .iter()
        .zip(&found.lengths)
        .map(|(score, length)| score.map_or(0.0, |score| score * relength(length / mean.max(1.0))))
        .collect();
    let words = standard(&text);
    let sum = |near: &[f32]| -> Vec<f32> {
        standard(near).iter().zip(&words).map(|(near, words)| VECTOR_WEIGHT * near + (1.0 - VECTOR_WEIGHT) * words).collect()
    };
    let mut scores = sum(&moved(&cosines, &vectors, &sum(&cosines), width));
    for has in &found.identifiers {
        let count = has.iter().filter(|has| **has).count();
        if count > 0 && count < has.len() {
            let rarity = (has.len() as f32 / count as f32).ln();
            scores.iter_mut().zip(has).filter(|(_, has)| **has).for_each(|(score, _)| *score += rarity);
        }
    }
    let mut all: Vec<Candidate> = scores
        .iter()
        .enumerate()
        .map(|(at, score)| Candidate {
            address: found.addresses[at],
            score: *score,
            vector: Some(cosines[at]),
            text: found.text[at],
        })
        .collect();
    all.sort_by(|left, right| right.score.total_cmp(&left.score).then(left.address.cmp(&right.address)));
    all
}

/// A score of `hybrid` or of BM25 as 0 to 1: that of the best is `evidence`, that of the last of all candidates 0.
pub(crate) fn scale(score: f32, best: f32, least: f32, evidence: f32) -> f32 {
    let range = best - least;
    let part = if range > 0.0 { (score - least) / range } else { 1.0 };
    (evidence * part).clamp(0.0, 1.0)
}

/// What speaks for the first hit: its cosine, or that and the share of the query's words that it has.
pub(crate) fn evidence(cosine: f32, covered: Option<f32>) -> f32 {
    let cosine = cosine.max(0.0);
    match covered {
        Some(covered) => cosine.max(VECTOR_WEIGHT * cosine + (1.0 - VECTOR_WEIGHT) * covered),
        None => cosine,
    }
}

/// The cosines after the query was moved towards the best passages by `first`.
fn moved(cosines: &[f32], vectors: &[&[f32]], first: &[f32], width: usize) -> Vec<f32> {
    let mut best: Vec<usize> = (0..first.len()).collect();
    best.sort_unstable_by(|left, right| first[*right].total_cmp(&first[*left]).then(left.cmp(right)));
    let (Some(top), Some(last)) = (best.first().map(|at| first[*at]), best.last().map(|at| first[*at])) else {
        return Vec::new();
    };
    let mut towards = vec![0.0_f32; width];
    for at in best.iter().take(FEEDBACK) {
        let weight = if top > last { ((first[*at] - last) / (top - last)).powi(4) } else { 1.0 };
        towards.iter_mut().zip(vectors[*at]).for_each(|(sum, value)| *sum += weight * value);
    }
    let length = dot(&towards, &towards).sqrt();
    let near = |vector: &[f32]| if length > 0.0 { dot(&towards, vector) / length } else { 0.0 };
    cosines
        .iter()
        .zip(vectors)
        .map(|(cosine, vector)| (1.0 - FEEDBACK_WEIGHT) * cosine + FEEDBACK_WEIGHT * near(vector))
        .collect()
}

/// How many standard deviations each value is above the mean; all 0 when they are the same.
fn standard(values: &[f32]) -> Vec<f32> {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt().max(1e-6);
    values.iter().map(|value| (value - mean) / deviation).collect()
}

/// What turns a BM25 score with LanceDB's weight of length into one with ours; `relative` to the mean length.
fn relength(relative: f32) -> f32 {
    let norm = |weight: f32| 1.0 + K1 * (1.0 - weight + weight * relative);
    norm(LANCE_LENGTH_WEIGHT) / norm(LENGTH_WEIGHT)
}

pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    // Sums beside each other, so that the compiler can use wide registers.
    let mut sums = [0.0_f32; 16];
    let (left, left_rest) = left.as_chunks::<16>();
    let (right, right_rest) = right.as_chunks::<16>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..16 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    sums.iter().sum::<f32>() + left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(values: &[f32]) -> Vec<f32> {
        let length = dot(values, values).sqrt();
        values.iter().map(|value| value / length).collect()
    }

    fn passages(entries: &[(&[f32], Option<f32>)]) -> Passages {
        Passages {
            addresses: (0..entries.len() as u64).collect(),
            text: entries.iter().map(|(_, text)| *text).collect(),
            lengths: vec![100.0; entries.len()],
            vectors: entries.iter().flat_map(|(vector, _)| unit(vector)).collect(),
            identifiers: Vec::new(),
        }
    }

    fn order(found: &[Candidate]) -> Vec<u64> {
        found.iter().map(|one| one.address).collect()
    }

    #[test]
    fn what_is_best_in_both_is_first_and_has_the_evidence_as_its_score() {
        let query = unit(&[1.0, 0.0, 0.0]);
        let entries: [(&[f32], Option<f32>); 3] =
            [(&[0.2, 1.0, 0.0], Some(1.0)), (&[1.0, 0.1, 0.0], Some(5.0)), (&[0.0, 0.0, 1.0], None)];
        let mut found = hybrid(&query, &passages(&entries));
        assert_eq!(order(&found), [1, 0, 2]);
        let least = found[2].score;
        let best = found[0].score;
        found.iter_mut().for_each(|one| one.score = scale(one.score, best, least, 0.9));
        assert!((found[0].score - 0.9).abs() < 1e-6 && found[2].score == 0.0, "{found:?}");
        assert!(found[1].score > 0.0 && found[1].score < 0.9, "{found:?}");
        assert_eq!(found[2].text, None);
    }

    #[test]
    fn an_identifier_wins_over_vectors_that_are_near() {
        let query = unit(&[1.0, 0.0]);
        let mut entries: Vec<(Vec<f32>, Option<f32>)> = (0..100).map(|n| (vec![1.0, 0.01 * n as f32], Some(1.0))).collect();
        entries.push((vec![0.1, 1.0], Some(1.2)));
        let borrowed: Vec<(&[f32], Option<f32>)> = entries.iter().map(|(vector, text)| (vector.as_slice(), *text)).collect();
        let mut given = passages(&borrowed);
        assert_ne!(hybrid(&query, &given)[0].address, 100);
        given.identifiers = vec![(0..101).map(|at| at == 100).collect()];
        assert_eq!(hybrid(&query, &given)[0].address, 100);
    }

    #[test]
    fn the_evidence_is_the_cosine_at_least() {
        assert!((evidence(1.0, Some(0.0)) - 1.0).abs() < 1e-6);
        assert!((evidence(0.1, Some(1.0)) - 0.46).abs() < 1e-6);
        assert_eq!(evidence(-0.5, None), 0.0);
    }

    #[test]
    fn words_alone_decide_between_equal_vectors_and_vectors_between_equal_words() {
        let query = unit(&[1.0, 0.0]);
        let found = hybrid(&query, &passages(&[(&[1.0, 0.2], None), (&[1.0, 0.2], Some(9.0)), (&[1.0, 0.2], Some(3.0))]));
        assert_eq!(order(&found), [1, 2, 0]);
        let found = hybrid(&query, &passages(&[(&[0.1, 1.0], None), (&[1.0, 0.1], None), (&[0.5, 0.5], None)]));
        assert_eq!(order(&found), [1, 2, 0]);
    }

    #[test]
    fn nothing_and_opposite_directions_have_answers() {
        assert_eq!(hybrid(&[1.0, 0.0], &passages(&[])), []);
        let query = unit(&[1.0, 0.0]);
        let found = hybrid(&query, &passages(&[(&[-1.0, 0.0], None), (&[-1.0, 0.5], Some(2.0))]));
        assert_eq!(order(&found), [1, 0]);
        assert!(found.iter().all(|one| one.score.is_finite()), "{found:?}");
    }

    #[test]
    fn a_long_passage_loses_less_than_with_the_weight_of_the_index() {
        assert!((relength(1.0) - 1.0).abs() < 1e-6);
        assert!(relength(2.0) > 1.0 && relength(0.5) < 1.0);
    }

    #[test]
    fn dot_is_the_sum_of_products_at_every_length() {
        for length in [0, 1, 15, 16, 17, 384] {
            let left: Vec<f32> = (0..length).map(|n| n as f32 * 0.25).collect();
            let right: Vec<f32> = (0..length).map(|n| 1.0 - n as f32 * 0.5).collect();
            let plain: f64 = left.iter().zip(&right).map(|(l, r)| f64::from(*l) * f64::from(*r)).sum();
            assert!((f64::from(dot(&left, &right)) - plain).abs() <= plain.abs() * 1e-5 + 1e-6);
        }
    }
}

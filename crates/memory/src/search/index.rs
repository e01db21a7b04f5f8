//! The full text index asked directly: a plan of LanceDB's, made for any query, takes longer than the search itself.

use std::sync::Arc;

use async_trait::async_trait;
use lance::dataset::Dataset;
use lance::dataset::scanner::{RowAddrMask, RowAddrTreeMap};
use lance::index::{DatasetIndexExt, DatasetIndexInternalExt};
use lance_index::metrics::NoOpMetricsCollector;
use lance_index::prefilter::PreFilter;
use lance_index::scalar::inverted::query::{FtsSearchParams, Operator, collect_query_tokens};
use lance_index::scalar::inverted::{InvertedIndex, prepare_bm25_query};
use roaring::RoaringBitmap;

use crate::table::TEXT_INDEX;
use crate::table::resident::Visible;
use crate::table::rows::TEXT;

/// The `depth` chunks of `visible` whose words match best: address and BM25 score, in no order. `None` when the index does not know
/// every file yet.
pub(crate) async fn matching(
    dataset: &Arc<Dataset>,
    text: &str,
    depth: usize,
    visible: &[Visible],
) -> lance::Result<Option<Vec<(u64, f32)>>> {
    let mut known = RoaringBitmap::new();
    let mut segments = Vec::new();
    for index in dataset.load_indices().await?.iter().filter(|index| index.name == TEXT_INDEX) {
        let Some(fragments) = &index.fragment_bitmap else { return Ok(None) };
        known |= fragments;
        let opened = dataset.open_scalar_index(TEXT, &index.uuid, &NoOpMetricsCollector).await?;
        let Some(segment) = opened.as_any().downcast_ref::<InvertedIndex>() else { return Ok(None) };
        segments.push(Arc::new(segment.clone()));
    }
    let fragments: RoaringBitmap = dataset.fragments().iter().map(|fragment| fragment.id as u32).collect();
    let Some(first) = segments.first().filter(|_| fragments.is_subset(&known)) else { return Ok(None) };
    let tokens = collect_query_tokens(text, &mut first.tokenizer());
    let params = FtsSearchParams::new().with_limit(Some(depth));
    let query = Arc::new(prepare_bm25_query(&segments, tokens, &params, None, None).await?);
    let params = Arc::new(params);
    let all = visible.len() == dataset.fragments().len() && fragments == known && visible.iter().all(|one| one.only.is_none());
    let restriction = Arc::new(Restriction(Arc::new(if all { RowAddrMask::all_rows() } else { allowed(visible) })));
    let mut found = Vec::new();
    for segment in &segments {
        let (query, params) = (Arc::clone(&query), Arc::clone(&params));
        let metrics = Arc::new(NoOpMetricsCollector);
        let (rows, scores) =
            segment.bm25_search_prepared(query, params, Operator::Or, Arc::clone(&restriction) as _, metrics).await?;
        found.extend(rows.into_iter().zip(scores));
    }
    Ok(Some(found))
}

fn allowed(visible: &[Visible]) -> RowAddrMask {
    let mut rows = RowAddrTreeMap::new();
    for one in visible {
        match &one.only {
            Some(only) => rows.insert_bitmap(one.fragment, (**only).clone()),
            None => rows.insert_fragment(one.fragment),
        }
    }
    RowAddrMask::from_allowed(rows)
}

/// Rows that are known before the search begins.
struct Restriction(Arc<RowAddrMask>);

#[async_trait]
impl PreFilter for Restriction {
    async fn wait_for_ready(&self) -> lance::Result<()> {
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_select_all()
    }

    fn mask(&self) -> Arc<RowAddrMask> {
        Arc::clone(&self.0)
    }

    fn filter_row_ids<'a>(&self, row_ids: Box<dyn Iterator<Item = &'a u64> + 'a>) -> Vec<u64> {
        self.0.selected_indices(row_ids)
    }
}

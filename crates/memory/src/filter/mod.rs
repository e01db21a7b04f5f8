//! Filters: which documents are meant, said as data.
//!
//! `parse` reads a filter, `matches` defines what it means, `columns` holds the fields of many documents in a form
//! that a filter is evaluated on in microseconds, and `merge` changes metadata. Where the documents come from and
//! how long columns are kept is the business of the search.
//!
//! **`evaluate` finds exactly the rows that `matches` does.**

mod columns;
mod literal;
mod merge;
mod number;
mod parse;
mod path;
mod postings;
mod reader;

use std::collections::BTreeSet;

use roaring::RoaringBitmap;
use serde_json::Value;

pub use columns::Columns;
pub use merge::merge;
pub use path::Path;

use crate::error::Result;
use literal::{Comparison, Literals};

/// Filters nest at most this deep.
pub const MAX_DEPTH: usize = 32;
/// A filter has at most this many conditions.
pub const MAX_CONDITIONS: usize = 1_000;
/// The lists of a filter's `in` and `nin` have at most this many values together.
pub const MAX_VALUES: usize = 100_000;

/// A condition on the metadata of a document.
///
/// ```
/// use master_agent_memory::filter::Filter;
/// use serde_json::json;
///
/// let filter = Filter::parse(&json!({ "source": "user", "year": { "gte": 2024 } }))?;
/// assert!(filter.matches(&json!({ "source": "user", "year": 2025 })));
/// assert!(!filter.matches(&json!({ "source": "user", "year": "2025" })));
/// # Ok::<(), master_agent_memory::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Filter {
    root: Condition,
}

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Field(Path, Test),
}

/// What one of the values of a field must be; the elements of an array are tried beside the array itself.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Exists,
    In(Literals),
    Compare(Comparison),
    Contains(String),
    StartsWith(String),
}

impl Filter {
    /// Reads a filter from JSON.
    ///
    /// # Errors
    /// `ERR_INPUT_INVALID`, with the place in the filter (`filter.year.gte: …`).
    pub fn parse(json: &Value) -> Result<Self> {
        parse::parse(json).map(|root| Self { root })
    }

    /// Whether a document with this metadata is meant. What is not an object has no fields.
    pub fn matches(&self, metadata: &Value) -> bool {
        self.root.matches(metadata)
    }

    /// The fields that the filter reads, each once, in order.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = BTreeSet::new();
        self.root.paths(&mut paths);
        paths.into_iter().collect()
    }

    /// Whether it lets every document through, without a look at any.
    pub fn is_empty(&self) -> bool {
        matches!(&self.root, Condition::All(conditions) if conditions.is_empty())
    }

    /// The rows that match.
    ///
    /// # Errors
    /// `ERR_INTERNAL` when the columns lack one of `paths()`, so that no row comes through unseen.
    pub fn evaluate(&self, columns: &Columns) -> Result<RoaringBitmap> {
        self.root.evaluate(columns)
    }
}

impl Condition {
    fn matches(&self, metadata: &Value) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.matches(metadata)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.matches(metadata)),
            Self::Not(condition) => !condition.matches(metadata),
            Self::Field(path, test) => path.any(metadata, &mut |value| test.holds(value)),
        }
    }

    fn paths(&self, found: &mut BTreeSet<Path>) {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().for_each(|condition| condition.paths(found)),
            Self::Not(condition) => condition.paths(found),
            Self::Field(path, _) => {
                found.insert(path.clone());
            }
        }
    }

    fn evaluate(&self, columns: &Columns) -> Result<RoaringBitmap> {
        Ok(match self {
            Self::All(conditions) => {
                let mut rows: Option<RoaringBitmap> = None;
                for condition in conditions {
                    let found = condition.evaluate(columns)?;
                    let both = match rows {
                        None => found,
                        Some(rows) => rows & found,
                    };
                    if both.is_empty() {
                        return Ok(both);
                    }
                    rows = Some(both);
                }
                rows.unwrap_or_else(|| columns.all())
            }
            Self::Any(conditions) => {
                let mut rows = RoaringBitmap::new();
                for condition in conditions {
                    rows |= condition.evaluate(columns)?;
                }
                rows
            }
            Self::Not(condition) => columns.all() - condition.evaluate(columns)?,
            Self::Field(path, test) => columns.get(path)?.rows(test, columns.rows()),
        })
    }
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        self.holds_for(value) || matches!(value, Value::Array(elements) if elements.iter().any(|element| self.holds_for(element)))
    }

    fn holds_for(&self, value: &Value) -> bool {
        match self {
            Self::Exists => true,
            Self::In(literals) => literals.has(value),
            Self::Compare(comparison) => comparison.holds(value),
            Self::Contains(part) => value.as_str().is_some_and(|text| text.contains(part.as_str())),
            Self::StartsWith(start) => value.as_str().is_some_and(|text| text.starts_with(start.as_str())),
        }
    }
}

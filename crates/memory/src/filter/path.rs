//! The field that a condition reads.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// A dotted path: `author.name` is the key `name` in the object under `author`, or the key `author.name` as it stands.
/// On its way it goes into the objects that an array holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

impl Path {
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the test holds for one of the values that the path leads to.
    pub(crate) fn any(&self, metadata: &Value, test: &mut dyn FnMut(&Value) -> bool) -> bool {
        any(metadata, &self.0, test)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn any(value: &Value, path: &str, test: &mut dyn FnMut(&Value) -> bool) -> bool {
    let Value::Object(fields) = value else { return false };
    if fields.get(path).is_some_and(&mut *test) {
        return true;
    }
    path.match_indices('.').any(|(dot, _)| match fields.get(&path[..dot]) {
        Some(Value::Array(elements)) => elements.iter().any(|element| any(element, &path[dot + 1..], test)),
        Some(inner) => any(inner, &path[dot + 1..], test),
        None => false,
    })
}

//! Reads the fields at some paths out of a JSON text, and passes over the rest of it.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::number::Num;
use super::path::Path;

/// A value that a path leads to.
pub(crate) enum Found<'de> {
    Null,
    Bool(bool),
    Number(Num),
    Text(Cow<'de, str>),
    Compound(Value),
}

impl Found<'_> {
    fn of(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(Num::new(&number)),
            Value::String(text) => Self::Text(Cow::Owned(text)),
            compound => Self::Compound(compound),
        }
    }
}

/// The paths as a graph: a node for every beginning that ends with a dot, an edge for every key that can follow it.
pub(crate) struct Reader<'p> {
    paths: Vec<&'p Path>,
    nodes: Vec<Node<'p>>,
}

#[derive(Default)]
struct Node<'p> {
    edges: Vec<Edge<'p>>,
    /// Only where there are too many edges to look through.
    by_key: HashMap<&'p str, usize>,
}

struct Edge<'p> {
    key: &'p str,
    /// The path that ends with this key.
    ends: Option<usize>,
    /// The node of those that go on.
    goes_on: Option<usize>,
}

const FEW_EDGES: usize = 8;

impl<'p> Reader<'p> {
    pub(crate) fn new(paths: &'p [Path]) -> Self {
        let paths: Vec<&Path> = paths.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut nodes = vec![Node::default()];
        let mut by_beginning: HashMap<&str, usize> = HashMap::from([("", 0)]);
        for (index, path) in paths.iter().enumerate() {
            let path = path.as_str();
            let beginnings: Vec<usize> = std::iter::once(0).chain(path.match_indices('.').map(|(dot, _)| dot + 1)).collect();
            for (number, &from) in beginnings.iter().enumerate() {
                let node = node_of(&path[..from], &mut nodes, &mut by_beginning);
                for &to in &beginnings[number + 1..] {
                    let next = node_of(&path[..to], &mut nodes, &mut by_beginning);
                    nodes[node].edge(&path[from..to - 1]).goes_on = Some(next);
                }
                nodes[node].edge(&path[from..]).ends = Some(index);
            }
        }
        Self { paths, nodes }
    }

    /// The paths that the numbers of what is found mean.
    pub(crate) fn paths(&self) -> &[&'p Path] {
        &self.paths
    }

    /// Adds what is found; nothing when the text is not JSON.
    pub(crate) fn read<'de>(&self, text: &'de str, found: &mut Vec<(usize, Found<'de>)>) {
        let begun = found.len();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let inner = Inner { reader: self, node: 0, found, into_arrays: false };
        if inner.deserialize(&mut deserializer).and_then(|()| deserializer.end()).is_err() {
            found.truncate(begun);
        }
    }

    /// The same for a value that had to be read as a whole.
    fn walk<'de>(&self, node: usize, value: &Value, found: &mut Vec<(usize, Found<'de>)>, into_arrays: bool) {
        match value {
            Value::Object(fields) => self.walk_fields(node, fields, found),
            Value::Array(elements) if into_arrays => elements.iter().for_each(|element| self.walk(node, element, found, false)),
            _ => {}
        }
    }

    fn walk_fields<'de>(&self, node: usize, fields: &Map<String, Value>, found: &mut Vec<(usize, Found<'de>)>) {
        for (key, value) in fields {
            let Some(edge) = self.nodes[node].find(key) else { continue };
            let Edge { ends, goes_on, .. } = self.nodes[node].edges[edge];
            if let Some(path) = ends {
                found.push((path, Found::of(value.clone())));
            }
            if let Some(next) = goes_on {
                self.walk(next, value, found, true);
            }
        }
    }
}

fn node_of<'p>(beginning: &'p str, nodes: &mut Vec<Node<'p>>, by_beginning: &mut HashMap<&'p str, usize>) -> usize {
    *by_beginning.entry(beginning).or_insert_with(|| {
        nodes.push(Node::default());
        nodes.len() - 1
    })
}

impl<'p> Node<'p> {
    fn find(&self, key: &str) -> Option<usize> {
        if self.by_key.is_empty() { self.edges.iter().position(|edge| edge.key == key) } else { self.by_key.get(key).copied() }
    }

    fn edge(&mut self, key: &'p str) -> &mut Edge<'p> {
        let index = self.find(key).unwrap_or_else(|| {
            self.edges.push(Edge { key, ends: None, goes_on: None });
            let last = self.edges.len() - 1;
            if !self.by_key.is_empty() {
                self.by_key.insert(key, last);
            } else if last >= FEW_EDGES {
                self.by_key = self.edges.iter().enumerate().map(|(index, edge)| (edge.key, index)).collect();
            }
            last
        });
        &mut self.edges[index]
    }
}

/// A value whose fields are looked through for the keys of a node.
struct Inner<'r, 'p, 'de> {
    reader: &'r Reader<'p>,
    node: usize,
    found: &'r mut Vec<(usize, Found<'de>)>,
    into_arrays: bool,
}

impl<'de> DeserializeSeed<'de> for Inner<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if !self.into_arrays {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let Self { reader, node, found, .. } = self;
        while elements.next_element_seed(Inner { reader, node, found: &mut *found, into_arrays: false })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { reader, node, found, .. } = self;
        let mut seen: Vec<(usize, Range<usize>)> = Vec::new();
        while let Some(edge) = fields.next_key_seed(Key(&reader.nodes[node]))? {
            let Some(index) = edge else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            // Of a key that comes twice the last one counts.
            if let Some(again) = seen.iter().position(|(seen, _)| *seen == index) {
                let (_, earlier) = seen.swap_remove(again);
                found.drain(earlier.clone());
                for (_, range) in seen.iter_mut().filter(|(_, range)| range.start >= earlier.end) {
                    *range = range.start - earlier.len()..range.end - earlier.len();
                }
            }
            let begun = found.len();
            let edge = &reader.nodes[node].edges[index];
            match (edge.ends, edge.goes_on) {
                (Some(path), None) => {
                    let value = fields.next_value_seed(Whole)?;
                    found.push((path, value));
                }
                (None, Some(next)) => {
                    fields.next_value_seed(Inner { reader, node: next, found: &mut *found, into_arrays: true })?
                }
                (path, next) => {
                    let value: Value = fields.next_value()?;
                    if let Some(next) = next {
                        reader.walk(next, &value, found, true);
                    }
                    if let Some(path) = path {
                        found.push((path, Found::of(value)));
                    }
                }
            }
            seen.push((index, begun..found.len()));
        }
        Ok(())
    }
}

/// A key, as the number of the edge that has it.
struct Key<'r, 'p>(&'r Node<'p>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.find(key))
    }
}

/// A value as it is, a string without a copy where the JSON text has it as it stands.
struct Whole;

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Found<'de>, E> {
        Ok(Found::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Found<'de>, E> {
        Ok(Found::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Found<'de>, E> {
        Ok(Found::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Found<'de>, E> {
        Ok(Found::Number(number.into()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(Found::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Found<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element()? {
            values.push(value);
        }
        Ok(Found::Compound(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Found<'de>, A::Error> {
        let mut object = Map::new();
        while let Some((key, value)) = fields.next_entry::<String, Value>()? {
            object.insert(key, value);
        }
        Ok(Found::Compound(Value::Object(object)))
    }
}

//! Reading answers. What is not of the expected kind reads as empty: the callers check what they need.

use master_agent_core::JobId;
use redis::Value;

pub(crate) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.as_bytes(),
        _ => &[],
    }
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

pub(crate) fn into_list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => Vec::new(),
    }
}

pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Double(number) => Some(*number as i64),
        _ => text(value)?.parse().ok(),
    }
}

pub(crate) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(text)
}

pub(crate) fn ids(value: &Value) -> Vec<JobId> {
    list(value).iter().filter_map(integer).map(JobId).collect()
}

/// A hash, whichever way it came.
pub(crate) fn pairs(value: &Value) -> Vec<(&str, &str)> {
    match value {
        Value::Map(pairs) => pairs.iter().filter_map(|(key, value)| text(key).zip(text(value))).collect(),
        Value::Array(items) => items.chunks_exact(2).filter_map(|pair| text(&pair[0]).zip(text(&pair[1]))).collect(),
        _ => Vec::new(),
    }
}

//! The values that a filter compares with.

use serde_json::Value;

use super::number::Num;

/// A set of JSON values, by type, each part sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Literals {
    pub(crate) strings: Vec<String>,
    pub(crate) numbers: Vec<Num>,
    /// Arrays and objects in their canonical form.
    pub(crate) compounds: Vec<String>,
    pub(crate) null: bool,
    pub(crate) yes: bool,
    pub(crate) no: bool,
}

impl Literals {
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut literals = Self::default();
        for value in values {
            match value {
                Value::Null => literals.null = true,
                Value::Bool(true) => literals.yes = true,
                Value::Bool(false) => literals.no = true,
                Value::Number(number) => literals.numbers.push(Num::new(number)),
                Value::String(text) => literals.strings.push(text.clone()),
                Value::Array(_) | Value::Object(_) => literals.compounds.push(canonical(value)),
            }
        }
        literals.numbers.sort_unstable();
        literals.numbers.dedup();
        literals.strings.sort_unstable();
        literals.strings.dedup();
        literals.compounds.sort_unstable();
        literals.compounds.dedup();
        literals
    }

    pub(crate) fn has(&self, value: &Value) -> bool {
        match value {
            Value::Null => self.null,
            Value::Bool(true) => self.yes,
            Value::Bool(false) => self.no,
            Value::Number(number) => self.numbers.binary_search(&Num::new(number)).is_ok(),
            Value::String(text) => self.strings.binary_search(text).is_ok(),
            Value::Array(_) | Value::Object(_) => {
                !self.compounds.is_empty() && self.compounds.binary_search(&canonical(value)).is_ok()
            }
        }
    }
}

/// Numbers are compared with numbers and strings with strings, by code points; all else is out of order.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) order: Order,
    pub(crate) bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone)]
pub(crate) enum Bound {
    Number(Num),
    Text(String),
}

impl Comparison {
    pub(crate) fn holds(&self, value: &Value) -> bool {
        let ordering = match (value, &self.bound) {
            (Value::Number(number), Bound::Number(bound)) => Num::new(number).cmp(bound),
            (Value::String(text), Bound::Text(bound)) => text.as_str().cmp(bound),
            _ => return false,
        };
        match self.order {
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
        }
    }
}

/// A text that two values share exactly when they are equal: keys sorted, each number in one form.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    use std::fmt::Write;
    match value {
        Value::Number(number) => {
            // Writing to a string cannot fail.
            let _ = match Num::new(number) {
                Num::Int(int) => write!(text, "{int}"),
                Num::Float(float) => write!(text, "{float:e}"),
            };
        }
        Value::Array(elements) => {
            text.push('[');
            for element in elements {
                write(element, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for key in keys {
                let _ = write!(text, "{}:", Value::String(key.clone()));
                write(&fields[key], text);
                text.push(',');
            }
            text.push('}');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

//! Reads filters. Nothing of a filter becomes part of a query in another language, so there is nothing to inject into.

use master_agent_core::ErrorCode;
use serde_json::{Map, Value};

use super::literal::{Bound, Comparison, Literals, Order};
use super::number::Num;
use super::path::Path;
use super::{Condition, MAX_CONDITIONS, MAX_DEPTH, MAX_VALUES, Test};
use crate::error::{Error, Result};

/// A path has at most this many bytes.
const MAX_PATH: usize = 1_024;

const OPERATORS: [&str; 14] =
    ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists", "contains", "startsWith", "and", "or", "not"];

/// Names that other databases give to these operators.
const OTHER_NAMES: [(&str, &str); 20] = [
    ("equal", "eq"),
    ("equals", "eq"),
    ("neq", "ne"),
    ("noteq", "ne"),
    ("notequal", "ne"),
    ("notequals", "ne"),
    ("ge", "gte"),
    ("greaterthan", "gt"),
    ("greaterthanorequal", "gte"),
    ("le", "lte"),
    ("lessthan", "lt"),
    ("lessthanorequal", "lte"),
    ("notin", "nin"),
    ("exist", "exists"),
    ("contain", "contains"),
    ("includes", "contains"),
    ("prefix", "startsWith"),
    ("startwith", "startsWith"),
    ("beginswith", "startsWith"),
    ("nor", "not"),
];

pub(crate) fn parse(json: &Value) -> Result<Condition> {
    let mut parser = Parser { conditions: 0, values: 0 };
    parser.filter(json, &Place::Root, 1)
}

/// Where in the filter the parser is, for messages.
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn write(&self, text: &mut String) {
        match self {
            Self::Root => text.push_str("filter"),
            Self::Key(parent, key) => {
                parent.write(text);
                if !key.is_empty() && key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_$-.".contains(&b)) {
                    text.push('.');
                    text.push_str(key);
                } else {
                    text.push_str(&format!("[{}]", quoted(key)));
                }
            }
            Self::Index(parent, index) => {
                parent.write(text);
                text.push_str(&format!("[{index}]"));
            }
        }
    }

    fn error(&self, problem: impl std::fmt::Display) -> Error {
        let mut place = String::new();
        self.write(&mut place);
        Error::new(ErrorCode::InvalidArgument, format!("{place}: {problem}"))
    }
}

fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Value::String(shown).to_string()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

struct Parser {
    conditions: usize,
    values: usize,
}

impl Parser {
    /// A whole filter: `and`, `or`, `not`, and fields.
    fn filter(&mut self, json: &Value, place: &Place<'_>, depth: usize) -> Result<Condition> {
        check_depth(place, depth)?;
        let Value::Object(entries) = json else {
            return Err(place.error(format_args!("must be an object, not {}", kind(json))));
        };
        let mut conditions = Vec::with_capacity(entries.len().min(MAX_CONDITIONS));
        for (key, value) in entries {
            let here = Place::Key(place, key);
            conditions.push(match key.as_str() {
                "and" => Condition::All(self.filters(value, &here, depth)?),
                "or" => Condition::Any(self.filters(value, &here, depth)?),
                "not" => Condition::Not(Box::new(self.filter(value, &here, depth + 1)?)),
                _ => {
                    if let Some(operator) =
                        key.strip_prefix('$').and_then(near).filter(|near| ["and", "or", "not"].contains(near))
                    {
                        return Err(here.error(format_args!("is not an operator; did you mean {operator}?")));
                    }
                    self.field(key.clone(), value, &here, depth + 1)?
                }
            });
        }
        Ok(one_or_all(conditions))
    }

    fn filters(&mut self, json: &Value, place: &Place<'_>, depth: usize) -> Result<Vec<Condition>> {
        let elements = self.list(json, place, "filters")?;
        elements.iter().enumerate().map(|(index, json)| self.filter(json, &Place::Index(place, index), depth + 1)).collect()
    }

    fn list<'a>(&mut self, json: &'a Value, place: &Place<'_>, of: &str) -> Result<&'a Vec<Value>> {
        let Value::Array(elements) = json else {
            return Err(place.error(format_args!("must be an array of {of}, not {}", kind(json))));
        };
        self.conditions(place, 1)?;
        Ok(elements)
    }

    fn conditions(&mut self, place: &Place<'_>, more: usize) -> Result<()> {
        self.conditions += more;
        if self.conditions > MAX_CONDITIONS {
            return Err(place.error(format_args!("is one condition too many: a filter has at most {MAX_CONDITIONS}")));
        }
        Ok(())
    }

    /// What a field must be: a value, operators, or the fields of the object that it holds.
    fn field(&mut self, path: String, json: &Value, place: &Place<'_>, depth: usize) -> Result<Condition> {
        check_depth(place, depth)?;
        check_path(&path, place)?;
        let Value::Object(entries) = json else {
            self.conditions(place, 1)?;
            return Ok(Condition::Field(Path::new(&path), Test::In(Literals::new([json]))));
        };
        if entries.is_empty() {
            return Err(place.error("is an empty object; say { exists: true } or, for an empty object as the value, { eq: {} }"));
        }
        let operators = entries.keys().filter(|key| is_operator(key)).count();
        if operators == entries.len() {
            self.operators(&path, entries, place, depth)
        } else if operators == 0 {
            self.fields(&path, entries, place, depth)
        } else {
            Err(mixed(&path, entries, place))
        }
    }

    fn fields(&mut self, path: &str, entries: &Map<String, Value>, place: &Place<'_>, depth: usize) -> Result<Condition> {
        let mut conditions = Vec::with_capacity(entries.len().min(MAX_CONDITIONS));
        for (key, value) in entries {
            let here = Place::Key(place, key);
            if key.starts_with('$') || near(key).is_some() {
                return Err(unknown(path, key, near(key), &here));
            }
            conditions.push(self.field(format!("{path}.{key}"), value, &here, depth + 1)?);
        }
        Ok(one_or_all(conditions))
    }

    fn operators(&mut self, path: &str, entries: &Map<String, Value>, place: &Place<'_>, depth: usize) -> Result<Condition> {
        let mut conditions = Vec::with_capacity(entries.len());
        for (operator, operand) in entries {
            let here = Place::Key(place, operator);
            conditions.push(self.operator(path, operator, operand, &here, depth)?);
        }
        Ok(one_or_all(conditions))
    }

    fn operator(&mut self, path: &str, operator: &str, operand: &Value, place: &Place<'_>, depth: usize) -> Result<Condition> {
        match operator {
            "and" => return Ok(Condition::All(self.alternatives(path, operand, place, depth)?)),
            "or" => return Ok(Condition::Any(self.alternatives(path, operand, place, depth)?)),
            "not" => return Ok(Condition::Not(Box::new(self.field(path.to_owned(), operand, place, depth + 1)?))),
            _ => self.conditions(place, 1)?,
        }
        let wrong = |wanted: &str| {
            let problem = format!("must be {wanted}, not {} (a field of that name is ", kind(operand));
            place.error(problem + &quoted(&format!("{path}.{operator}")) + ")")
        };
        let text = || operand.as_str().map(str::to_owned).ok_or_else(|| wrong("a string"));
        let compare = |order| {
            let bound = match operand {
                Value::Number(number) => Bound::Number(Num::new(number)),
                Value::String(text) => Bound::Text(text.clone()),
                _ => return Err(place.error(format_args!("must be a number or a string, not {}", kind(operand)))),
            };
            Ok(Test::Compare(Comparison { order, bound }))
        };
        let (test, negated) = match operator {
            "eq" => (Test::In(Literals::new([operand])), false),
            "ne" => (Test::In(Literals::new([operand])), true),
            "gt" => (compare(Order::Greater)?, false),
            "gte" => (compare(Order::GreaterOrEqual)?, false),
            "lt" => (compare(Order::Less)?, false),
            "lte" => (compare(Order::LessOrEqual)?, false),
            "contains" => (Test::Contains(text()?), false),
            "startsWith" => (Test::StartsWith(text()?), false),
            "exists" => (Test::Exists, !operand.as_bool().ok_or_else(|| wrong("true or false"))?),
            // `in` and `nin`: the closed set has no others.
            _ => {
                let values = operand.as_array().ok_or_else(|| wrong("an array of values"))?;
                self.values += values.len();
                if self.values > MAX_VALUES {
                    return Err(place.error(format_args!("has too many values: a filter lists at most {MAX_VALUES}")));
                }
                (Test::In(Literals::new(values)), operator == "nin")
            }
        };
        let field = Condition::Field(Path::new(path), test);
        Ok(if negated { Condition::Not(Box::new(field)) } else { field })
    }

    /// `and` and `or` under a field: each element is what the field must be.
    fn alternatives(&mut self, path: &str, json: &Value, place: &Place<'_>, depth: usize) -> Result<Vec<Condition>> {
        let elements = self.list(json, place, "conditions")?;
        let parse = |(index, json)| self.field(path.to_owned(), json, &Place::Index(place, index), depth + 1);
        elements.iter().enumerate().map(parse).collect()
    }
}

fn check_depth(place: &Place<'_>, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(place.error(format_args!("nests too deep: a filter has at most {MAX_DEPTH} levels")));
    }
    Ok(())
}

fn check_path(path: &str, place: &Place<'_>) -> Result<()> {
    if path.len() > MAX_PATH {
        return Err(place.error(format_args!("names a field with more than {MAX_PATH} bytes")));
    }
    if path.matches('.').count() >= MAX_DEPTH {
        return Err(place.error(format_args!("goes too deep: a path has at most {MAX_DEPTH} parts")));
    }
    Ok(())
}

fn one_or_all(mut conditions: Vec<Condition>) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        Some(last) => {
            conditions.push(last);
            Condition::All(conditions)
        }
        None => Condition::All(conditions),
    }
}

fn is_operator(key: &str) -> bool {
    OPERATORS.contains(&key)
}

/// The operator that is meant by another spelling, or by the name that it has elsewhere.
fn near(key: &str) -> Option<&'static str> {
    if key.len() > 64 {
        return None;
    }
    let plain: String = key.chars().filter(|c| !"$_- ".contains(*c)).map(|c| c.to_ascii_lowercase()).collect();
    let same = OPERATORS.into_iter().find(|operator| operator.eq_ignore_ascii_case(&plain));
    same.or_else(|| OTHER_NAMES.iter().find(|(other, _)| *other == plain).map(|(_, operator)| *operator))
}

/// The operator that is at most a letter or two away.
fn nearest(key: &str) -> Option<&'static str> {
    if key.len() > 64 {
        return None;
    }
    let (distance, operator) = OPERATORS.into_iter().map(|operator| (distance(key, operator), operator)).min()?;
    (distance <= 2 && distance < operator.len()).then_some(operator)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn unknown(path: &str, key: &str, near: Option<&str>, place: &Place<'_>) -> Error {
    let field = quoted(&format!("{path}.{key}"));
    place.error(match near {
        Some(operator) => format!("is not an operator; did you mean {operator}? (a field of that name is {field})"),
        None => format!("is not an operator; there are {} (a field of that name is {field})", OPERATORS.join(", ")),
    })
}

fn mixed(path: &str, entries: &Map<String, Value>, place: &Place<'_>) -> Error {
    let other = entries.keys().find(|key| !is_operator(key)).map_or("", String::as_str);
    let here = Place::Key(place, other);
    match near(other).or_else(|| nearest(other)) {
        None if !other.starts_with('$') => here.error(format_args!(
            "is a field beside operators, which do not mix; write the field by itself as {}",
            quoted(&format!("{path}.{other}"))
        )),
        operator => unknown(path, other, operator, &here),
    }
}

//! JSON as template values that behave like Python's.
//!
//! A JSON object answers `items()`, `keys()`, `values()` and `get()` as a Python dictionary does even when it has an
//! entry of that name, which is common in JSON schemas (`"items"`).
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;
use serde_json::Value as Json;

/// Converts, keeping the order of object keys.
pub(crate) fn from_json(json: Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(flag),
        Json::Number(number) => from_number(&number),
        Json::String(text) => Value::from(text),
        Json::Array(items) => items.into_iter().map(from_json).collect(),
        Json::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.into(), from_json(value)));
            Value::from_object(JsonObject(fields.collect()))
        }
    }
}

fn from_number(number: &serde_json::Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    number.as_u64().map_or_else(
        || Value::from(number.as_f64().unwrap_or_default()),
        Value::from,
    )
}

#[derive(Debug)]
struct JsonObject(IndexMap<Arc<str>, Value>);

impl Object for JsonObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(
            self.0
                .keys()
                .map(|key| Value::from(Arc::clone(key)))
                .collect(),
        )
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "items" | "keys" | "values" | "get" => {
                let this = Value::from_dyn_object(Arc::clone(self));
                pycompat::unknown_method_callback(state, &this, method, args)
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

//! A template engine set up as Hugging Face's `apply_chat_template` sets up Jinja.
use std::fmt;

use jiff::Zoned;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::python_format::{JsonStyle, json_dumps, python_str};

/// What a template said through `raise_exception`.
#[derive(Debug)]
pub(crate) struct RaisedByTemplate(pub String);

impl fmt::Display for RaisedByTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for RaisedByTemplate {}

/// An environment without templates: block trimming, helper functions, Python's formats and methods.
pub(crate) fn hugging_face_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_unknown_method_callback(python_method);
    environment.set_formatter(|output, _state, value| {
        let written = match value.as_str() {
            Some(text) => output.write_str(text),
            None => output.write_str(&python_str(value)),
        };
        written.map_err(Error::from)
    });
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: &Value| python_str(value));
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment
}

/// Makes `{% generation %}` blocks, which only mark the assistant's part for training, into blocks that do nothing.
pub(crate) fn without_generation_tags(source: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}").map(|end| end + 2) else {
            break;
        };
        let tag = &rest[start..start + length];
        output.push_str(&rest[..start]);
        let inner = tag[2..length - 2].trim_matches(['-', '+']).trim();
        match inner {
            "generation" => output.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => output.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => output.push_str(tag),
        }
        rest = &rest[start + length..];
    }
    output + rest
}

fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .unwrap_or_default()
}

/// Python iterates over strings too, but neither over None nor over numbers.
fn is_iterable(value: &Value) -> bool {
    !matches!(value.kind(), ValueKind::None)
        && (value.as_str().is_some() || value.try_iter().is_ok())
}

/// Jinja asks for a length and for items by key, which strings and dictionaries have as well.
fn is_sequence(value: &Value) -> bool {
    use ValueKind::{Map, Seq, String, Undefined};
    matches!(value.kind(), Seq | Map | String | Undefined)
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    let message = python_str(message);
    Err(Error::new(ErrorKind::InvalidOperation, message.clone())
        .with_source(RaisedByTemplate(message)))
}

fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &Zoned::now()).map_err(|error| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now('{format}')"),
        )
        .with_source(error)
    })
}

/// `json.dumps(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
#[allow(clippy::needless_pass_by_value)] // the engine hands arguments over by value
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<Value> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let indent = indent.filter(|indent| indent.kind() == ValueKind::Number);
    let indent = indent.map(usize::try_from).transpose()?;
    let mut separators = separators.unwrap_or_default().into_iter();
    let item_separator = if indent.is_some() { "," } else { ", " };
    let style = JsonStyle {
        indent,
        item_separator: separators
            .next()
            .unwrap_or_else(|| item_separator.to_owned()),
        key_separator: separators.next().unwrap_or_else(|| ": ".to_owned()),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ensure_ascii: options
            .get::<Option<bool>>("ensure_ascii")?
            .unwrap_or(false),
    };
    options.assert_all_used()?;
    json_dumps(value, &style).map(Value::from)
}

/// Python's methods; those that the library leaves out are here.
fn python_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match (value.as_str(), method) {
        (Some(text), "removeprefix") => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        (Some(text), "removesuffix") => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        (Some(text), "rsplit") => {
            let (separator, limit): (&str, Option<usize>) = from_args(args)?;
            let mut parts: Vec<&str> = match limit {
                Some(limit) => text.rsplitn(limit + 1, separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            Ok(parts.into_iter().map(Value::from).collect())
        }
        _ => pycompat::unknown_method_callback(state, value, method, args),
    }
}

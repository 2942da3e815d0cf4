//! Writes values as Python does: `str()` for what a template prints, `json.dumps()` for `tojson`.
use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// How `json.dumps` lays its output out.
pub(crate) struct JsonStyle {
    pub indent: Option<usize>,
    pub item_separator: String,
    pub key_separator: String,
    pub sort_keys: bool,
    pub ensure_ascii: bool,
}

/// `json.dumps(value)`.
pub(crate) fn json_dumps(value: &Value, style: &JsonStyle) -> Result<String, Error> {
    let mut output = String::new();
    JsonWriter {
        style,
        output: &mut output,
    }
    .write(value, 0)?;
    Ok(output)
}

/// `str(value)`: strings as they are, everything else as `repr` shows it.
pub(crate) fn python_str(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let mut output = String::new();
    if !value.is_undefined() {
        write_repr(value, &mut output);
    }
    output
}

fn write_repr(value: &Value, output: &mut String) {
    match value.kind() {
        ValueKind::None => output.push_str("None"),
        ValueKind::Bool => output.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => output.push_str(&number(value)),
        ValueKind::String => write_quoted(value.as_str().unwrap_or_default(), output),
        ValueKind::Seq => {
            output.push('[');
            for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
                output.push_str(if index > 0 { ", " } else { "" });
                write_repr(&item, output);
            }
            output.push(']');
        }
        ValueKind::Map => {
            output.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                output.push_str(if index > 0 { ", " } else { "" });
                write_repr(&key, output);
                output.push_str(": ");
                write_repr(&value.get_item(&key).unwrap_or_default(), output);
            }
            output.push('}');
        }
        _ => output.push_str(&value.to_string()),
    }
}

fn write_quoted(text: &str, output: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    output.push(quote);
    for char in text.chars() {
        match char {
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\\' => output.push_str("\\\\"),
            char if char == quote => output.extend(['\\', char]),
            char if char.is_control() => {
                let _ = write!(output, "\\x{:02x}", u32::from(char));
            }
            char => output.push(char),
        }
    }
    output.push(quote);
}

/// A number as Python's `repr` writes it: floats keep a decimal point and change to exponents where Python does.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let float = f64::try_from(value.clone()).unwrap_or_default();
    if !float.is_finite() {
        return if float.is_nan() {
            "nan"
        } else if float > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent = exponent.parse::<i32>().unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let text = float.to_string();
    if text.contains('.') {
        text
    } else {
        text + ".0"
    }
}

struct JsonWriter<'a> {
    style: &'a JsonStyle,
    output: &'a mut String,
}

impl JsonWriter<'_> {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.output.push_str("null"),
            ValueKind::Bool => self
                .output
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.write_number(value),
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_container(('[', ']'), items.len(), depth, |writer, index| {
                    writer.write(&items[index], depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.style.sort_keys {
                    keys.sort();
                }
                self.write_container(('{', '}'), keys.len(), depth, |writer, index| {
                    writer.write_key(&keys[index])?;
                    writer.write(&value.get_item(&keys[index])?, depth + 1)
                })?;
            }
            kind => {
                let message = format!("a value of type {kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::BadSerialization, message));
            }
        }
        Ok(())
    }

    fn write_container(
        &mut self,
        (open, close): (char, char),
        length: usize,
        depth: usize,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.output.push(open);
        for index in 0..length {
            if index > 0 {
                self.output.push_str(&self.style.item_separator);
            }
            self.new_line(depth + 1);
            item(self, index)?;
        }
        if length > 0 {
            self.new_line(depth);
        }
        self.output.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = self.style.indent {
            self.output.push('\n');
            self.output.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn write_key(&mut self, key: &Value) -> Result<(), Error> {
        match key.kind() {
            ValueKind::String => self.write_string(key.as_str().unwrap_or_default()),
            ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                self.output.push('"');
                self.write(key, 0)?;
                self.output.push('"');
            }
            kind => {
                let message = format!("a key of type {kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::BadSerialization, message));
            }
        }
        self.output.push_str(&self.style.key_separator);
        Ok(())
    }

    fn write_number(&mut self, value: &Value) {
        let text = match number(value).as_str() {
            "nan" => "NaN".to_owned(),
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            text => text.to_owned(),
        };
        self.output.push_str(&text);
    }

    fn write_string(&mut self, text: &str) {
        self.output.push('"');
        for char in text.chars() {
            match char {
                '"' => self.output.push_str("\\\""),
                '\\' => self.output.push_str("\\\\"),
                '\n' => self.output.push_str("\\n"),
                '\r' => self.output.push_str("\\r"),
                '\t' => self.output.push_str("\\t"),
                '\u{8}' => self.output.push_str("\\b"),
                '\u{c}' => self.output.push_str("\\f"),
                char if char < ' ' || (self.style.ensure_ascii && char > '~') => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.output, "\\u{unit:04x}");
                    }
                }
                char => self.output.push(char),
            }
        }
        self.output.push('"');
    }
}

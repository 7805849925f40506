//! The fields that records have: one table each, from which checks and the description are made.
//!
//! Knows no record. Values are never repeated in what is said of them: one of them is a passkey.

use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Object, ObjectBuilder};
use utoipa::openapi::schema::{Schema, SchemaType, Type};

use crate::admin::problem::Fault;

/// An object as it came.
pub(super) type Fields = serde_json::Map<String, Value>;

/// One field of a record.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether `null` is a value of it.
    pub(super) null: bool,
    /// Whether a new record must have it; otherwise it has a default.
    pub(super) required: bool,
    /// Whether it is shown to those alone who may see it and ask for it.
    pub(super) secret: bool,
    pub(super) doc: &'static str,
}

/// What values a field takes.
#[derive(Debug)]
pub(super) enum Kind {
    Flag,
    Number {
        min: u64,
        max: u64,
    },
    /// Text without control characters.
    Line {
        bytes_max: usize,
    },
    /// Characters of a key in URLs.
    Key {
        bytes_min: usize,
        bytes_max: usize,
    },
    Word(&'static [&'static str]),
    InfoHash,
    /// 64 bits in hexadecimal digits.
    Digest,
}

/// The greatest number that every reader of JSON keeps exactly.
pub(super) const EXACT_MAX: u64 = (1 << 53) - 1;

/// Numbers of records; 0 stands for none in many books.
pub(super) const ID: Kind = Kind::Number { min: 1, max: u32::MAX as u64 };

impl Field {
    pub(super) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, null: false, required: false, secret: false, doc }
    }

    pub(super) const fn or_null(mut self) -> Self {
        self.null = true;
        self
    }

    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    fn takes(&self, value: &Value) -> bool {
        self.null && value.is_null() || self.kind.takes(value)
    }

    fn allowed(&self) -> String {
        format!("must be {}{}", self.kind.allowed(), if self.null { ", or null" } else { "" })
    }

    fn schema(&self) -> Object {
        let mut object = self.kind.schema();
        if self.null
            && let SchemaType::Type(known) = object.schema_type
        {
            object.schema_type = SchemaType::from_iter([known, Type::Null]);
            object.enum_values.iter_mut().for_each(|values| values.push(Value::Null));
        }
        object.description = Some(self.doc.to_owned());
        object
    }
}

impl Kind {
    pub(super) fn takes(&self, value: &Value) -> bool {
        match self {
            Self::Flag => value.is_boolean(),
            Self::Number { min, max } => {
                whole(value).is_some_and(|number| (min..=max).contains(&&number))
            }
            Self::Line { bytes_max } => value.as_str().is_some_and(|text| {
                text.len() <= *bytes_max && !text.chars().any(char::is_control)
            }),
            Self::Key { bytes_min, bytes_max } => value.as_str().is_some_and(|text| {
                (bytes_min..=bytes_max).contains(&&text.len()) && text.bytes().all(is_of_key)
            }),
            Self::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::InfoHash => value.as_str().and_then(super::keys::info_hash).is_some(),
            Self::Digest => value.as_str().is_some_and(|text| {
                text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }),
        }
    }

    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Flag => "true or false".into(),
            Self::Number { min, max } => format!("a whole number from {min} to {max}"),
            Self::Line { bytes_max } => {
                format!("text of at most {bytes_max} bytes without control characters")
            }
            Self::Key { bytes_min, bytes_max } => format!(
                "{bytes_min} to {bytes_max} letters, digits, dashes and underscores of ASCII"
            ),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::InfoHash => "an info hash of 40 hexadecimal digits".into(),
            Self::Digest => "16 hexadecimal digits".into(),
        }
    }

    pub(super) fn schema(&self) -> Object {
        let object = ObjectBuilder::new();
        let text = || ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        match self {
            Self::Flag => object.schema_type(SchemaType::new(Type::Boolean)),
            Self::Number { min, max } => object
                .schema_type(SchemaType::new(Type::Integer))
                .minimum(Some(*min))
                .maximum(Some(*max)),
            Self::Line { bytes_max } => {
                text().max_length(Some(*bytes_max)).pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]*$"))
            }
            Self::Key { bytes_min, bytes_max } => text()
                .min_length(Some(*bytes_min))
                .max_length(Some(*bytes_max))
                .pattern(Some("^[A-Za-z0-9_-]+$")),
            Self::Word(words) => text().enum_values(Some(words.to_vec())),
            Self::InfoHash => text().pattern(Some("^[0-9A-Fa-f]{40}$")),
            Self::Digest => text().pattern(Some("^[0-9A-Fa-f]{16}$")),
        }
        .build()
    }
}

const fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// A number without a fraction; `1.0` is one in JSON.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let of_float = || {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && (0.0..=EXACT_MAX as f64).contains(&float)).then_some(float as u64)
    };
    value.as_u64().or_else(of_float)
}

pub(super) fn number(value: &Value) -> Option<u32> {
    whole(value).and_then(|number| u32::try_from(number).ok())
}

pub(super) fn text(value: &Value) -> Option<Box<str>> {
    value.as_str().map(Box::from)
}

/// Notes that a field does not fit; `at` is the way to its record.
pub(super) fn fault(faults: &mut Vec<Fault>, at: &str, field: &str, detail: impl Into<String>) {
    faults.push(Fault { field: format!("{at}{field}"), detail: detail.into() });
}

/// Compares an object with the table of its fields, and with the rule that new records have all that
/// is required. What is returned holds no value that does not fit, and no other field but `also`,
/// which is not looked at.
pub(super) fn check<'a>(
    table: &[Field],
    also: &str,
    value: &'a Value,
    is_new: bool,
    at: &str,
    faults: &mut Vec<Fault>,
) -> Option<&'a Fields> {
    let Some(object) = value.as_object() else {
        let field = if at.is_empty() { "body" } else { at.trim_end_matches('/') };
        fault(faults, "", field, "must be an object");
        return None;
    };
    let before = faults.len();
    for (name, value) in object {
        match table.iter().find(|field| field.name == name) {
            Some(field) if field.takes(value) => {}
            Some(field) => fault(faults, at, name, field.allowed()),
            None if name == also => {}
            None => {
                let known: Vec<_> = table.iter().map(|field| field.name).collect();
                let detail = format!("is not known; there are {}", known.join(", "));
                fault(faults, at, named(name), detail);
            }
        }
    }
    for field in table.iter().filter(|field| is_new && field.required) {
        if !object.contains_key(field.name) {
            fault(faults, at, field.name, format!("is missing: it {}", field.allowed()));
        }
    }
    (faults.len() == before).then_some(object)
}

/// A name that was sent, if it can be told from a secret that was put in the wrong place.
pub(super) fn named(name: &str) -> &str {
    let is_name =
        name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_name { name } else { "?" }
}

/// How a record is described.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it is shown.
    Shown,
    /// As it is put under its id.
    Put,
    /// As it is put together with others.
    PutMany,
    /// As a part of it is changed.
    Patch,
}

/// Describes records with these fields.
pub(super) fn schema(table: &[Field], shape: Shape) -> Schema {
    let mut object = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    if matches!(shape, Shape::Shown | Shape::PutMany) {
        let mut id = ID.schema();
        id.description = Some("The site's number.".to_owned());
        object = object.property("id", id).required("id");
    }
    for field in table {
        object = object.property(field.name, field.schema());
        let required = match shape {
            Shape::Shown => !field.secret,
            Shape::Put | Shape::PutMany => field.required,
            Shape::Patch => false,
        };
        if required {
            object = object.required(field.name);
        }
    }
    Schema::Object(object.build())
}

/// Describes a list of numbers of records.
pub(super) fn ids() -> ArrayBuilder {
    ArrayBuilder::new().items(ID.schema())
}

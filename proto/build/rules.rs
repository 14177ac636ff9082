//! Reads the `buf.validate` options of fields.

use std::borrow::Cow;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, OneofDescriptor,
    Value,
};

/// The number of `IGNORE_IF_ZERO_VALUE` in `buf.validate.Ignore`.
const IGNORE_IF_ZERO_VALUE: i32 = 1;
/// Pairs of rules of which the first must not be above the second.
const ORDERED: [(&str, &str); 6] = [
    ("min_len", "max_len"),
    ("min_items", "max_items"),
    ("gt", "lt"),
    ("gt", "lte"),
    ("gte", "lt"),
    ("gte", "lte"),
];

/// Finds the rules of fields and oneofs. A pool without `buf.validate` has none.
pub struct Reader {
    field: Option<ExtensionDescriptor>,
    oneof: Option<ExtensionDescriptor>,
}

/// The rules of one field, item, key or value.
#[derive(Default)]
pub struct Rules {
    options: Option<DynamicMessage>,
}

impl Reader {
    /// A reader for the protos of a pool.
    pub fn new(pool: &DescriptorPool) -> Self {
        let extension = |name| pool.get_extension_by_name(name);
        Self { field: extension("buf.validate.field"), oneof: extension("buf.validate.oneof") }
    }

    /// The rules of a field.
    pub fn field(&self, field: &FieldDescriptor) -> Rules {
        let options = self.field.as_ref().and_then(|extension| {
            let options = field.options();
            options.has_extension(extension).then(|| options.get_extension(extension).into_owned())
        });
        Rules { options: options.and_then(|value| value.as_message().cloned()) }
    }

    /// Whether a member of the oneof must be set.
    pub fn is_required(&self, oneof: &OneofDescriptor) -> bool {
        self.oneof.as_ref().is_some_and(|extension| {
            let options = oneof.options();
            let rules = options.get_extension(extension).into_owned();
            rules.as_message().is_some_and(|rules| flag(rules, "required"))
        })
    }

    /// Rules that do not fit their field, or that contradict each other.
    pub fn faults(&self, pool: &DescriptorPool) -> Vec<String> {
        let ours =
            pool.all_messages().filter(|message| !message.package_name().starts_with("google."));
        let fields: Vec<_> =
            ours.flat_map(|message| message.fields().collect::<Vec<_>>()).collect();
        fields
            .iter()
            .filter_map(|field| {
                let rules = self.field(field);
                let member = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
                let fault = if member && rules.required() {
                    "`required` stands on the oneof, not on a member".to_owned()
                } else if field.supports_presence() && rules.ignores_zero() {
                    "`ignore` does nothing where presence is tracked: rules skip the absent only"
                        .to_owned()
                } else {
                    rules.fault(&Shape::of(field))?
                };
                Some(format!("{}: {fault}", field.full_name()))
            })
            .collect()
    }
}

impl Rules {
    /// Whether the field must be set.
    pub fn required(&self) -> bool {
        self.options.as_ref().is_some_and(|options| flag(options, "required"))
    }

    /// Whether the zero value passes without a look at the rules.
    pub fn ignores_zero(&self) -> bool {
        let value = self.options.as_ref().and_then(|options| options.get_field_by_name("ignore"));
        value.and_then(|value| value.as_enum_number()) == Some(IGNORE_IF_ZERO_VALUE)
    }

    /// The rules for the type of the field, and their name: `string`, `repeated`.
    pub fn typed(&self) -> Option<(String, DynamicMessage)> {
        let options = self.options.as_ref()?;
        let (field, value) =
            options.fields().find(|(field, _)| field.containing_oneof().is_some())?;
        Some((field.name().to_owned(), value.as_message()?.clone()))
    }

    /// The value of a rule for the type of the field, when it is set.
    pub fn get(&self, rule: &str) -> Option<Value> {
        let (_, typed) = self.typed()?;
        typed.has_field_by_name(rule).then(|| typed.get_field_by_name(rule))?.map(Cow::into_owned)
    }

    /// Whether a rule for the type of the field is set, and not to `false`.
    pub fn has(&self, rule: &str) -> bool {
        self.get(rule).is_some_and(|value| value != Value::Bool(false))
    }

    /// The rules of the items, keys or values.
    pub fn inner(&self, part: &str) -> Self {
        Self { options: self.get(part).and_then(|value| value.as_message().cloned()) }
    }

    fn fault(&self, shape: &Shape) -> Option<String> {
        if let Some((name, _)) = self.typed()
            && Some(name.as_str()) != shape.rules()
        {
            return Some(format!("the rules `{name}` do not fit its type"));
        }
        if self.has("unique") && !shape.has_comparable_items() {
            return Some("`unique` fits scalars (but not float or double) and enums".to_owned());
        }
        let contradiction = ORDERED.iter().find(|(low, high)| {
            let (low, high) = (self.get(low).and_then(number), self.get(high).and_then(number));
            low.zip(high).is_some_and(|(low, high)| low > high)
        });
        if let Some((low, high)) = contradiction {
            return Some(format!("`{low}` is above `{high}`"));
        }
        match shape {
            Shape::One(_) => None,
            Shape::List(kind) => self.inner("items").fault(&Shape::One(kind.clone())),
            Shape::Map(key, value) => {
                let value = Shape::One(value.clone());
                let key = self.inner("keys").fault(&Shape::One(key.clone()));
                key.or_else(|| self.inner("values").fault(&value))
            }
        }
    }
}

/// How many values a field holds, and of which kind.
pub enum Shape {
    /// One, or none.
    One(Kind),
    /// Any number.
    List(Kind),
    /// Any number of pairs.
    Map(Kind, Kind),
}

impl Shape {
    /// The shape of a field.
    pub fn of(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                Self::Map(entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind())
            }
            kind if field.is_list() => Self::List(kind),
            kind => Self::One(kind),
        }
    }

    /// The name of the rules that fit.
    fn rules(&self) -> Option<&'static str> {
        let kind = match self {
            Self::List(_) => return Some("repeated"),
            Self::Map(..) => return Some("map"),
            Self::One(kind) => kind,
        };
        match kind {
            Kind::Double => Some("double"),
            Kind::Int32 => Some("int32"),
            Kind::Int64 => Some("int64"),
            Kind::Uint32 => Some("uint32"),
            Kind::String => Some("string"),
            Kind::Bytes => Some("bytes"),
            Kind::Enum(_) => Some("enum"),
            Kind::Message(m) if m.full_name() == "google.protobuf.Duration" => Some("duration"),
            _ => None,
        }
    }

    fn has_comparable_items(&self) -> bool {
        let Self::List(kind) = self else { return false };
        !matches!(kind, Kind::Message(_) | Kind::Float | Kind::Double)
    }
}

fn flag(message: &DynamicMessage, name: &str) -> bool {
    message.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or_default()
}

/// A number or a duration, precise enough to compare limits.
#[expect(clippy::cast_precision_loss, reason = "only compares the limits that a proto declares")]
fn number(value: Value) -> Option<f64> {
    match value {
        Value::I32(number) => Some(f64::from(number)),
        Value::U32(number) => Some(f64::from(number)),
        Value::I64(number) => Some(number as f64),
        Value::U64(number) => Some(number as f64),
        Value::F64(number) => Some(number),
        Value::Message(duration) => {
            let part = |name| duration.get_field_by_name(name).map(Cow::into_owned);
            Some(number(part("seconds")?)? + number(part("nanos")?)? / 1e9)
        }
        _ => None,
    }
}

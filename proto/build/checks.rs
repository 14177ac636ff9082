//! Writes one `Checked` impl per message. What it writes looks like this:
//!
//! ```text
//! impl crate::check::Checked for clinicd::room::v1::AddRequest {
//!     const REQUEST: bool = true;
//!
//!     fn check(&self, report: &mut crate::check::Report) {
//!         report.field("name", |report| {
//!             report.string(&self.name, &crate::check::StringRules { max_len: Some(64), ..crate::check::StringRules::NONE });
//!         });
//!     }
//! }
//! ```

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    OneofDescriptor, Value,
};

use super::bounds::Requests;
use super::names;
use super::rules::{Reader, Rules, Shape};

/// Where the generated code finds the functions that it calls.
const CHECK: &str = "crate::check";
/// Rules that are not fields of a rules struct, because code of its own handles them.
const APART: [&str; 4] = ["items", "unique", "keys", "values"];

/// The impls of all messages of a pool but those of google.protobuf and buf.validate.
pub fn write(pool: &DescriptorPool, rules: &Reader, requests: &Requests) -> String {
    let ours = pool.all_messages().filter(|message| {
        !["google.protobuf", super::VALIDATE_PACKAGE].contains(&message.package_name())
            && !message.is_map_entry()
    });
    ours.map(|message| implementation(&message, rules, requests)).collect::<Vec<_>>().join("\n")
}

fn implementation(message: &MessageDescriptor, rules: &Reader, requests: &Requests) -> String {
    let mut parts = Vec::new();
    if requests.is_input(message) {
        parts.push("const REQUEST: bool = true;".to_owned());
    }
    let body = if requests.can_hold(message) { body(message, rules) } else { Vec::new() };
    if !body.is_empty() {
        let signature = format!("fn check(&self, report: &mut {CHECK}::Report)");
        parts.push(block(&signature, &body.join("\n")));
    }
    let head = format!("impl {CHECK}::Checked for {}", names::message(message));
    block(&head, &parts.join("\n\n")) + "\n"
}

fn body(message: &MessageDescriptor, rules: &Reader) -> Vec<String> {
    let alone =
        |field: &FieldDescriptor| field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic());
    let fields = message.fields().filter(alone).filter_map(|field| {
        Some(in_field(field.name(), &field_checks(&field, &rules.field(&field))?))
    });
    let oneofs = message
        .oneofs()
        .filter(|oneof| !oneof.is_synthetic())
        .filter_map(|oneof| oneof_checks(&oneof, rules));
    fields.chain(oneofs).collect()
}

/// The checks of a field outside of a oneof.
fn field_checks(field: &FieldDescriptor, rules: &Rules) -> Option<String> {
    let place = format!("self.{}", names::snake(field.name()));
    if field.supports_presence() {
        return present_checks(&field.kind(), rules, &place);
    }
    let checks = match Shape::of(field) {
        Shape::One(kind) => value_checks(&kind, rules, &Operand::Place(&place)),
        Shape::List(kind) => list_checks(&kind, rules, &place),
        Shape::Map(key, value) => map_checks(&key, &value, rules, &place),
    };
    let is_zero = format!("{CHECK}::is_zero(&{place})");
    if rules.required() {
        let missing = block(&format!("if {is_zero}"), "report.missing();");
        return Some(match checks {
            Some(checks) => format!("{missing} {}", block("else", &checks)),
            None => missing,
        });
    }
    Some(if rules.ignores_zero() { block(&format!("if !{is_zero}"), &checks?) } else { checks? })
}

/// The checks of a field that may be absent.
fn present_checks(kind: &Kind, rules: &Rules, place: &str) -> Option<String> {
    let value = Operand::Reference("value");
    match (value_checks(kind, rules, &value), rules.required()) {
        (None, false) => None,
        (None, true) => Some(block(&format!("if {place}.is_none()"), "report.missing();")),
        (Some(checks), false) => Some(block(&format!("if let Some(value) = &{place}"), &checks)),
        (Some(checks), true) => {
            let some = block("Some(value) =>", &checks);
            Some(block(&format!("match &{place}"), &format!("{some}\nNone => report.missing(),")))
        }
    }
}

fn oneof_checks(oneof: &OneofDescriptor, rules: &Reader) -> Option<String> {
    let mut arms = Vec::new();
    let mut unchecked = false;
    for member in oneof.fields() {
        let (kind, rules) = (member.kind(), rules.field(&member));
        match value_checks(&kind, &rules, &Operand::Reference("value")) {
            Some(checks) => {
                let head = format!("Some({}(value)) =>", names::variant(oneof, &member));
                arms.push(block(&head, &in_field(member.name(), &checks)));
            }
            None => unchecked = true,
        }
    }
    let required = rules.is_required(oneof);
    if arms.is_empty() && !required {
        return None;
    }
    if unchecked {
        arms.push("Some(_) => {}".to_owned());
    }
    arms.push(if required {
        block("None =>", &in_field(oneof.name(), "report.missing();"))
    } else {
        "None => {}".to_owned()
    });
    Some(block(&format!("match &self.{}", names::snake(oneof.name())), &arms.join("\n")))
}

fn list_checks(kind: &Kind, rules: &Rules, place: &str) -> Option<String> {
    let mut lines = Vec::new();
    if let Some(literal) = literal("RepeatedRules", rules, None) {
        lines.push(format!("report.repeated(&{place}, &{literal});"));
    }
    if rules.has("unique") {
        lines.push(format!("report.unique(&{place});"));
    }
    if let Some(checks) = inner_checks(kind, &rules.inner("items"), "item") {
        let items = block(&format!("report.items(&{place}, |report, item|"), &checks);
        lines.push(format!("{items});"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn map_checks(key: &Kind, value: &Kind, rules: &Rules, place: &str) -> Option<String> {
    let mut lines = Vec::new();
    if let Some(literal) = literal("MapRules", rules, None) {
        lines.push(format!("report.map(&{place}, &{literal});"));
    }
    let closure = |kind: &Kind, part: &str, name: &str| {
        inner_checks(kind, &rules.inner(part), name)
            .map(|checks| block(&format!("|report, {name}|"), &checks))
    };
    let (keys, values) = (closure(key, "keys", "key"), closure(value, "values", "value"));
    if keys.is_some() || values.is_some() {
        let or_nothing =
            |closure: Option<String>| closure.unwrap_or_else(|| "|_, _| {}".to_owned());
        let (keys, values) = (or_nothing(keys), or_nothing(values));
        lines.push(format!("report.pairs(&{place}, {keys}, {values});"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The checks of an item, key or value, which a closure takes by reference.
fn inner_checks(kind: &Kind, rules: &Rules, name: &str) -> Option<String> {
    let checks = value_checks(kind, rules, &Operand::Reference(name))?;
    // A message counts as set, whatever it holds.
    let ignores = rules.ignores_zero() && kind.as_message().is_none();
    let guard = format!("if !{CHECK}::is_zero({name})");
    Some(if ignores { block(&guard, &checks) } else { checks })
}

/// How generated code names a value.
enum Operand<'a> {
    /// A place, such as `self.name`.
    Place(&'a str),
    /// A variable that holds a reference.
    Reference(&'a str),
}

/// The checks of one value of a kind.
fn value_checks(kind: &Kind, rules: &Rules, operand: &Operand<'_>) -> Option<String> {
    let (by_ref, by_value) = match operand {
        Operand::Place(place) => (format!("&{place}"), (*place).to_owned()),
        Operand::Reference(name) => ((*name).to_owned(), format!("*{name}")),
    };
    match kind {
        Kind::String => {
            let literal = literal("StringRules", rules, None);
            let literal = literal.unwrap_or_else(|| format!("{CHECK}::StringRules::NONE"));
            Some(format!("report.string({by_ref}, &{literal});"))
        }
        Kind::Bytes => {
            Some(format!("report.bytes({by_ref}, &{});", literal("BytesRules", rules, None)?))
        }
        Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Uint32 => {
            Some(format!("report.range({by_value}, &{});", literal("RangeRules", rules, None)?))
        }
        Kind::Enum(of) => {
            let (name, literal) = (names::enumeration(of), literal("EnumRules", rules, Some(of))?);
            Some(format!("report.enumeration::<{name}>({by_value}, &{literal});"))
        }
        Kind::Message(of) => match of.full_name() {
            "google.protobuf.Timestamp" => Some(format!("report.timestamp({by_ref});")),
            "google.protobuf.Duration" => {
                let literal = literal("RangeRules", rules, None);
                let literal = literal.unwrap_or_else(|| format!("{CHECK}::RangeRules::NONE"));
                Some(format!("report.duration({by_ref}, &{literal});"))
            }
            "google.protobuf.Empty" => None,
            _ => Some(format!("report.message({by_ref});")),
        },
        _ => None,
    }
}

/// The rules as a struct literal, when there are any.
fn literal(name: &str, rules: &Rules, of: Option<&EnumDescriptor>) -> Option<String> {
    let (_, typed) = rules.typed()?;
    let members: Vec<_> = typed
        .fields()
        .filter(|(field, _)| !APART.contains(&field.name()))
        .map(|(field, value)| {
            // `in` is a keyword.
            let field = if field.name() == "in" { "within" } else { field.name() };
            format!("{field}: {}", value_literal(value, of))
        })
        .collect();
    let members = members.join(", ");
    (!members.is_empty())
        .then(|| format!("{CHECK}::{name} {{ {members}, ..{CHECK}::{name}::NONE }}"))
}

fn value_literal(value: &Value, of: Option<&EnumDescriptor>) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => format!("Some({value})"),
        Value::I64(value) => format!("Some({value})"),
        Value::U32(value) => format!("Some({value})"),
        Value::U64(value) => format!("Some({value})"),
        Value::F64(value) => format!("Some({value:?})"),
        Value::Message(duration) => {
            format!("Some(({}, {}))", part(duration, "seconds"), part(duration, "nanos"))
        }
        Value::List(values) => {
            let values: Vec<_> = values.iter().map(|value| list_item(value, of)).collect();
            format!("&[{}]", values.join(", "))
        }
        // `validate.proto` declares no rule of another type.
        other => format!("compile_error!(\"no literal for {other:?}\")"),
    }
}

fn list_item(value: &Value, of: Option<&EnumDescriptor>) -> String {
    match (value, of) {
        (Value::I32(number), Some(of)) => {
            let name =
                of.get_value(*number).map_or_else(|| number.to_string(), |v| v.name().to_owned());
            format!("({number}, {name:?})")
        }
        (value, _) => format!("{:?}", value.as_str().unwrap_or_default()),
    }
}

fn part(duration: &DynamicMessage, name: &str) -> i64 {
    let part = duration.get_field_by_name(name);
    part.and_then(|value| value.as_i64().or(value.as_i32().map(i64::from))).unwrap_or_default()
}

fn in_field(name: &str, checks: &str) -> String {
    block(&format!("report.field({name:?}, |report|"), checks) + ");"
}

/// `head { body }`, indented.
fn block(head: &str, body: &str) -> String {
    if body.is_empty() {
        return format!("{head} {{}}");
    }
    let body = body.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("    {line}\n"),
    });
    format!("{head} {{\n{}}}", body.collect::<String>())
}

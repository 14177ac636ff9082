//! Which messages a request can reach, and whether everything in them has a limit.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, Syntax};

use super::rules::{Reader, Rules, Shape};

/// The types of google.protobuf that have a limit of their own.
const BOUNDED: [&str; 3] =
    ["google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.Empty"];

/// The messages that methods take, and those that they hold.
pub struct Requests {
    inputs: BTreeSet<String>,
    outputs: BTreeSet<String>,
    reachable: BTreeMap<String, MessageDescriptor>,
}

impl Requests {
    /// Walks from the methods of all services.
    pub fn find(pool: &DescriptorPool) -> Self {
        let (mut inputs, mut outputs, mut next) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for service in pool.services() {
            for method in service.methods() {
                inputs.insert(method.input().full_name().to_owned());
                outputs.insert(method.output().full_name().to_owned());
                next.push(method.input());
            }
        }
        let mut reachable = BTreeMap::new();
        while let Some(message) = next.pop() {
            if is_google(&message) || reachable.contains_key(message.full_name()) {
                continue;
            }
            for field in message.fields() {
                let (Shape::One(kind) | Shape::List(kind) | Shape::Map(_, kind)) =
                    Shape::of(&field);
                next.extend(kind.as_message().cloned());
            }
            reachable.insert(message.full_name().to_owned(), message);
        }
        Self { inputs, outputs, reachable }
    }

    /// Whether a method takes this message.
    pub fn is_input(&self, message: &MessageDescriptor) -> bool {
        self.inputs.contains(message.full_name())
    }

    /// Whether a request can hold this message.
    pub fn can_hold(&self, message: &MessageDescriptor) -> bool {
        self.reachable.contains_key(message.full_name())
    }

    /// Everything that would let a request be larger than somebody decided.
    pub fn faults(&self, rules: &Reader) -> Vec<String> {
        let mut faults = Vec::new();
        for name in
            self.inputs.intersection(&self.outputs).filter(|name| !name.starts_with("google."))
        {
            faults.push(format!("{name}: must not be both a request and a response"));
        }
        for message in self.reachable.values() {
            if message.parent_file().syntax() != Syntax::Proto3 {
                faults.push(format!("{}: must be proto3", message.full_name()));
            }
            for field in message.fields() {
                if let Some(fault) = unbounded(&field, &rules.field(&field)) {
                    faults.push(format!("{}: {fault}", field.full_name()));
                }
            }
        }
        faults
    }
}

fn is_google(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

fn unbounded(field: &FieldDescriptor, rules: &Rules) -> Option<String> {
    match Shape::of(field) {
        Shape::One(kind) => unbounded_value(&kind, rules).map(str::to_owned),
        Shape::List(kind) => {
            let count = (!rules.has("max_items")).then(|| "needs repeated.max_items".to_owned());
            let items =
                || Some(format!("items: {}", unbounded_value(&kind, &rules.inner("items"))?));
            count.or_else(items)
        }
        Shape::Map(key, value) => {
            let count = (!rules.has("max_pairs")).then(|| "needs map.max_pairs".to_owned());
            let keys = || Some(format!("keys: {}", unbounded_value(&key, &rules.inner("keys"))?));
            let values =
                || Some(format!("values: {}", unbounded_value(&value, &rules.inner("values"))?));
            count.or_else(keys).or_else(values)
        }
    }
}

fn unbounded_value(kind: &Kind, rules: &Rules) -> Option<&'static str> {
    let lacks = |bounds: &[&str]| !bounds.iter().any(|bound| rules.has(bound));
    match kind {
        Kind::String if lacks(&["max_len", "len", "in", "uuid", "email"]) => {
            Some("needs string.max_len (or len, in, uuid, email)")
        }
        Kind::Bytes if lacks(&["max_len", "len"]) => Some("needs bytes.max_len (or len)"),
        Kind::Enum(_) if lacks(&["defined_only", "in"]) => Some("needs enum.defined_only (or in)"),
        Kind::Message(message) if is_google(message) && !BOUNDED.contains(&message.full_name()) => {
            Some(
                "has no limit: of google.protobuf, a request may hold Timestamp, Duration and Empty",
            )
        }
        _ => None,
    }
}

//! The Rust names that prost gives to the elements of a proto.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{EnumDescriptor, FieldDescriptor, MessageDescriptor, OneofDescriptor};

/// Words that Rust keeps for itself and lets us write as `r#word`.
const KEYWORDS: [&str; 47] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static",
    "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// A field, a oneof or a module.
pub fn snake(name: &str) -> String {
    let name = name.to_snake_case();
    if KEYWORDS.contains(&name.as_str()) { format!("r#{name}") } else { name }
}

/// A type or a variant.
fn camel(name: &str) -> String {
    name.to_upper_camel_case()
}

/// The path of a message, relative to the module that holds the tree: `clinicd::room::v1::Thing`.
pub fn message(message: &MessageDescriptor) -> String {
    within(message.parent_message(), message.package_name(), message.name())
}

/// The path of an enum.
pub fn enumeration(kind: &EnumDescriptor) -> String {
    within(kind.parent_message(), kind.package_name(), kind.name())
}

/// The path of the variant for a member of a oneof.
pub fn variant(oneof: &OneofDescriptor, member: &FieldDescriptor) -> String {
    let outer = oneof.parent_message();
    let path = within(Some(outer.clone()), outer.package_name(), oneof.name());
    format!("{path}::{}", camel(member.name()))
}

fn within(outer: Option<MessageDescriptor>, package: &str, name: &str) -> String {
    let mut modules: Vec<String> = package.split('.').map(snake).collect();
    let mut nesting = Vec::new();
    let mut next = outer;
    while let Some(message) = next {
        nesting.push(snake(message.name()));
        next = message.parent_message();
    }
    modules.extend(nesting.into_iter().rev());
    format!("{}::{}", modules.join("::"), camel(name))
}

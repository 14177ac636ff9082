//! What every method of the API promises, read from its descriptors.

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};

/// Changing methods that are safe to repeat without a `request_id`: repeated bytes are skipped.
const REPEATABLE: [&str; 1] = ["UploadChunk"];
/// Lists that are bounded in another way: by a resume token and a maximum, by days, by a maximum
/// alone, by what the program holds.
const BOUNDED: [&str; 5] =
    ["ListEvents", "ListSlots", "ListOutbox", "ListTemplates", "ListSchedules"];
/// `google.protobuf.MethodOptions.IdempotencyLevel`.
const NO_SIDE_EFFECTS: i32 = 1;
const IDEMPOTENT: i32 = 2;

/// Every method of our services.
pub fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
    let services: Vec<_> = pool.services().collect();
    services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn level(method: &MethodDescriptor) -> i32 {
    let level = method.options().get_field_by_name("idempotency_level").unwrap().into_owned();
    level.as_enum_number().unwrap_or_default()
}

/// Whether a string field has the rule `(buf.validate.field).string.uuid`.
fn must_be_uuid(field: &FieldDescriptor) -> bool {
    let pool = field.parent_pool();
    let extension = pool.get_extension_by_name("buf.validate.field").unwrap();
    let rules = field.options().get_extension(&extension).into_owned();
    let part = |value: Value, name: &str| {
        value.as_message()?.get_field_by_name(name).map(std::borrow::Cow::into_owned)
    };
    part(rules, "string").and_then(|rules| part(rules, "uuid")) == Some(Value::Bool(true))
}

#[test]
fn every_change_can_be_repeated() {
    for method in methods() {
        let request_id = method.input().get_field_by_name("request_id");
        match level(&method) {
            NO_SIDE_EFFECTS => assert!(request_id.is_none(), "{}", method.full_name()),
            IDEMPOTENT if REPEATABLE.contains(&method.name()) => assert!(request_id.is_none()),
            IDEMPOTENT => {
                let field = request_id.unwrap_or_else(|| panic!("{}", method.full_name()));
                assert_eq!(field.number(), 1, "{}", method.full_name());
                assert!(must_be_uuid(&field), "{}", method.full_name());
            }
            other => panic!("{}: idempotency level {other}", method.full_name()),
        }
    }
}

#[test]
fn every_list_comes_in_pages() {
    let is_list = |method: &MethodDescriptor| {
        let name = method.name();
        name.starts_with("List") || name.starts_with("Search")
    };
    let mut lists = 0;
    for method in methods().into_iter().filter(is_list) {
        let has =
            |message: &MessageDescriptor, field: &str| message.get_field_by_name(field).is_some();
        let (request, response) = (method.input(), method.output());
        let pages = has(&request, "page_size")
            && has(&request, "page_token")
            && has(&response, "next_page_token");
        assert_eq!(pages, !BOUNDED.contains(&method.name()), "{}", method.full_name());
        lists += 1;
    }
    assert!(lists > 5);
}

#[test]
fn every_method_has_messages_of_its_own_name() {
    for method in methods() {
        assert_eq!(method.input().name(), format!("{}Request", method.name()));
        assert_eq!(method.output().name(), format!("{}Response", method.name()));
        assert!(!method.is_client_streaming(), "browsers cannot: {}", method.full_name());
    }
}

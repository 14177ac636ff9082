//! Fills any request with values that pass its rules, so that a call reaches the question whether
//! the caller may see the thing that it names.

use jiff::SignedDuration;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use uuid::Uuid;

use clinicd_tests::World;

use super::households::Household;

/// Whose things a request names.
#[derive(Clone, Copy)]
pub enum Names<'a> {
    Of(&'a Household),
    Nobodys,
}

pub struct Filler<'a> {
    pub world: &'a World,
    pub names: Names<'a>,
}

/// Whether a field names a thing.
pub fn is_id(field: &FieldDescriptor) -> bool {
    field.kind() == Kind::String
        && field.name().ends_with("_id")
        && !["request_id", "challenge_id"].contains(&field.name())
}

impl Filler<'_> {
    pub fn request(&self, of: &MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        // Whoever lists gets everything that the ids leave.
        let is_list = of.name().starts_with("List") && of.get_field_by_name("page_token").is_some();
        for field in of.fields().filter(|field| !is_list || is_id(field)) {
            let first = |field: &FieldDescriptor| match field.containing_oneof() {
                Some(oneof) if !oneof.is_synthetic() => {
                    oneof.fields().next().as_ref() == Some(field)
                }
                Some(_) => is_id(field),
                None => true,
            };
            if !first(&field) {
                continue;
            }
            let value = self.value(&field);
            let value = if field.is_list() { Value::List(vec![value]) } else { value };
            if !field.is_map() {
                message.set_field(&field, value);
            }
        }
        message
    }

    fn value(&self, field: &FieldDescriptor) -> Value {
        let full = format!("{}.{}", field.parent_message().name(), field.name());
        match field.kind() {
            Kind::String => Value::String(self.text(field, &full)),
            Kind::Bool => Value::Bool(false),
            Kind::Int32 => Value::I32(number(field.name())),
            Kind::Int64 => Value::I64(3),
            Kind::Double => Value::F64(1.0),
            Kind::Bytes if field.name() == "sha256" => Value::Bytes(vec![0; 32].into()),
            Kind::Bytes => Value::Bytes(b"abc".to_vec().into()),
            Kind::Enum(_) if full == "CreateStaffMemberRequest.role" => Value::EnumNumber(3),
            Kind::Enum(_) => Value::EnumNumber(1),
            Kind::Message(of) => Value::Message(self.message(&of, field.name())),
            other => panic!("teach the matrix {full}: {other:?}"),
        }
    }

    fn message(&self, of: &MessageDescriptor, name: &str) -> DynamicMessage {
        let now = self.world.app.clock.now().timestamp();
        let seconds = |seconds: i64| {
            let mut message = DynamicMessage::new(of.clone());
            message.set_field_by_name("seconds", Value::I64(seconds));
            message
        };
        match of.name() {
            "Timestamp" => seconds((now + SignedDuration::from_hours(24 * 30)).as_second()),
            "Duration" if name.starts_with("buffer") => seconds(0),
            "Duration" => seconds(if name == "horizon" { 30 * 86_400 } else { 1_800 }),
            "TimeOfDay" => {
                let mut message = DynamicMessage::new(of.clone());
                let hours = if name.contains("end") { 17 } else { 9 };
                message.set_field_by_name("hours", Value::I32(hours));
                message
            }
            _ => self.request(of),
        }
    }

    fn text(&self, field: &FieldDescriptor, full: &str) -> String {
        if is_id(field) {
            return self.id(field.name()).to_string();
        }
        let value = match field.name() {
            "request_id" | "challenge_id" => return self.world.app.ids.next().to_string(),
            "email" => return format!("{}@example.org", self.world.app.ids.next()),
            "etag" => "1",
            "phone" | "mobile" => "+919812345678",
            "time_zone" => "Asia/Kolkata",
            "country_code" => "IN",
            "currency_code" => "INR",
            "order_by" | "page_token" | "language" | "resume_token" => "",
            "notification_ids" => return self.id(field.name()).to_string(),
            "password" | "new_password" => "nine-herons-by-the-canal",
            "url" => "https://partner.invalid/hooks",
            "media_type" => "image/png",
            "file_name" => "a.png",
            "specialty_code" if full.starts_with("CreateStaff") => "",
            "specialty_code" => "cardiology",
            "method" => "clinicd.feed.v1.FeedService/Watch",
            _ => "x",
        };
        value.to_owned()
    }

    fn id(&self, name: &str) -> Uuid {
        let Names::Of(home) = self.names else { return self.world.app.ids.next() };
        match name {
            "account_id" | "actor_id" => home.owner,
            "patient_id" => home.patient,
            "doctor_id" => home.doctor,
            "appointment_id" => home.appointment,
            "note_id" => home.note,
            "prescription_id" => home.prescription,
            "file_id" => home.file,
            "upload_id" => home.upload,
            "application_id" => home.application,
            "session_id" => home.session,
            "sign_in_id" => home.sign_in,
            "service_account_id" => home.service,
            "api_key_id" => home.api_key,
            "job_id" => home.job,
            "endpoint_id" => home.endpoint,
            "up_to_id" | "notification_ids" => home.notification,
            "device_id" => home.device,
            "delivery_id" => home.delivery,
            other => panic!("teach the matrix {other}"),
        }
    }
}

fn number(name: &str) -> i32 {
    match name {
        "year" => 1990,
        "units" => 500,
        "nanos" | "page_size" | "max_events" | "offset" | "refills" | "minutes" => 0,
        _ => 1,
    }
}

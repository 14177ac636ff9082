//! The rule of every method, read from the descriptors when the server starts.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

use super::counts::Counts;
use crate::kernel::kinds::{Role, Scope};

/// Full name of the option.
const OPTION: &str = "clinicd.access.v1.access";

/// Services of the gRPC ecosystem that stand beside ours. They tell nothing about people. Whether
/// a method takes a stream, and whether it gives one.
const STANDARD: [(&str, bool, bool); 5] = [
    ("/grpc.health.v1.Health/Check", false, false),
    ("/grpc.health.v1.Health/Watch", false, true),
    ("/grpc.health.v1.Health/List", false, false),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, true),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true, true),
];

/// Who may call a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Anyone.
    Public,
    /// Any signed-in account.
    SignedIn,
    /// Accounts that hold one of these roles.
    Roles(Vec<Role>),
}

/// The rule of one method.
#[expect(clippy::struct_excessive_bools, reason = "each is told by the descriptors, on its own")]
#[derive(Debug)]
pub struct Rule {
    /// The method without the leading slash; lives as long as the process.
    pub method: &'static str,
    /// Who may call it.
    pub audience: Audience,
    /// It shows medical data: every call is audited.
    pub medical: bool,
    /// The API key scope with which programs may call it; none: they may not.
    pub scope: Option<Scope>,
    /// An admin who calls it acts in the place of missing staff, by declaration.
    pub stand_in: bool,
    /// It changes something: it carries a `request_id` and runs to its end once begun.
    pub changes: bool,
    /// It is one of the standard services, not ours.
    pub standard: bool,
    /// The client sends a stream of messages.
    pub takes_stream: bool,
    /// The server sends a stream of messages.
    pub gives_stream: bool,
    /// What became of its calls.
    pub counts: Counts,
}

/// Which places a call needs to be at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// None: health and reflection are always told.
    Free,
    /// Those of sign-in, registration and the like.
    SignIn,
    /// Those of all other work.
    Work,
}

/// Which calls of one caller are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Sign-in, registration and the like, by client address.
    SignIn,
    /// Reads without a token, by client address.
    PublicReads,
    /// Reads, by account.
    Reads,
    /// Changes, by account.
    Changes,
    /// What shows medical data, by account.
    Medical,
}

impl Rule {
    /// Which rate counts; none for health and reflection.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match (self.audience == Audience::Public, self.changes) {
            _ if self.standard => None,
            (true, true) => Some(Class::SignIn),
            (true, false) => Some(Class::PublicReads),
            _ if self.medical => Some(Class::Medical),
            (false, true) => Some(Class::Changes),
            (false, false) => Some(Class::Reads),
        }
    }

    /// What changes something, or shows medical data after its audit entry, is not broken off when
    /// its client goes away or its deadline passes.
    #[must_use]
    pub fn runs_to_its_end(&self) -> bool {
        self.changes || self.medical
    }

    /// Whether an account with these roles calls it in the place of missing staff: it runs the
    /// platform, and holds none of the staff roles that the method names.
    #[must_use]
    pub fn is_stand_in(&self, roles: &[Role]) -> bool {
        let runs_platform = |role: &Role| matches!(role, Role::Admin | Role::Superuser);
        let Audience::Roles(named) = &self.audience else { return false };
        let mut desk =
            named.iter().filter(|role| role.is_staff() && !runs_platform(role)).peekable();
        let missing = desk.peek().is_some() && !desk.any(|role| roles.contains(role));
        (self.stand_in || missing) && roles.iter().any(runs_platform)
    }

    /// Which places a call of this method needs. What anybody may change without a token is signing
    /// in, and what leads to it: it hashes passwords or makes tokens.
    #[must_use]
    pub fn lane(&self) -> Lane {
        if self.standard {
            Lane::Free
        } else if self.changes && self.audience == Audience::Public {
            Lane::SignIn
        } else {
            Lane::Work
        }
    }
}

/// Why the rules cannot be built; the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The compiled-in descriptors cannot be read.
    #[error("the descriptors cannot be read: {0}")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// A method says nothing, or not exactly one thing, about who may call it.
    #[error("{0} must have the option ({OPTION}) with exactly one of public, signed_in and roles")]
    Audience(String),
    /// A method that anyone may call cannot show medical data.
    #[error("{0} is public and medical at once")]
    PublicMedical(String),
    /// A method does not say whether it changes anything.
    #[error("{0} must set idempotency_level to NO_SIDE_EFFECTS or IDEMPOTENT")]
    Idempotency(String),
}

/// The rules of all methods, by path.
#[derive(Debug, Clone)]
pub struct Rules {
    by_path: HashMap<String, &'static Rule>,
}

impl Rules {
    /// Reads the rules of every method of these descriptors.
    pub fn from_descriptors(set: &[u8]) -> Result<Self, RuleError> {
        let pool = DescriptorPool::decode(set)?;
        let mut by_path = HashMap::new();
        for service in pool.services() {
            for method in service.methods() {
                let rule = rule_of(&pool, &method)?;
                by_path.insert(format!("/{}", rule.method), &*Box::leak(Box::new(rule)));
            }
        }
        for (path, takes_stream, gives_stream) in STANDARD {
            let rule = Rule {
                method: path.trim_start_matches('/'),
                audience: Audience::Public,
                medical: false,
                scope: None,
                stand_in: false,
                changes: false,
                standard: true,
                takes_stream,
                gives_stream,
                counts: Counts::default(),
            };
            by_path.insert(path.to_owned(), &*Box::leak(Box::new(rule)));
        }
        Ok(Self { by_path })
    }

    /// The rule of a path such as `/clinicd.journals.v1.VisitNoteService/GetNote`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&'static Rule> {
        self.by_path.get(path).copied()
    }
}

fn rule_of(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Rule, RuleError> {
    let name = format!("{}/{}", method.parent_service().full_name(), method.name());
    let option = pool.get_extension_by_name(OPTION);
    let options = method.options();
    let access =
        option.as_ref().filter(|o| options.has_extension(o)).map(|o| options.get_extension(o));
    let audience = match access.as_deref() {
        Some(Value::Message(access)) => audience_of(access),
        _ => None,
    };
    let medical =
        matches!(access.as_deref(), Some(Value::Message(access)) if flag(access, "medical"));
    let Some(audience) = audience else { return Err(RuleError::Audience(name)) };
    let stand_in =
        matches!(access.as_deref(), Some(Value::Message(access)) if flag(access, "stand_in"));
    let scope = match access.as_deref() {
        Some(Value::Message(access)) => {
            access.get_field_by_name("scope").and_then(|scope| scope.as_enum_number())
        }
        _ => None,
    };
    if medical && audience == Audience::Public {
        return Err(RuleError::PublicMedical(name));
    }
    let level = options.get_field_by_name("idempotency_level").map(std::borrow::Cow::into_owned);
    let changes = match level {
        Some(Value::EnumNumber(1)) => false,
        Some(Value::EnumNumber(2)) => true,
        _ => return Err(RuleError::Idempotency(name)),
    };
    Ok(Rule {
        method: Box::leak(name.into_boxed_str()),
        audience,
        medical,
        scope: scope.and_then(Scope::from_wire),
        stand_in,
        changes,
        standard: false,
        takes_stream: method.is_client_streaming(),
        gives_stream: method.is_server_streaming(),
        counts: Counts::default(),
    })
}

fn audience_of(access: &DynamicMessage) -> Option<Audience> {
    let roles = match access.get_field_by_name("roles").as_deref() {
        Some(Value::List(roles)) => roles
            .iter()
            .map(|role| role.as_enum_number().and_then(Role::from_wire))
            .collect::<Option<Vec<_>>>()?,
        _ => Vec::new(),
    };
    match (flag(access, "public"), flag(access, "signed_in"), roles.is_empty()) {
        (true, false, true) => Some(Audience::Public),
        (false, true, true) => Some(Audience::SignedIn),
        (false, false, false) => Some(Audience::Roles(roles)),
        _ => None,
    }
}

fn flag(message: &DynamicMessage, field: &str) -> bool {
    message.get_field_by_name(field).as_deref().and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_method_has_a_rule() {
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        let note = rules.get("/clinicd.journals.v1.VisitNoteService/GetNote").unwrap();
        assert!(note.medical && !note.changes && note.scope.is_none());
        let sign_in = rules.get("/clinicd.identity.v1.AuthService/SignIn").unwrap();
        assert_eq!(sign_in.audience, Audience::Public);
        assert!(sign_in.changes);
        assert_eq!((sign_in.lane(), note.lane()), (Lane::SignIn, Lane::Work));
        let watch = rules.get("/clinicd.feed.v1.FeedService/Watch").unwrap();
        assert!(watch.gives_stream && !watch.takes_stream && !note.gives_stream);
        assert_eq!(watch.scope, Some(Scope::FeedRead));
        assert!(rules.get("/clinicd.journals.v1.VisitNoteService/Nothing").is_none());
    }

    #[test]
    fn an_admin_without_the_desk_s_role_stands_in_for_it() {
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        let book =
            rules.get("/clinicd.appointments.v1.AppointmentService/BookAppointment").unwrap();
        assert!(book.is_stand_in(&[Role::Patient, Role::Admin]));
        assert!(!book.is_stand_in(&[Role::Operator, Role::Admin]));
        assert!(!book.is_stand_in(&[Role::Patient]));
        let block = rules.get("/clinicd.identity.v1.UserAdminService/BlockUser").unwrap();
        assert!(!block.is_stand_in(&[Role::Admin]), "an admin's own work");
        let update = rules.get("/clinicd.identity.v1.UserAdminService/UpdateUser").unwrap();
        assert!(update.is_stand_in(&[Role::Superuser]));
    }

    #[test]
    fn a_method_without_a_rule_stops_the_server() {
        use prost::Message;
        let mut set =
            prost_types::FileDescriptorSet::decode(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        // prost_types drops extensions on decoding: what is left has no rule anywhere.
        set.file.retain(|file| !file.service.is_empty() || !file.message_type.is_empty());
        let result = Rules::from_descriptors(&set.encode_to_vec());
        assert!(matches!(result, Err(RuleError::Audience(_))), "{result:?}");
    }
}

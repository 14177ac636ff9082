//! The codec of every generated client and server: protobuf, plus the checks of requests.

use std::collections::HashMap;
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstDecoder, ProstEncoder};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::check::{Checked, MAX_VIOLATIONS, Violation, check_message};

/// The domain of the `ErrorInfo` in our errors.
pub const ERROR_DOMAIN: &str = "clinicd";
/// The reason in the `ErrorInfo` of a request whose fields break their rules.
pub const INVALID_FIELDS: &str = "INVALID_FIELDS";
/// How many fields the message of the error names; the details name them all.
const NAMED_FIELDS: usize = 5;

/// What a message is encoded into at first, in bytes. A stream keeps so much while it is idle, so it
/// is small; longer messages let it grow.
const ENCODED: usize = 1_024;
/// Messages that are ready at once go out together up to about so many bytes.
const TOGETHER: usize = 32 * 1_024;

/// Protobuf on the wire; a decoded request is checked before anyone sees it.
///
/// A request that breaks a rule of its proto ends as `INVALID_ARGUMENT` with the details
/// `BadRequest` (every violation: field, what is allowed, and the rule as its reason) and
/// `ErrorInfo` (reason [`INVALID_FIELDS`], metadata `field`: the first field). A message that is
/// not protobuf at all ends as tonic's `INTERNAL`. Answers are not checked.
#[derive(Clone, Debug)]
pub struct CheckedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for CheckedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for CheckedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Checked + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CheckedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(ENCODED, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        CheckedDecoder(ProstDecoder::default())
    }
}

/// The decoder of [`CheckedCodec`].
#[derive(Clone, Debug)]
pub struct CheckedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + Checked> Decoder for CheckedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = self.0.decode(buffer)?;
        if U::REQUEST
            && let Some(message) = &message
        {
            check_message(message).map_err(|violations| invalid_fields(&violations))?;
        }
        Ok(message)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// The error that tells a caller every broken rule of its request. Also for the rules that only a
/// handler can check, so that a caller meets one form.
#[must_use]
pub fn invalid_fields(violations: &[Violation]) -> Status {
    let field_violations: Vec<_> = violations
        .iter()
        .map(|violation| FieldViolation {
            field: violation.field.clone(),
            description: violation.message.clone(),
            reason: violation.rule.replace('.', "_").to_uppercase(),
            localized_message: None,
        })
        .collect();
    let first = violations.iter().take(1);
    let metadata: HashMap<_, _> =
        first.map(|violation| ("field".to_owned(), violation.field.clone())).collect();
    let mut details = ErrorDetails::new();
    details.set_bad_request(field_violations);
    details.set_error_info(INVALID_FIELDS, ERROR_DOMAIN, metadata);
    Status::with_error_details(Code::InvalidArgument, summary(violations), details)
}

/// "2 fields are invalid: reason, items[0].dose".
fn summary(violations: &[Violation]) -> String {
    let mut fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
    fields.dedup();
    let named = fields.iter().take(NAMED_FIELDS).copied().collect::<Vec<_>>().join(", ");
    let count = match fields.len() {
        1 => "1 field is invalid".to_owned(),
        many if violations.len() >= MAX_VIOLATIONS => format!("at least {many} fields are invalid"),
        many => format!("{many} fields are invalid"),
    };
    let rest = if fields.len() > NAMED_FIELDS { ", …" } else { "" };
    format!("{count}: {named}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(field: &str) -> Violation {
        Violation { field: field.to_owned(), rule: "required", message: "must be set".to_owned() }
    }

    #[test]
    fn the_summary_names_the_first_fields() {
        assert_eq!(summary(&[violation("a"), violation("a")]), "1 field is invalid: a");
        assert_eq!(summary(&[violation("a"), violation("b.c")]), "2 fields are invalid: a, b.c");
        let many: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(violation).into();
        assert_eq!(summary(&many), "6 fields are invalid: a, b, c, d, e, …");
    }
}

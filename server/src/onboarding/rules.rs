//! What an application needs, and which status follows which.

use clinicd_proto::onboarding::v1 as pb;
use jiff::civil::Date;

use super::rows::ApplicationRow;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::wire_enum;

wire_enum! {
    /// Where an application stands.
    Status = pb::ApplicationStatus {
        /// Being filled in.
        Draft = "draft",
        /// Waiting for an admin.
        Submitted = "submitted",
        /// Back with the applicant.
        ChangesRequested = "changes_requested",
        /// The applicant is a doctor.
        Approved = "approved",
        /// Refused.
        Rejected = "rejected",
    }
}

wire_enum! {
    /// A step of an application.
    Step = pb::ApplicationStep {
        /// Name, contact.
        Personal = "personal",
        /// Specialty, registration, experience.
        Professional = "professional",
        /// Where the doctor practises. Optional.
        Clinic = "clinic",
        /// What proves it.
        Documents = "documents",
        /// That all of it is true.
        Declaration = "declaration",
    }
}

wire_enum! {
    /// What a document proves.
    DocumentKind = pb::DocumentKind {
        /// Identity.
        GovernmentId = "government_id",
        /// Medical degree.
        MedicalCertificate = "medical_certificate",
        /// Registration with the council.
        Registration = "registration",
    }
}

impl Step {
    /// All steps, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Personal, Self::Professional, Self::Clinic, Self::Documents, Self::Declaration];

    /// The key of its name in the locales.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Personal => "step_personal",
            Self::Professional => "step_professional",
            Self::Clinic => "step_clinic_address",
            Self::Documents => "step_documents",
            Self::Declaration => "step_declaration",
        }
    }
}

/// What can be done with an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Save a step, attach a document.
    Edit,
    /// Hand it in.
    Submit,
    /// Make the applicant a doctor.
    Approve,
    /// Send steps back.
    RequestChanges,
    /// Refuse it.
    Reject,
}

/// The status after an action; what is not here is refused.
pub fn next(status: Status, action: Action) -> Result<Status> {
    match (status, action) {
        (Status::Draft | Status::ChangesRequested, Action::Edit) => Ok(status),
        (Status::Draft | Status::ChangesRequested, Action::Submit) => Ok(Status::Submitted),
        (Status::Submitted, Action::Approve) => Ok(Status::Approved),
        (Status::Submitted, Action::RequestChanges) => Ok(Status::ChangesRequested),
        (Status::Submitted, Action::Reject) => Ok(Status::Rejected),
        _ => Err(Error::of(Reason::WrongState).with("state", status.as_str())),
    }
}

/// An application as far as it is filled in.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'a> {
    /// The saved steps.
    pub row: &'a ApplicationRow,
    /// The kinds of the attached documents.
    pub documents: &'a [DocumentKind],
}

/// Something that a step needs: its step, its name on the wire, and whether it is there.
type Need = (Step, &'static str, fn(Filled<'_>) -> bool);

/// Everything that a submission needs. The step "clinic" needs nothing; the day of birth, the
/// family name and the qualification may be left out.
const NEEDS: [Need; 10] = [
    (Step::Personal, "name", |filled| filled.row.given_name.is_some()),
    (Step::Personal, "mobile", |filled| filled.row.mobile.is_some()),
    (Step::Professional, "specialty_code", |filled| filled.row.specialty_code.is_some()),
    (Step::Professional, "registration_number", |filled| filled.row.registration_number.is_some()),
    (Step::Professional, "registration_council", |filled| {
        filled.row.registration_council.is_some()
    }),
    (Step::Professional, "years_of_experience", |filled| filled.row.years_of_experience.is_some()),
    (Step::Documents, "government_id", |filled| filled.has(DocumentKind::GovernmentId)),
    (Step::Documents, "medical_certificate", |filled| filled.has(DocumentKind::MedicalCertificate)),
    (Step::Documents, "registration", |filled| filled.has(DocumentKind::Registration)),
    (Step::Declaration, "accepted", |filled| filled.row.declared),
];

impl Filled<'_> {
    fn has(self, kind: DocumentKind) -> bool {
        self.documents.contains(&kind)
    }

    /// What a step lacks.
    #[must_use]
    pub fn missing(self, step: Step) -> Vec<&'static str> {
        let lacking = NEEDS.iter().filter(|(of, _, there)| *of == step && !there(self));
        lacking.map(|(_, name, _)| *name).collect()
    }

    /// Refuses an application that lacks something, and lists all of it.
    pub fn check_complete(self) -> Result<()> {
        let lacking = Step::ALL
            .into_iter()
            .flat_map(|step| self.missing(step).into_iter().map(move |name| (step, name)));
        let mut error = None::<Error>;
        for (step, name) in lacking {
            let so_far = error.unwrap_or_else(|| Error::of(Reason::ApplicationIncomplete));
            error = Some(so_far.missing(step.as_str(), name));
        }
        error.map_or(Ok(()), Err)
    }
}

/// Greatest age of an applicant, in years.
pub const MAX_AGE: i16 = 120;

/// Whether somebody may have been born on this day, seen from today.
#[must_use]
pub fn is_plausible_birth(birth: Date, today: Date) -> bool {
    birth <= today && today.year() - birth.year() <= MAX_AGE
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use jiff::civil::date;

    use super::*;

    const DOCUMENTS: [DocumentKind; 3] =
        [DocumentKind::GovernmentId, DocumentKind::MedicalCertificate, DocumentKind::Registration];

    fn filled_in() -> ApplicationRow {
        let text = || Some("x".to_owned());
        let mut row = ApplicationRow::empty();
        (row.given_name, row.family_name, row.mobile) = (text(), text(), text());
        (row.specialty_code, row.registration_number) = (text(), text());
        (row.registration_council, row.years_of_experience) = (text(), Some(0));
        row.declared = true;
        row
    }

    #[test]
    fn the_whole_table_of_states() {
        use Action::{Approve, Edit, Reject, RequestChanges, Submit};
        use Status::{Approved, ChangesRequested, Draft, Rejected, Submitted};
        let allowed = [
            (Draft, Edit, Draft),
            (Draft, Submit, Submitted),
            (ChangesRequested, Edit, ChangesRequested),
            (ChangesRequested, Submit, Submitted),
            (Submitted, Approve, Approved),
            (Submitted, RequestChanges, ChangesRequested),
            (Submitted, Reject, Rejected),
        ];
        for status in [Draft, Submitted, ChangesRequested, Approved, Rejected] {
            for action in [Edit, Submit, Approve, RequestChanges, Reject] {
                let expected = allowed
                    .iter()
                    .find(|(from, by, _)| (*from, *by) == (status, action))
                    .map(|(_, _, to)| *to);
                match (next(status, action), expected) {
                    (Ok(to), Some(expected)) => assert_eq!(to, expected),
                    (Err(error), None) => assert_eq!(error.reason, Reason::WrongState),
                    (result, _) => panic!("{status:?} {action:?}: {result:?}"),
                }
            }
        }
    }

    #[test]
    fn an_empty_application_lacks_everything_but_the_clinic() {
        let row = ApplicationRow::empty();
        let filled = Filled { row: &row, documents: &[] };
        assert_eq!(filled.missing(Step::Personal), ["name", "mobile"]);
        assert_eq!(filled.missing(Step::Professional).len(), 4);
        assert!(filled.missing(Step::Clinic).is_empty());
        let kinds = ["government_id", "medical_certificate", "registration"];
        assert_eq!(filled.missing(Step::Documents), kinds);
        assert_eq!(filled.missing(Step::Declaration), ["accepted"]);
        let refused = filled.check_complete().unwrap_err();
        assert_eq!(refused.reason, Reason::ApplicationIncomplete);
    }

    #[test]
    fn one_missing_thing_is_named() {
        let mut row = filled_in();
        assert!(Filled { row: &row, documents: &DOCUMENTS }.check_complete().is_ok());
        let two = Filled { row: &row, documents: &DOCUMENTS[..2] };
        assert_eq!(two.missing(Step::Documents), ["registration"]);
        assert!(two.check_complete().is_err());
        row.declared = false;
        let undeclared = Filled { row: &row, documents: &DOCUMENTS };
        assert_eq!(undeclared.missing(Step::Declaration), ["accepted"]);
        assert!(undeclared.check_complete().is_err());
    }

    #[test]
    fn births_are_plausible() {
        let today = date(2026, 11, 20);
        assert!(is_plausible_birth(today, today));
        assert!(is_plausible_birth(date(1906, 1, 1), today));
        assert!(!is_plausible_birth(date(2026, 11, 21), today));
        assert!(!is_plausible_birth(date(1905, 12, 31), today));
    }
}

//! What a prescription must hold.

use clinicd_proto::prescriptions::v1 as pb;

use crate::kernel::error::{Error, Result};

/// Refuses a prescription that prescribes nothing, or an item without a medicine.
pub(super) fn check_content(items: &[pb::PrescriptionItem], text: &str) -> Result<()> {
    if items.is_empty() && text.trim().is_empty() {
        return Err(Error::field("items", "must not be empty where there is no text"));
    }
    let mut blank = (0..).zip(items).filter(|(_, item)| item.medication.trim().is_empty());
    let Some((first, _)) = blank.next() else { return Ok(()) };
    let name = |at: usize| format!("items[{at}].medication");
    let error = Error::field(name(first), "must not be blank");
    Err(blank.fold(error, |error, (at, _)| error.and_field(name(at), "must not be blank")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::error::Reason;

    fn item(medication: &str) -> pb::PrescriptionItem {
        pb::PrescriptionItem { medication: medication.into(), ..Default::default() }
    }

    #[test]
    fn items_or_text_are_enough_and_nothing_is_not() {
        check_content(&[item("Paracetamol 650 mg")], "").unwrap();
        check_content(&[], "Rest.").unwrap();
        for text in ["", " \n\t"] {
            assert_eq!(check_content(&[], text).unwrap_err().reason, Reason::InvalidFields);
        }
    }

    #[test]
    fn every_blank_medicine_is_named() {
        let error = check_content(&[item(" "), item("Ibuprofen"), item("")], "x").unwrap_err();
        let text = tonic::Status::from(error).message().to_owned();
        assert!(text.contains("items[0].medication") && text.contains("items[2].medication"));
        assert!(!text.contains("items[1]"), "{text}");
    }
}

//! Chapters 5 and 6: the visit, its note and prescription, and the log of who saw them.

use std::time::Duration;

use clinicd_sdk::Error;
use clinicd_sdk::proto::appointments::v1 as appointments;
use clinicd_sdk::proto::audit::v1 as audit;
use clinicd_sdk::proto::error::v1::ErrorReason;
use clinicd_sdk::proto::journals::v1 as journals;
use clinicd_sdk::proto::prescriptions::v1 as prescriptions;

use super::ledger::{self, Intruder};
use super::story::{Day, Failure, Outcome, People, Teller, insist, present, refused};

impl Day {
    /// Chapter 5: the visit, its note and prescription, and who may not see them.
    pub async fn visit(
        &self,
        teller: &mut Teller,
        people: &People,
        appointment: &appointments::Appointment,
    ) -> Outcome<()> {
        teller.chapter("5. The visit");
        let doctor = &people.doctor;
        doctor
            .send(appointments::StartVisitRequest {
                appointment_id: appointment.id.clone(),
                etag: appointment.etag.clone(),
                ..Default::default()
            })
            .await?;
        let draft = doctor
            .send(journals::SaveDraftRequest {
                appointment_id: appointment.id.clone(),
                text: "Palpitations for five days, at rest. Pulse 88, regular. ECG normal."
                    .to_owned(),
                ..Default::default()
            })
            .await?;
        let draft = present(draft.note, "note")?;
        let get = journals::GetNoteRequest { note_id: draft.id.clone() };
        refused(people.patient.send(get.clone()).await, ErrorReason::NotFound)?;
        let sign = journals::SignNoteRequest {
            note_id: draft.id.clone(),
            etag: draft.etag,
            ..Default::default()
        };
        doctor.send(sign).await?;
        teller.say("Dr. Deshpande begins the visit, writes a note and signs it.");
        let read = present(people.patient.send(get.clone()).await?.note, "note")?;
        insist(read.text.contains("ECG normal"), "the patient reads the signed note")?;
        teller.say("Nisha reads it.");
        let nobody = journals::GetNoteRequest { note_id: uuid::Uuid::from_u128(7).to_string() };
        for stranger in [&people.other_patient, &people.other_doctor, &people.operator] {
            let hidden = refusal(stranger.send(get.clone()).await)?;
            let absent = refusal(stranger.send(nobody.clone()).await)?;
            insist(hidden == absent, "a hidden note looks like none")?;
        }
        teller.say("Another patient, another doctor and the operator find no such note.");
        self.prescribe(teller, people, appointment).await
    }

    async fn prescribe(
        &self,
        teller: &mut Teller,
        people: &People,
        appointment: &appointments::Appointment,
    ) -> Outcome<()> {
        let item = |medication: &str, frequency: &str, instructions: &str| {
            prescriptions::PrescriptionItem {
                medication: medication.to_owned(),
                dose: "1 tablet".to_owned(),
                route: "by mouth".to_owned(),
                frequency: frequency.to_owned(),
                duration: "30 days".to_owned(),
                quantity: "30 tablets".to_owned(),
                refills: 1,
                instructions: instructions.to_owned(),
            }
        };
        let issued = people
            .doctor
            .send(prescriptions::IssuePrescriptionRequest {
                appointment_id: appointment.id.clone(),
                items: vec![
                    item("Metoprolol succinate 25 mg", "once a day, in the morning", ""),
                    item("Magnesium 365 mg", "once a day, in the evening", "With plenty of water."),
                ],
                text: "Less coffee. Come again in four weeks.".to_owned(),
                ..Default::default()
            })
            .await?;
        let issued = present(issued.prescription, "prescription")?;
        let pdf = people.patient.download_prescription(&issued.id).await?;
        insist(pdf.starts_with(b"%PDF-"), "the prescription is a PDF")?;
        let path = self.data_dir.join("clinic-day-prescription.pdf");
        std::fs::write(&path, &pdf)?;
        teller.say(&format!("Prescription {} lies in {}.", issued.number, path.display()));
        let get = prescriptions::GetPrescriptionRequest { prescription_id: issued.id };
        refused(people.other_patient.send(get).await, ErrorReason::NotFound)?;
        Ok(())
    }

    /// Chapter 6: who saw what, and that nobody can change it unseen.
    pub async fn look_back(&self, teller: &mut Teller, people: &People) -> Outcome<()> {
        teller.chapter("6. The audit log of the day");
        let patient_id = present(people.patient.account_id(), "account")?.to_owned();
        let search = audit::SearchAuditLogRequest {
            patient_id: Some(patient_id.clone()),
            page_size: 25,
            ..Default::default()
        };
        let entries = people.admin.all(search).await?;
        for entry in entries.iter().rev() {
            let roles: Vec<&str> = entry
                .actor_roles()
                .map(|role| role.as_str_name().trim_start_matches("ROLE_"))
                .collect();
            let method = entry.method.rsplit('.').next().unwrap_or_default();
            println!("    {:<45} {:<16} {}", method, entry.rule, roles.join("+"));
        }
        insist(entries.len() >= 5, "the log holds every access of the visit")?;
        let mine = audit::ListMyAccessLogRequest { page_size: 25, ..Default::default() };
        let mine = people.patient.all(mine).await?;
        insist(mine.len() >= 5, "the patient sees who looked at her record")?;
        teller.say("The admin and the patient see who saw what.");
        // Entries are sealed within a second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let clinicd = ledger::program()?;
        let (whole, said) = ledger::verify(&clinicd, &self.data_dir)?;
        insist(whole, &format!("the chain is whole ({said})"))?;
        teller.say(&format!("clinicd audit verify: {said}"));
        let intruder = Intruder::enter(&self.data_dir).await?;
        let (entry, stood) = intruder.change_a_byte(&patient_id).await?;
        let result = ledger::verify(&clinicd, &self.data_dir);
        intruder.write(&entry, &stood).await?;
        let (whole, said) = result?;
        insist(!whole && said.contains(&entry), &format!("the changed entry is named ({said})"))?;
        teller.say(&format!("After one byte was changed in the database: {said}"));
        let (whole, _) = ledger::verify(&clinicd, &self.data_dir)?;
        insist(whole, "the chain is whole again when the byte is put back")
    }
}

/// What a refusal shows, without the id of the call.
fn refusal<T>(result: Result<T, Error>) -> Outcome<String> {
    let Err(error) = result else { return Err(Failure("not refused".to_owned())) };
    let api = present(error.api(), "refusal")?;
    insist(error.is(ErrorReason::NotFound), "the refusal looks like not found")?;
    Ok(format!("{:?} {} {} {:?}", api.code, api.reason, api.message, api.metadata))
}

//! Chapters 1 and 2: an admin, an operator, and two doctors who pass onboarding.

use clinicd_sdk::Client;
use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::appointments::v1 as appointments;
use clinicd_sdk::proto::error::v1::ErrorReason;
use clinicd_sdk::proto::identity::v1 as identity;
use clinicd_sdk::proto::onboarding::v1 as onboarding;
use clinicd_sdk::proto::r#type::v1 as types;
use onboarding::save_application_step_request::Step;

use super::papers;
use super::story::{Day, Outcome, PASSWORD, People, Teller, insist, present, refused};

impl Day {
    /// Registers somebody and follows the mailed link; the address and a first session.
    async fn register(&self, name: (&str, &str)) -> Outcome<(String, Client)> {
        let client = Client::connect_lazy(&self.url)?;
        let email = address(name.0)?;
        client
            .send(identity::RegisterAccountRequest {
                email: email.clone(),
                password: PASSWORD.to_owned(),
                name: Some(types::PersonName { given: name.0.into(), family: name.1.into() }),
                language: "en".to_owned(),
                ..Default::default()
            })
            .await?;
        let activation_token = self.outbox().token(&email).await?;
        client
            .send(identity::ConfirmActivationRequest { activation_token, ..Default::default() })
            .await?;
        let client = client.sign_in(&email, PASSWORD).await?;
        Ok((email, client))
    }

    /// A new session: a change of roles has ended those before.
    async fn again(&self, email: &str) -> Outcome<Client> {
        Ok(Client::connect_lazy(&self.url)?.sign_in(email, PASSWORD).await?)
    }

    /// Chapters 1 and 2: an admin, an operator, and two doctors who pass onboarding.
    pub async fn arrive(&self, teller: &mut Teller) -> Outcome<People> {
        teller.chapter("1. The superuser grants admin to an account");
        let login = std::fs::read_to_string(self.data_dir.join("first-login.txt"))?;
        let field = |name: &str| {
            login.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
        };
        let (email, password) = (field("email:"), field("password:"));
        let superuser = Client::connect_lazy(&self.url)?.sign_in(email, password).await?;
        teller.say("The superuser signs in with the password of first-login.txt.");
        let (email, admin) = self.register(("Meera", "Kulkarni")).await?;
        let account_id = present(admin.account_id(), "account")?.to_owned();
        let grant = identity::GrantAdminRequest { account_id, ..Default::default() };
        superuser.send(grant).await?;
        let admin = self.again(&email).await?;
        teller.say("Meera registers, follows the mailed link, and becomes an admin.");
        let operator = self.hire(&admin).await?;
        teller.say("Meera hires Ravi for the front desk; he accepts the mailed invitation.");

        teller.chapter("2. A doctor passes onboarding");
        let (email, doctor) = self.register(("Anjali", "Deshpande")).await?;
        self.onboard(teller, &doctor, &admin, true).await?;
        let doctor = self.again(&email).await?;
        let (email, other_doctor) = self.register(("Farid", "Ansari")).await?;
        self.onboard(teller, &other_doctor, &admin, false).await?;
        let other_doctor = self.again(&email).await?;
        let (_, patient) = self.register(("Nisha", "Patil")).await?;
        let (_, other_patient) = self.register(("Kabir", "Shah")).await?;
        Ok(People { admin, operator, doctor, other_doctor, patient, other_patient })
    }

    async fn hire(&self, admin: &Client) -> Outcome<Client> {
        let email = address("ravi")?;
        admin
            .send(identity::CreateStaffMemberRequest {
                email: email.clone(),
                name: Some(types::PersonName { given: "Ravi".into(), family: "Joshi".into() }),
                role: Role::Operator.into(),
                ..Default::default()
            })
            .await?;
        let activation_token = self.outbox().token(&email).await?;
        let password = Some(PASSWORD.to_owned());
        let client = Client::connect_lazy(&self.url)?;
        client
            .send(identity::ConfirmActivationRequest {
                activation_token,
                password,
                ..Default::default()
            })
            .await?;
        Ok(client.sign_in(&email, PASSWORD).await?)
    }

    /// The application, step by step; with `sent_back` the admin asks for a correction first.
    async fn onboard(
        &self,
        teller: &mut Teller,
        doctor: &Client,
        admin: &Client,
        sent_back: bool,
    ) -> Outcome<()> {
        let me = present(doctor.send(identity::GetMyAccountRequest {}).await?.account, "account")?;
        let name = present(me.name.clone(), "name")?;
        doctor.send(onboarding::StartApplicationRequest::default()).await?;
        let schedule = appointments::GetScheduleRequest { doctor_id: me.id.clone() };
        refused(doctor.send(schedule).await, ErrorReason::OnboardingNotApproved)?;
        for step in steps(&name, if sent_back { "MMC" } else { "MMC 2011/04/1187" }) {
            save(doctor, step).await?;
        }
        teller.say(&format!("Dr. {} {} fills the application in.", name.given, name.family));
        let submit = onboarding::SubmitApplicationRequest::default();
        refused(doctor.send(submit).await, ErrorReason::ApplicationIncomplete)?;
        attach_documents(doctor, &name.family).await?;
        teller.say("Three documents go up in chunks: a PNG, a PDF, a JPEG.");
        doctor.send(onboarding::SubmitApplicationRequest::default()).await?;
        let mut application = self.queued(admin, &me.id).await?;
        for document in &application.documents {
            let file = present(document.file.as_ref(), "file")?;
            let bytes = admin.download(&file.id).await?.bytes().await?;
            insist(i64::try_from(bytes.len())? == file.size_bytes, "a document arrives whole")?;
        }
        teller.say("The admin sees the application in the queue and opens the documents.");
        if sent_back {
            application = self.mend(teller, doctor, admin, application, &name).await?;
        }
        admin
            .send(onboarding::ApproveApplicationRequest {
                application_id: application.id,
                etag: application.etag,
                ..Default::default()
            })
            .await?;
        self.outbox().mail(&me.email, "pproved").await?;
        teller.say("The admin approves; the mail about it lies in the outbox.");
        Ok(())
    }

    /// The admin finds the application of this account in the queue.
    async fn queued(&self, admin: &Client, account: &str) -> Outcome<onboarding::Application> {
        let queue = onboarding::ListApplicationsRequest {
            status: Some(onboarding::ApplicationStatus::Submitted.into()),
            page_size: 25,
            ..Default::default()
        };
        let waiting = admin.all(queue).await?;
        let found = waiting.into_iter().find(|application| application.account_id == account);
        let application_id = present(found, "waiting application")?.id;
        let get = onboarding::GetApplicationRequest { application_id };
        present(admin.send(get).await?.application, "application")
    }

    async fn mend(
        &self,
        teller: &mut Teller,
        doctor: &Client,
        admin: &Client,
        application: onboarding::Application,
        name: &types::PersonName,
    ) -> Outcome<onboarding::Application> {
        let account = application.account_id.clone();
        admin
            .send(onboarding::RequestChangesRequest {
                application_id: application.id,
                etag: application.etag,
                changes: vec![onboarding::StepChange {
                    step: onboarding::ApplicationStep::Professional.into(),
                    reason: "The registration number is not complete.".to_owned(),
                }],
                ..Default::default()
            })
            .await?;
        let mine = doctor.send(onboarding::GetMyApplicationRequest {}).await?.application;
        let asked = present(mine, "application")?.steps;
        let asked = asked.iter().find(|step| !step.change_requested.is_empty());
        insist(asked.is_some(), "the doctor sees what is to be changed")?;
        teller.say("The admin sends one step back, with a reason.");
        let mended = steps(name, "MMC 2004/02/0345");
        let [professional, ..] = mended;
        save(doctor, professional).await?;
        doctor.send(onboarding::SubmitApplicationRequest::default()).await?;
        teller.say("The doctor mends it and hands it in again.");
        self.queued(admin, &account).await
    }
}

async fn save(doctor: &Client, step: Step) -> Outcome<()> {
    let save = onboarding::SaveApplicationStepRequest { step: Some(step), ..Default::default() };
    doctor.send(save).await?;
    Ok(())
}

fn professional(registration_number: &str) -> onboarding::ProfessionalStep {
    onboarding::ProfessionalStep {
        specialty_code: "cardiology".to_owned(),
        registration_number: registration_number.to_owned(),
        registration_council: "Maharashtra Medical Council".to_owned(),
        years_of_experience: 21,
        qualification: "MBBS, MD, DM (Cardiology)".to_owned(),
    }
}

/// An address that is new on every day.
fn address(name: &str) -> Outcome<String> {
    let now = std::time::UNIX_EPOCH.elapsed()?.as_nanos();
    Ok(format!("{}.{now}@example.org", name.to_lowercase()))
}

fn steps(name: &types::PersonName, registration: &str) -> [Step; 4] {
    [
        Step::Professional(professional(registration)),
        Step::Personal(onboarding::PersonalStep {
            name: Some(name.clone()),
            mobile: "098123 45678".to_owned(),
            birth_date: Some(types::Date { year: 1979, month: 4, day: 12 }),
        }),
        Step::Clinic(onboarding::ClinicStep {
            name: "Lake View Clinic".to_owned(),
            address: Some(types::Address {
                lines: vec!["14 Prabhat Road".to_owned()],
                city: "Pune".to_owned(),
                region: "Maharashtra".to_owned(),
                postal_code: "411004".to_owned(),
                country_code: "IN".to_owned(),
            }),
        }),
        Step::Declaration(onboarding::DeclarationStep { accepted: true }),
    ]
}

/// Uploads the three documents and adds them to the application.
async fn attach_documents(doctor: &Client, name: &str) -> Outcome<()> {
    let certificate = papers::certificate(name)?;
    let documents = [
        (onboarding::DocumentKind::GovernmentId, "card.png", "image/png", papers::identity_card()?),
        (
            onboarding::DocumentKind::MedicalCertificate,
            "degree.pdf",
            "application/pdf",
            certificate,
        ),
        (
            onboarding::DocumentKind::Registration,
            "council.jpg",
            "image/jpeg",
            papers::registration()?,
        ),
    ];
    for (kind, file, media_type, bytes) in documents {
        let file_id = doctor.upload(file, media_type, &bytes).await?.id;
        let attach =
            onboarding::AttachDocumentRequest { kind: kind.into(), file_id, ..Default::default() };
        doctor.send(attach).await?;
    }
    Ok(())
}

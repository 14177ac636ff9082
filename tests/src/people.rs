//! The people of a world. They act through the SDK alone.

use clinicd_sdk::Client;
use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{
    ConfirmActivationRequest, CreateStaffMemberRequest, GrantAdminRequest, RegisterAccountRequest,
};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_server::identity;

use crate::expect::eventually;
use crate::world::World;

/// Everybody's password.
pub const PASSWORD: &str = "quiet-harbour-lantern-82";

/// Somebody with an account, signed in.
#[derive(Debug, Clone)]
pub struct Person {
    /// The account's id; also that of the own patient record and, for a doctor, of the doctor.
    pub id: String,
    /// Sign-in address.
    pub email: String,
    /// The name.
    pub name: PersonName,
    /// Acts for this person.
    pub client: Client,
}

impl World {
    /// Somebody new who has registered, confirmed the address and signed in.
    pub async fn patient(&self) -> Person {
        let number = self.next_number();
        self.registered(&format!("asha{number}@example.org"), "Asha", &format!("Rao {number}"))
            .await
    }

    /// Registers somebody with this address and name.
    pub async fn registered(&self, email: &str, given: &str, family: &str) -> Person {
        let name = PersonName { given: given.to_owned(), family: family.to_owned() };
        let request = RegisterAccountRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            name: Some(name.clone()),
            ..Default::default()
        };
        let mails = self.mails_to(email).len();
        self.client().send(request).await.unwrap();
        // Whoever had this address before had such a mail, too.
        eventually("a mail", async || self.mails_to(email).len() > mails).await;
        self.activate(email, None).await;
        self.signed_in(email, name).await
    }

    /// Uses the mailed token; an invited account also sets its password.
    pub async fn activate(&self, email: &str, password: Option<&str>) {
        let request = ConfirmActivationRequest {
            request_id: String::new(),
            activation_token: self.token_in_mail(email).await,
            password: password.map(str::to_owned),
        };
        self.client().send(request).await.unwrap();
    }

    /// Signs in with the usual password.
    pub async fn signed_in(&self, email: &str, name: PersonName) -> Person {
        let client = self.client().sign_in(email, PASSWORD).await.unwrap();
        let id = client.account_id().unwrap().to_owned();
        Person { id, email: email.to_owned(), name, client }
    }

    /// The same person in a new session, which knows of roles granted just now.
    pub async fn again(&self, person: &Person) -> Person {
        self.signed_in(&person.email, person.name.clone()).await
    }

    /// The owner of the platform, made from the command line; one per world.
    pub async fn superuser(&self) -> Person {
        let make = async || {
            let email = "superuser@example.org";
            identity::create_superuser(&self.app, email, PASSWORD).await.unwrap();
            let name = PersonName { given: "Superuser".to_owned(), family: String::new() };
            self.signed_in(email, name).await
        };
        self.superuser.get_or_init(make).await.clone()
    }

    /// An admin; the same one at each call.
    pub async fn admin(&self) -> Person {
        self.admin.get_or_init(|| self.new_admin()).await.clone()
    }

    /// Another admin.
    pub async fn new_admin(&self) -> Person {
        let person = self.patient().await;
        let request = GrantAdminRequest { account_id: person.id.clone(), ..Default::default() };
        self.superuser().await.client.send(request).await.unwrap();
        self.again(&person).await
    }

    /// A new operator.
    pub async fn operator(&self) -> Person {
        self.staff(Role::Operator, "Kiran").await
    }

    /// A new pharmacist.
    pub async fn pharmacist(&self) -> Person {
        self.staff(Role::Pharmacist, "Farid").await
    }

    async fn staff(&self, role: Role, given: &str) -> Person {
        let number = self.next_number();
        let email = format!("{}{number}@example.org", given.to_lowercase());
        let name = PersonName { given: given.to_owned(), family: format!("Shah {number}") };
        let request = CreateStaffMemberRequest {
            email: email.clone(),
            name: Some(name.clone()),
            role: role.into(),
            ..Default::default()
        };
        self.admin().await.client.send(request).await.unwrap();
        self.activate(&email, Some(PASSWORD)).await;
        self.signed_in(&email, name).await
    }
}

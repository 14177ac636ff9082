//! Many people at the cost of one: copies of an account, made in the database.

use std::fmt::Write as _;

use clinicd_sdk::proto::r#type::v1::PersonName;
use futures_util::future::join_all;

use crate::people::Person;
use crate::world::World;

/// What makes an account a patient, in the order of the references: table, and column of the
/// account.
const PATIENT: [(&str, &str); 3] =
    [("accounts", "id"), ("account_roles", "account_id"), ("patients", "id")];
/// What makes it a doctor besides.
const DOCTOR: [(&str, &str); 4] = [
    ("doctors", "id"),
    ("doctor_fees", "doctor_id"),
    ("schedules", "doctor_id"),
    ("schedule_rules", "doctor_id"),
];

impl World {
    /// New patients, signed in. One registers; the others are copies of that account, and sign in
    /// like anybody.
    pub async fn crowd(&self, size: usize) -> Vec<Person> {
        let model = self.patient().await;
        let copies = self.copies(&model, size - 1, &PATIENT).await;
        let signing_in = copies.iter().map(|(_, email)| {
            let name = PersonName { family: email.clone(), ..model.name.clone() };
            self.signed_in(email, name)
        });
        let mut crowd = join_all(signing_in).await;
        crowd.push(model);
        crowd
    }

    /// The ids of new doctors with the profile, fees and schedule of this one.
    pub async fn doctors_like(&self, model: &Person, count: usize) -> Vec<String> {
        let tables = [&PATIENT[..], &DOCTOR[..]].concat();
        let copies = self.copies(model, count, &tables).await;
        copies.into_iter().map(|(id, _)| id).collect()
    }

    /// Copies the rows of an account; the ids and addresses of the new ones.
    async fn copies(
        &self,
        model: &Person,
        count: usize,
        tables: &[(&str, &str)],
    ) -> Vec<(String, String)> {
        let new = |_| {
            let email = format!("copy{}@example.org", self.next_number());
            (self.app.ids.next().to_string(), email)
        };
        let new: Vec<(String, String)> = (0..count).map(new).collect();
        if new.is_empty() {
            return new;
        }
        let values: Vec<String> =
            new.iter().map(|(id, email)| format!("('{id}', '{email}')")).collect();
        let mut sql = String::from("BEGIN;");
        for (table, column) in tables {
            write!(
                sql,
                "INSERT INTO {table} SELECT (jsonb_populate_record(old, jsonb_build_object( \
                    'id', new.id, 'account_id', new.id, 'doctor_id', new.id, \
                    'email', new.email, 'email_key', new.email, 'family_name', new.email))).* \
                 FROM {table} old, (VALUES {}) AS new (id, email) WHERE old.{column} = '{}';",
                values.join(", "),
                model.id,
            )
            .unwrap();
        }
        self.sql(&(sql + "COMMIT")).await;
        new
    }
}

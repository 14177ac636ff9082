//! What people see of their messages, and what admins see of deliveries.

mod deliveries;
mod devices;
mod failing;
mod greetings;
mod inbox;
mod outbox;
mod preferences;
mod sandbox;
mod table;
mod texts;
mod unsubscribe;

use clinicd_server::kernel::kinds::AccountId;
use clinicd_tests::{Person, World};

/// Writes a message straight into an inbox, and returns its id.
async fn written(world: &World, account: &str, kind: &str) -> String {
    let (id, now) = (world.app.ids.next(), world.app.clock.now().timestamp());
    world
        .sql(&format!(
            "INSERT INTO notifications (id, account_id, kind, once_key, template_values, in_inbox, \
                urgent, created_at) VALUES ('{id}', '{account}', '{kind}', '{id}', '{{}}', true, \
                false, '{now}')"
        ))
        .await;
    id.to_string()
}

/// The account of a person, as the server knows it.
fn account_id(person: &Person) -> AccountId {
    AccountId(person.id.parse().unwrap())
}

/// How many rows a query counts.
async fn count(world: &World, from: &str) -> usize {
    let rows = world.sql(&format!("SELECT count(*)::text FROM {from}")).await;
    rows[0][0].parse().unwrap()
}

//! What people see of their messages, and what admins see of deliveries.

mod deliveries;
mod devices;
mod greetings;
mod inbox;
mod preferences;
mod sandbox;
mod unsubscribe;

use clinicd_tests::World;

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

/// How many rows a query counts.
async fn count(world: &World, from: &str) -> usize {
    let rows = world.sql(&format!("SELECT count(*)::text FROM {from}")).await;
    rows[0][0].parse().unwrap()
}

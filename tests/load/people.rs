//! Signing in seeded people.

use clinicd_sdk::{Client, RetryPolicy};

use crate::Result;

/// The connections of a run. No call is repeated, so that every failure shows.
pub fn connections(server: &str, count: usize) -> Result<Vec<Client>> {
    let open = |_| Ok(Client::builder(server).retry(RetryPolicy::NONE).connect_lazy()?);
    (0..count.max(1)).map(open).collect()
}

/// The same session on each connection.
pub async fn signed_in(connections: &[Client], email: &str) -> Result<Vec<Client>> {
    let first = connections.first().ok_or("no connection")?;
    let patient = first.with_retry(RetryPolicy::default());
    let client = patient.sign_in(email, crate::PASSWORD).await.map_err(|error| {
        format!("{email} cannot sign in ({error}); was the database seeded by clinicd-load?")
    })?;
    let id = client.account_id().unwrap_or_default();
    let tokens = client.tokens().unwrap_or_default();
    let again = |one: &Client| Ok(one.with_tokens(id.to_owned(), tokens.clone())?);
    connections.iter().map(again).collect()
}

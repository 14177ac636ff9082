//! The database, for what the load tool must know or tidy up. Calls under load never come here.

use tokio_postgres::{Client, NoTls};

use crate::Result;

/// A connection, made without TLS.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The one whole number that a query gives.
pub async fn number(client: &Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(sql, &[]).await?.try_get(0)?)
}

/// The database's time, in Unix seconds.
pub async fn now(client: &Client) -> Result<i64> {
    number(client, "SELECT extract(epoch FROM now())::bigint").await
}

/// The texts in the first column of what a query gives.
pub async fn texts(client: &Client, sql: &str) -> Result<Vec<String>> {
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

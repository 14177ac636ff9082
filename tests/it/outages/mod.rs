//! What goes away, and comes back: the database, its standby, the server itself.

mod database;
mod killed;
mod load;
mod notifications;
mod standby;

use clinicd_tests::World;

/// Ends a world in which jobs were claimed by somebody who never heard of it. They are taken over when
/// their leases have run out, which is not waited for.
async fn finish(world: World) {
    world.sql("UPDATE jobs SET lease_until = now() WHERE state = 'running'").await;
    world.finish().await;
}

//! Who acts in the call at hand, for what is written about every change.

use super::super::kinds::AccountId;

tokio::task_local! {
    static CURRENT: Actor;
}

/// Who makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The account.
    pub account: AccountId,
    /// An admin in the place of missing staff.
    pub stand_in: bool,
}

impl Actor {
    /// Who acts in this task; none in jobs and commands.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|actor| *actor).ok()
    }

    /// Runs a call as this actor; a public one as nobody.
    pub(super) async fn acting<F: Future>(actor: Option<Self>, call: F) -> F::Output {
        match actor {
            Some(actor) => CURRENT.scope(actor, call).await,
            None => call.await,
        }
    }
}

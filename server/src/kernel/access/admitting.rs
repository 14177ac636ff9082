//! Who calls, and whether the rule of the method lets them in.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;

use super::layer::AccessLayer;
use super::rules::{Audience, Rule};
use super::{Caller, SessionFacts, SignedIn};
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Role, Scope, SessionId};
use crate::kernel::transport::Peer;

/// Longest text that a client may say of itself, in characters.
const USER_AGENT_MAX: usize = 200;

impl AccessLayer {
    /// Finds out who calls, and whether the rule lets them in. Nobody's calls are counted; those
    /// with a ticket were before it was looked up.
    pub(super) async fn admit(
        &self,
        rule: &'static Rule,
        head: &Parts,
    ) -> Result<(Caller, Result<()>)> {
        let admitted = self.identify(rule, head).await;
        let nobodys = admitted.as_ref().is_err_and(|error| error.reason == Reason::Unauthenticated);
        if nobodys && ticket(rule, head).is_none() {
            // This call has its answer. When it was one too many, the next ones wait.
            self.rates.unauthenticated(peer_address(&head.extensions)).ok();
        }
        admitted
    }

    /// A role that was given a moment ago counts: before a refusal the database is asked anew.
    async fn identify(&self, rule: &'static Rule, head: &Parts) -> Result<(Caller, Result<()>)> {
        let mut caller = Caller {
            session: None,
            method: rule.method,
            medical: rule.medical,
            address: address(&head.extensions),
            user_agent: user_agent(&head.headers),
            trail: Arc::default(),
        };
        if rule.audience == Audience::Public {
            return Ok((caller, Ok(())));
        }
        let (session, account) = self.session(rule, head).await?;
        let mut facts = self.facts(session, account).await?;
        if self.permitted(rule, &facts).is_err() {
            self.sessions.forget(session);
            facts = self.facts(session, account).await?;
        }
        if !self.sessions.used(&self.app, session, &facts).await? {
            return Err(Error::of(Reason::Unauthenticated));
        }
        let permission = self.permitted(rule, &facts);
        caller.session = Some(SignedIn {
            account: facts.account,
            session,
            roles: facts.roles,
            scopes: facts.scopes,
            signed_in_at: facts.began_at,
            second_factor: facts.second_factor,
        });
        Ok((caller, permission))
    }

    /// The facts about a live session, which belongs to the account if one is given.
    async fn facts(&self, session: SessionId, account: Option<AccountId>) -> Result<SessionFacts> {
        let facts = self.sessions.find(&self.app, session).await?;
        let facts = facts.filter(|facts| account.is_none_or(|account| account == facts.account));
        facts.ok_or_else(|| Error::of(Reason::Unauthenticated))
    }

    /// The session that a call names by its token, with the token's account, or by a ticket.
    async fn session(
        &self,
        rule: &'static Rule,
        head: &Parts,
    ) -> Result<(SessionId, Option<AccountId>)> {
        let unauthenticated = || Error::of(Reason::Unauthenticated);
        if let Some(ticket) = ticket(rule, head) {
            self.rates.unauthenticated(peer_address(&head.extensions))?;
            let session = self.sessions.redeem(&self.app, ticket, rule.method).await?;
            return session.map(|session| (session, None)).ok_or_else(unauthenticated);
        }
        let headers = &head.headers;
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(unauthenticated)?;
        let now = self.app.clock.now();
        let claims =
            self.app.tokens.verify(token, now.timestamp()).map_err(|_| unauthenticated())?;
        Ok((SessionId(claims.sid), Some(AccountId(claims.sub))))
    }

    /// Whether the rule lets an account in.
    fn permitted(&self, rule: &Rule, facts: &SessionFacts) -> Result<()> {
        if let Some(scopes) = &facts.scopes {
            return in_scope(rule, scopes);
        }
        if let Audience::Roles(roles) = &rule.audience {
            has_role(roles, facts)?;
        }
        let staff = facts.roles.iter().any(|role| role.is_staff());
        if rule.medical && staff && !facts.second_factor && self.app.config.staff_second_factor() {
            return Err(Error::of(Reason::MfaRequired));
        }
        Ok(())
    }
}

/// Programs may call what names a scope of their key, and nothing else.
fn in_scope(rule: &Rule, scopes: &[Scope]) -> Result<()> {
    let Some(scope) = rule.scope else { return Err(Error::of(Reason::ScopeRequired)) };
    if scopes.contains(&scope) {
        return Ok(());
    }
    Err(Error::of(Reason::ScopeRequired).with("scope", scope.as_str()))
}

fn has_role(roles: &[Role], facts: &SessionFacts) -> Result<()> {
    if roles.iter().any(|role| facts.roles.contains(role)) {
        return Ok(());
    }
    if facts.applicant && roles.contains(&Role::Doctor) {
        return Err(Error::of(Reason::OnboardingNotApproved));
    }
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    Err(Error::of(Reason::RoleRequired).with("roles", names.join(",")))
}

/// The ticket in the query of a URL that opens a stream; a token counts before it.
fn ticket<'a>(rule: &Rule, head: &'a Parts) -> Option<&'a str> {
    if !rule.gives_stream || head.headers.contains_key(AUTHORIZATION) {
        return None;
    }
    head.uri.query()?.split('&').find_map(|pair| pair.strip_prefix("ticket="))
}

/// What a client says of itself, cut to [`USER_AGENT_MAX`] and without signs that could forge a
/// line of a log.
fn user_agent(headers: &HeaderMap) -> String {
    let text = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.chars().take(USER_AGENT_MAX).collect()
}

pub(super) fn peer_address(extensions: &http::Extensions) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| peer.address)
}

fn address(extensions: &http::Extensions) -> String {
    peer_address(extensions).map(|address| address.to_string()).unwrap_or_default()
}

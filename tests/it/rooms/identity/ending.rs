//! Whatever ends a session ends it on every server within a second, and every stream of it.

use clinicd_sdk::proto::feed::v1::{WatchRequest, WatchResponse};
use clinicd_sdk::proto::identity::v1::{
    BlockUserRequest, ChangePasswordRequest, DeleteMyAccountRequest, DeleteUserRequest,
    GetMyAccountRequest, GrantAdminRequest, ListMySessionsRequest, RemoveStaffMemberRequest,
    RevokeAdminRequest, RevokeOtherSessionsRequest, RevokeSessionRequest, SignOutRequest,
};
use clinicd_sdk::{Client, Code, Messages, RetryPolicy};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, refused, wire};

use crate::rooms::COUNTS;

/// A session on another server that is about to end, with an open stream.
struct Session {
    access_token: String,
    server: tonic::transport::Channel,
    stream: Messages<WatchResponse>,
}

impl Session {
    async fn of(person: &Person, url: &str) -> Self {
        let tokens = person.client.tokens().unwrap();
        let there = Client::builder(url).retry(RetryPolicy::NONE).connect_lazy().unwrap();
        let there = there.with_tokens(person.id.clone(), tokens.clone()).unwrap();
        let mut stream = there.stream(WatchRequest::default()).await.unwrap();
        stream.message().await.unwrap();
        Self { access_token: tokens.access_token, server: wire::channel(url), stream }
    }

    /// A second after its end: no call, and no stream.
    async fn has_ended(mut self, how: &str) {
        tokio::time::sleep(COUNTS).await;
        let call = GetMyAccountRequest {};
        let answer = wire::send(&self.server, Some(&self.access_token), &call).await;
        let answer = answer.map_err(wire::Refusal::into_error);
        refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
        let end = async {
            loop {
                match self.stream.message().await {
                    Ok(Some(_)) => {}
                    end => break end,
                }
            }
        };
        let end = tokio::time::timeout(COUNTS, end).await;
        let end = end.unwrap_or_else(|_| panic!("{how}: the stream goes on"));
        refused(end, Code::Unauthenticated, "UNAUTHENTICATED");
    }
}

/// With sessions believed for five seconds, the other server let the first token in.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_ends_their_sessions_everywhere_within_a_second() {
    let world = World::start().await;
    let second = world.second_server().await;

    let asha = world.patient().await;
    let session = Session::of(&asha, &second.url).await;
    asha.client.send(SignOutRequest::default()).await.unwrap();
    session.has_ended("signed out").await;

    let (asha, other) = (world.again(&asha).await, world.again(&asha).await);
    let session = Session::of(&asha, &second.url).await;
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: format!("{PASSWORD}-too"),
        ..Default::default()
    };
    other.client.send(change).await.unwrap();
    session.has_ended("password changed").await;

    let ravi = world.patient().await;
    let (one, other) = (world.again(&ravi).await, world.again(&ravi).await);
    let session = Session::of(&one, &second.url).await;
    let list = other.client.all(ListMySessionsRequest::default()).await.unwrap();
    let session_id = list[1].id.clone();
    other.client.send(RevokeSessionRequest { session_id, ..Default::default() }).await.unwrap();
    session.has_ended("revoked").await;
    let session = Session::of(&ravi, &second.url).await;
    other.client.send(RevokeOtherSessionsRequest::default()).await.unwrap();
    session.has_ended("all others revoked").await;

    let lata = world.patient().await;
    let session = Session::of(&lata, &second.url).await;
    lata.client.send(DeleteMyAccountRequest::default()).await.unwrap();
    session.has_ended("deleted by the owner").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_an_account_ends_its_sessions_within_a_second() {
    let world = World::start().await;
    let second = world.second_server().await;
    let (admin, owner) = (world.admin().await, world.superuser().await);
    let (client, owner) = (&admin.client, &owner.client);
    let ravi = world.patient().await;

    let account_id = ravi.id.clone();
    let ravi = world.again(&ravi).await;
    let session = Session::of(&ravi, &second.url).await;
    owner
        .send(GrantAdminRequest { account_id: account_id.clone(), ..Default::default() })
        .await
        .unwrap();
    session.has_ended("role granted").await;
    let ravi = world.again(&ravi).await;
    let session = Session::of(&ravi, &second.url).await;
    owner
        .send(RevokeAdminRequest { account_id: account_id.clone(), ..Default::default() })
        .await
        .unwrap();
    session.has_ended("role taken").await;

    let kiran = world.operator().await;
    let session = Session::of(&kiran, &second.url).await;
    let request = RemoveStaffMemberRequest { account_id: kiran.id.clone(), ..Default::default() };
    client.send(request).await.unwrap();
    session.has_ended("staff removed").await;

    let ravi = world.again(&ravi).await;
    let session = Session::of(&ravi, &second.url).await;
    client.send(BlockUserRequest { account_id, ..Default::default() }).await.unwrap();
    session.has_ended("blocked").await;

    let lata = world.patient().await;
    let session = Session::of(&lata, &second.url).await;
    let request = DeleteUserRequest { account_id: lata.id.clone(), ..Default::default() };
    client.send(request).await.unwrap();
    session.has_ended("deleted by an admin").await;
    world.finish().await;
}

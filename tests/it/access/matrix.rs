//! The access matrix: every method, called by everybody, with the id of an own thing, of somebody
//! else's, and of nothing. What each cell has to be stands in `snapshots/access_matrix.snap`; a
//! change of it is a decision that somebody sees (`INSTA_UPDATE=always cargo test --workspace
//! matrix` writes it anew).

use std::fmt::Write as _;

use clinicd_sdk::Code;
use clinicd_tests::World;
use clinicd_tests::wire::{self, Refusal};
use prost::Message as _;
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use tonic::transport::Channel;

use super::filling::{Filler, Names, is_id};
use super::households::{Household, Who};
use crate::contract::methods;

const LEGEND: &str = "\
+ let in    . not found    - not signed in    R role required    B onboarding not approved
M second factor required    K scope required    O own record
Three signs: with the id of an own thing, of somebody else's, of nothing.";

const COLUMNS: [&str; 12] = [
    "anon", "exp", "pat", "doc", "oper", "pharm", "admin", "super", "block", "appl", "no2f", "key",
];

/// What became of one call.
type Answer = Result<Vec<u8>, Refusal>;

/// One sign of a cell.
fn sign(method: &str, answer: &Answer) -> char {
    let refusal = match answer {
        // A list in which nothing is.
        Ok(answer) if answer.is_empty() && method.starts_with("List") && method != "ListSlots" => {
            return '.';
        }
        Ok(_) => return '+',
        Err(refusal) => refusal,
    };
    let error = refusal.clone().into_error();
    let reason = error.reason().unwrap_or_default();
    match reason {
        "NOT_FOUND" => '.',
        "UNAUTHENTICATED" => '-',
        "ROLE_REQUIRED" => 'R',
        "ONBOARDING_NOT_APPROVED" => 'B',
        "MFA_REQUIRED" => 'M',
        "SCOPE_REQUIRED" => 'K',
        "OWN_RECORD" => 'O',
        // The note of a household is sealed with nothing: whoever may read it hears so.
        "CONTENT_TAMPERED" if method.ends_with("Note") => '+',
        "INTERNAL" | "UNKNOWN_METHOD" | "" => panic!("{method}: {error}"),
        _ => '+',
    }
}

fn names_things(of: &MessageDescriptor) -> bool {
    of.fields().any(|field| is_id(&field))
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// One cell: a caller who is new, with a household of their own, and another one.
async fn cell(
    world: &World,
    channel: &Channel,
    method: &MethodDescriptor,
    token: Option<&str>,
    [own, other]: &[Household; 2],
) -> String {
    let call = async |names| {
        let body = Filler { world, names }.request(&method.input()).encode_to_vec();
        wire::call(channel, &path(method), token, body).await
    };
    let name = method.name();
    if !names_things(&method.input()) {
        return sign(name, &call(Names::Nobodys).await).to_string();
    }
    // The others first: the own thing may be gone afterwards.
    let (nothing, others) = (call(Names::Nobodys).await, call(Names::Of(other)).await);
    let own = call(Names::Of(own)).await;
    let signs = [&own, &others, &nothing].map(|answer| sign(name, answer));
    // Who may not see it hears of somebody's thing what they hear of nothing, to the last byte.
    if signs[1] == signs[2] && signs[1] != '+' {
        assert_eq!(others, nothing, "{name}");
    }
    // With what is refused for its content, nothing would be learnt about access.
    let content = |answer: &Answer| {
        answer.as_ref().is_err_and(|refusal| {
            refusal.code == Code::InvalidArgument
                && refusal.clone().into_error().reason() == Some("INVALID_FIELDS")
        })
    };
    assert!(![&own, &others, &nothing].into_iter().all(content), "{name}: {own:?}");
    if signs[0] == signs[1] && signs[1] == signs[2] {
        return signs[0].to_string();
    }
    signs.iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_access_matrix_is_as_declared() {
    let world = World::start_with(|config| config.sessions.staff_second_factor = Some(true)).await;
    let channel = wire::channel(world.url());
    let mut table = format!("{LEGEND}\n\n{:42}", "");
    for column in COLUMNS {
        write!(table, " {column:5}").unwrap();
    }
    let mut service = String::new();
    for method in methods() {
        let homes = Who::ALL
            .map(|who| [Household::new(&world, who.is_doctor()), Household::new(&world, false)]);
        let (mut sql, mut tokens) = (String::new(), Vec::new());
        for (who, [own, other]) in Who::ALL.into_iter().zip(&homes) {
            let (rows, token) = who.enter(&world, own);
            sql.extend([own.sql(), other.sql(), rows]);
            tokens.push(token);
        }
        world.batch(&sql).await;
        if *method.parent_service().full_name() != service {
            method.parent_service().full_name().clone_into(&mut service);
            write!(table, "\n\n{service}").unwrap();
        }
        write!(table, "\n  {:40}", method.name()).unwrap();
        for (token, homes) in tokens.iter().zip(&homes) {
            let cell = cell(&world, &channel, &method, token.as_deref(), homes).await;
            write!(table, " {cell:5}").unwrap();
        }
    }
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!("access_matrix", lines.join("\n"));
    });
    world.finish().await;
}

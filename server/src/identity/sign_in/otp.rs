//! Sign-in by phone: a code is sent to a number, and whoever gives it back has the number.
//!
//! The first code of an unknown number makes a patient's account.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::history::records::SignInMethod;
use crate::identity::registration::registering::event;
use crate::identity::registration::registering_phone;
use crate::identity::rows::{self, AccountRow, AccountState};
use crate::identity::sign_in::attempts::{self, Identifier};
use crate::identity::sign_in::challenges::{Challenge, Purpose};
use crate::identity::sign_in::code_limits;
use crate::identity::sign_in::codes::{self, NewCode};
use crate::identity::sign_in::pacing::on_the_beat;
use crate::identity::sign_in::signing_in::{Admission, admit};
use crate::identity::{grant_role, rules};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::kinds::{AccountId, Role, Time};
use crate::kernel::{phone, text};
use crate::{profiles, statement};

statement! {
    /// A new account of whoever has proved to have the number, unless an account has it.
    InsertByPhone {
        id: AccountId, phone: String, given_name: String, family_name: String, language: String,
        now: Time,
    },
    "INSERT INTO accounts (id, phone, given_name, family_name, language, state, created_at, \
        updated_at) VALUES ($1, $2, $3, $4, $5, 'active', $6, $6) ON CONFLICT (phone) DO NOTHING";
}

/// `SendOtp`.
pub(in crate::identity) async fn send(
    app: &App,
    caller: &Caller,
    request: pb::SendOtpRequest,
) -> Result<pb::SendOtpResponse> {
    let mut faults = Faults::default();
    let number = faults.keep(phone::e164("phone", &request.phone));
    let language = faults.keep(rules::language("language", &request.language));
    faults.check()?;
    code_limits::require_open_country(app, &number)?;
    on_the_beat(async {
        attempts::require_unblocked(app, caller, Identifier::Phone(&number)).await?;
        app.once(caller, &request.request_id, &request, async |conn| {
            code_limits::count(app, conn, caller, &number).await?;
            let holder = codes::holder(conn, &number).await?;
            let code = NewCode {
                purpose: Purpose::SignIn,
                account: None,
                number: &number,
                language: &language,
                send: holder.is_none_or(|holder| holder.gets_codes()),
            };
            let challenge = codes::make(app, conn, code).await?;
            Ok(pb::SendOtpResponse {
                challenge_id: challenge.id.to_string(),
                expire_time: Some(challenge.expires_at.into()),
            })
        })
        .await
    })
    .await
}

/// What a person says of themselves with a code.
pub(in crate::identity) struct Newcomer {
    given_name: String,
    family_name: String,
    language: String,
    pub(in crate::identity) device: String,
}

impl Newcomer {
    fn read(request: &pb::VerifyOtpRequest) -> Result<Self> {
        let (name, mut faults) = (request.name.clone().unwrap_or_default(), Faults::default());
        let newcomer = Self {
            given_name: faults.keep(text::line("name.given", &name.given)),
            family_name: faults.keep(text::line("name.family", &name.family)),
            language: faults.keep(rules::language("language", &request.language)),
            device: faults.keep(text::line("device_name", &request.device_name)),
        };
        faults.check()?;
        Ok(newcomer)
    }
}

/// `VerifyOtp`.
pub(in crate::identity) async fn verify(
    app: &App,
    caller: &Caller,
    request: pb::VerifyOtpRequest,
) -> Result<pb::VerifyOtpResponse> {
    let newcomer = Newcomer::read(&request)?;
    on_the_beat(judge(app, caller, &request, &newcomer)).await
}

async fn judge(
    app: &App,
    caller: &Caller,
    request: &pb::VerifyOtpRequest,
    newcomer: &Newcomer,
) -> Result<pb::VerifyOtpResponse> {
    if let Some(answer) = app.earlier(caller, &request.request_id, request).await? {
        return Ok(answer);
    }
    let given = request.phone_code.clone().unwrap_or_default();
    let purposes = [Purpose::SignIn, Purpose::Registration];
    let guess = codes::judge(app, caller, SignInMethod::Otp, &purposes, &given).await?;
    let Some(right) = guess.right.clone() else {
        // Perhaps the same call came twice at once, and the other one was right.
        let earlier = app.earlier(caller, &request.request_id, request).await?;
        return guess.end(earlier.ok_or_else(refused)).await;
    };
    let answer = app
        .once(caller, &request.request_id, request, async |conn| {
            codes::use_up(app, conn, &right).await?;
            let Admission { tokens, account_id, second_factor } = match right.purpose {
                Purpose::Registration => {
                    registering_phone::confirm(app, conn, caller, &right, &newcomer.device).await?
                }
                _ => sign_in(app, conn, caller, &right, newcomer).await?,
            };
            Ok(pb::VerifyOtpResponse { tokens, account_id, second_factor })
        })
        .await;
    guess.end(answer).await
}

fn refused() -> Error {
    Error::of(Reason::InvalidCredentials)
}

/// Lets in whoever has the number, and makes an account when it has none.
async fn sign_in(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    right: &Challenge,
    newcomer: &Newcomer,
) -> Result<Admission> {
    let account = match rows::lock_by_phone(conn, right.address.clone()).await? {
        Some(account) => account,
        None => open(app, conn, &right.address, newcomer).await?,
    };
    enter(app, conn, caller, &account, &newcomer.device).await
}

/// Lets in an account that has proved its number.
pub(in crate::identity) async fn enter(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    account: &AccountRow,
    device: &str,
) -> Result<Admission> {
    if account.state != AccountState::Active {
        return Err(refused());
    }
    codes::forgive_by_code(conn, account.id).await?;
    admit(app, conn, caller, account, device, SignInMethod::Otp).await
}

async fn open(app: &App, conn: &mut Conn, number: &str, newcomer: &Newcomer) -> Result<AccountRow> {
    let (id, Newcomer { given_name, family_name, language, .. }) =
        (AccountId(app.ids.next()), newcomer);
    let account = InsertByPhone {
        id,
        phone: number.to_owned(),
        given_name: given_name.clone(),
        family_name: family_name.clone(),
        language: language.clone(),
        now: app.clock.now(),
    };
    if account.execute(conn).await? == 1 {
        grant_role(app, conn, id, Role::Patient, None).await?;
        profiles::create_own_patient(app, conn, id, given_name, family_name).await?;
        app.events.emit(conn, event("account.registered", id)).await?;
        app.events.emit(conn, event("account.activated", id)).await?;
    }
    // Another code of this number may have been faster.
    rows::lock_by_phone(conn, number.to_owned()).await?.ok_or_else(refused)
}

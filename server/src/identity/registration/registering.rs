//! Registration: an inactive account, and a mailed link or a code that activates it.
//!
//! A known address or number is answered in the same way and after the same time as a new one. Its
//! owner learns of it by a message.

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;
use clinicd_proto::profiles::v1::UpdateMyPatientRequest;
use clinicd_proto::r#type::v1::PersonName;

use crate::app::App;
use crate::identity::jobs::{SendAccountExists, SendActivation, SendInvitation};
use crate::identity::registration::registering_phone;
use crate::identity::rows::{self, AccountRow, AccountState, InsertAccount};
use crate::identity::sign_in::attempts::{self, Identifier};
use crate::identity::sign_in::challenges::{self, NewChallenge, Purpose};
use crate::identity::sign_in::code_limits;
use crate::identity::sign_in::pacing::on_the_beat;
use crate::identity::sign_in::passwords::PasswordUse;
use crate::identity::{grant_role, rules};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Faults, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::{self, NewJob};
use crate::kernel::kinds::{AccountId, Role, Time};
use crate::kernel::{phone, text};
use crate::{profiles, statement};

/// The owner of an address or number is told of further registrations at most this often, in
/// seconds.
const TELL_AGAIN_SECONDS: i64 = 24 * 3_600;

statement! {
    /// A registration that was never confirmed gives way to a new one, with the number that was
    /// given with it.
    ReplaceAccount {
        id: AccountId, email: String, password_hash: String, given_name: String,
        family_name: String, language: String, now: Time,
    },
    "UPDATE accounts SET email = $2, password_hash = $3, given_name = $4, family_name = $5, \
        language = $6, phone = NULL, version = version + 1, updated_at = $7 \
     WHERE id = $1 AND state = 'inactive'";

    /// A code that came back belongs to the registration that it was sent for.
    DropRegistrationCodes { account: AccountId },
    "DELETE FROM challenges WHERE account_id = $1 AND purpose = 'registration'";
}

/// A person as they are to be stored.
#[derive(Debug, Clone, Default)]
pub(in crate::identity) struct NewPerson {
    /// Empty for one who has a phone number alone.
    pub(in crate::identity) email: String,
    pub(in crate::identity) given_name: String,
    pub(in crate::identity) family_name: String,
    pub(in crate::identity) language: String,
}

impl NewPerson {
    /// Cleans what a person typed.
    pub(in crate::identity) fn new(
        email: &str,
        name: Option<PersonName>,
        language: &str,
    ) -> Result<Self> {
        let (name, mut faults) = (name.unwrap_or_default(), Faults::default());
        let person = Self {
            email: email.trim().to_owned(),
            given_name: faults.keep(text::required_line("name.given", &name.given)),
            family_name: faults.keep(text::line("name.family", &name.family)),
            language: faults.keep(rules::language("language", language)),
        };
        faults.check()?;
        Ok(person)
    }

    /// What the person's password may not hold.
    pub(in crate::identity) fn personal(&self) -> [&str; 3] {
        [&self.email, &self.given_name, &self.family_name]
    }

    /// The account to be inserted.
    pub(in crate::identity) fn account(
        &self,
        app: &App,
        id: AccountId,
        password_hash: Option<String>,
        state: AccountState,
    ) -> InsertAccount {
        let email = Some(self.email.clone()).filter(|email| !email.is_empty());
        InsertAccount {
            id,
            email_key: email.as_deref().map(rules::email_key),
            email,
            password_hash,
            given_name: self.given_name.clone(),
            family_name: self.family_name.clone(),
            language: self.language.clone(),
            state,
            now: app.clock.now(),
        }
    }
}

/// What a person registers with, cleaned.
#[derive(Debug, Clone)]
pub(in crate::identity) struct Registration {
    pub(in crate::identity) person: NewPerson,
    /// E.164.
    pub(in crate::identity) phone: Option<String>,
}

impl Registration {
    fn read(request: &pb::RegisterAccountRequest) -> Result<Self> {
        let mut faults = Faults::default();
        let by_mail = !request.email.trim().is_empty();
        if !by_mail && request.phone.is_empty() {
            faults.field("email", "must be set when phone is empty");
            faults.field("phone", "must be set when email is empty");
        }
        let phone =
            (!request.phone.is_empty()).then(|| faults.keep(phone::e164("phone", &request.phone)));
        if by_mail && request.password.is_empty() {
            faults.field("password", "must be set when email is set");
        }
        let person = NewPerson::new(&request.email, request.name.clone(), &request.language);
        let person = faults.keep(person);
        faults.check()?;
        if !request.password.is_empty() {
            let personal = person.personal().into_iter().chain(phone.as_deref());
            let personal: Vec<&str> = personal.filter(|value| !value.is_empty()).collect();
            rules::check_password(&request.password, &personal, PasswordUse::Alone)?;
        }
        Ok(Self { person, phone })
    }

    /// Whether the account is activated by a mailed link.
    pub(in crate::identity) fn by_mail(&self) -> bool {
        !self.person.email.is_empty()
    }

    /// By what registrations of one person go one after the other.
    fn key(&self) -> String {
        if self.by_mail() {
            rules::email_key(&self.person.email)
        } else {
            self.phone.clone().unwrap_or_default()
        }
    }
}

/// `RegisterAccount`.
pub(in crate::identity) async fn register(
    app: &App,
    caller: &Caller,
    request: pb::RegisterAccountRequest,
) -> Result<pb::RegisterAccountResponse> {
    let new = Registration::read(&request)?;
    if let Some(number) = &new.phone {
        code_limits::require_open_country(app, number)?;
    }
    on_the_beat(async {
        let _lane = attempts::lane(new.key().as_bytes()).await?;
        if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
            return Ok(answer);
        }
        if let Some(number) = &new.phone {
            attempts::require_unblocked(app, caller, Identifier::Phone(number)).await?;
        }
        register_new(app, caller, &request, &new).await
    })
    .await
}

async fn register_new(
    app: &App,
    caller: &Caller,
    request: &pb::RegisterAccountRequest,
    new: &Registration,
) -> Result<pb::RegisterAccountResponse> {
    let hash = match &*request.password {
        "" => None,
        password => Some(app.passwords.hash(password).await?),
    };
    app.once(caller, &request.request_id, request, async |conn| {
        let Some(number) = &new.phone else {
            open_by_mail(app, conn, caller, new, hash.clone()).await?;
            return Ok(pb::RegisterAccountResponse::default());
        };
        code_limits::count(app, conn, caller, number).await?;
        let account = open_by_mail(app, conn, caller, new, hash.clone()).await?;
        let code = registering_phone::send(app, conn, new, number, account, hash.clone()).await?;
        Ok(pb::RegisterAccountResponse { challenge_id: code.to_string() })
    })
    .await
}

/// Opens an account with a mail address, if one is given; none when the address has one already,
/// that of somebody else perhaps.
async fn open_by_mail(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    new: &Registration,
    hash: Option<String>,
) -> Result<Option<AccountId>> {
    if !new.by_mail() {
        return Ok(None);
    }
    let (id, person) = (AccountId(app.ids.next()), &new.person);
    let account = person.account(app, id, hash.clone(), AccountState::Inactive);
    if account.execute(conn).await? == 1 {
        welcome_new(app, conn, id, person).await?;
        return Ok(Some(id));
    }
    match rows::lock_by_email(conn, rules::email_key(&person.email)).await? {
        Some(known) => tell_owner(app, conn, caller, known, person, hash).await,
        None => Ok(None),
    }
}

async fn welcome_new(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    person: &NewPerson,
) -> Result<()> {
    grant_role(app, conn, account, Role::Patient, None).await?;
    let (given, family) = (&person.given_name, &person.family_name);
    profiles::create_own_patient(app, conn, account, given, family).await?;
    let activation = activation(app, conn, account, &person.email, false).await?;
    enqueue(app, conn, NewJob::now(&SendActivation { activation })).await?;
    app.events.emit(conn, event("account.registered", account)).await
}

/// The address is known: what its owner is told depends on what became of the account. Returns the
/// account when this registration takes its place.
async fn tell_owner(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    known: AccountRow,
    person: &NewPerson,
    hash: Option<String>,
) -> Result<Option<AccountId>> {
    let account = known.id;
    if known.state != AccountState::Inactive {
        tell_email_exists(app, conn, account).await?;
        return Ok(None);
    }
    let live = challenges::live(app, conn, account, Purpose::Activation).await?;
    if known.password_hash.is_none() {
        // Invited: the invitation goes out again, and its password is chosen with the link.
        let activation = match live {
            Some(live) => live.id,
            None => activation(app, conn, account, &person.email, true).await?,
        };
        let key = format!("invited/{activation}/{}", telling_period(app));
        enqueue(app, conn, NewJob::now(&SendInvitation { activation }).once(key)).await?;
        return Ok(None);
    }
    // A registration that was never confirmed gives way to this one, so that a link opens what was
    // registered last; but not too often, for the sake of the owner's mailbox.
    let before = app.clock.now().plus_seconds(-rules::MAIL_GAP_SECONDS);
    let key = rules::email_key(&person.email);
    if live.is_some_and(|live| live.created_at > before)
        || !code_limits::count_link(app, conn, caller, &key).await?
    {
        return Ok(None);
    }
    start_over(app, conn, account, person, hash.unwrap_or_default()).await?;
    Ok(Some(account))
}

/// Tells the owner of an address that somebody wanted to have it, not too often.
pub(in crate::identity) async fn tell_email_exists(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
) -> Result<()> {
    let key = format!("account_exists/{account}/{}", telling_period(app));
    enqueue(app, conn, NewJob::now(&SendAccountExists { account }).once(key)).await
}

/// The time within which an owner is told once, as a number.
pub(in crate::identity) fn telling_period(app: &App) -> i64 {
    app.clock.now().unix_micros() / (TELL_AGAIN_SECONDS * 1_000_000)
}

/// This registration takes the place of one that was never confirmed: password, names, number.
async fn start_over(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    person: &NewPerson,
    password_hash: String,
) -> Result<()> {
    let now = app.clock.now();
    let replace = ReplaceAccount {
        id: account,
        email: person.email.clone(),
        password_hash,
        given_name: person.given_name.clone(),
        family_name: person.family_name.clone(),
        language: person.language.clone(),
        now,
    };
    replace.execute(conn).await?;
    DropRegistrationCodes { account }.execute(conn).await?;
    let (given, family) = (person.given_name.clone(), person.family_name.clone());
    let name = Some(PersonName { given, family });
    let change = UpdateMyPatientRequest { name, ..Default::default() };
    profiles::change_person(app, conn, account, &change).await?;
    let activation = activation(app, conn, account, &person.email, false).await?;
    enqueue(app, conn, NewJob::now(&SendActivation { activation })).await
}

/// Makes a link that activates an account, invited or registered, in the place of those before it.
pub(in crate::identity) async fn activation(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    email: &str,
    invited: bool,
) -> Result<Uuid> {
    let seconds = if invited { rules::INVITATION_SECONDS } else { rules::ACTIVATION_SECONDS };
    let new = NewChallenge {
        purpose: Purpose::Activation,
        account: Some(account),
        address: email.to_owned(),
        seconds,
    };
    Ok(challenges::make(app, conn, new).await?.id)
}

/// Enqueues a job of this room.
pub(in crate::identity) async fn enqueue(app: &App, conn: &mut Conn, job: NewJob) -> Result<()> {
    jobs::enqueue(conn, app.ids.next(), app.clock.now(), job).await
}

/// An event about an account, which its owner may see.
pub(in crate::identity) fn event(event_type: &'static str, account: AccountId) -> Event {
    Event {
        event_type,
        kind: ResourceKind::Account,
        resource: account.0,
        account: Some(account),
        patient: None,
        doctor: None,
    }
}

//! `clinicd-load enumerate`: whether answers, or their time, tell that an account exists. Samples
//! of all cases are taken in turn, so that what else goes on meets all of them alike.

use std::time::Instant;

use clap::Args;
use clinicd_proto::codec::CheckedCodec;
use clinicd_proto::rpc::Unary;
use clinicd_sdk::proto::identity::v1::{
    RegisterAccountRequest, RequestRecoveryRequest, ResendActivationRequest, SendOtpRequest,
    SignInRequest,
};
use clinicd_sdk::proto::r#type::v1::PersonName;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::all::{Clinic, Options as Everything, Place};
use crate::random::Random;
use crate::report::number;
use crate::{PASSWORD, Result, patient_email};

/// The server believes this about where a call comes from: each comes from somewhere else, so that
/// no client address is blocked.
const PROXY: (&str, &str) = ("CLINICD_TRUSTED_PROXIES", "[\"127.0.0.1\"]");
/// States of the seeded accounts, in runs of as many as there are samples.
const STATES: [&str; 3] = ["active", "inactive", "blocked"];

/// How it is run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Samples of each case.
    #[arg(long, default_value_t = 300)]
    pub samples: usize,
}

/// Whose account a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Nobodys,
    Active,
    Inactive,
    Blocked,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    SignIn,
    SignInByPhone,
    SignInWithoutPassword,
    RequestRecovery,
    ResendActivation,
    RegisterAccount,
    SendOtp,
}

const METHODS: [Method; 7] = [
    Method::SignIn,
    Method::SignInByPhone,
    Method::SignInWithoutPassword,
    Method::RequestRecovery,
    Method::ResendActivation,
    Method::RegisterAccount,
    Method::SendOtp,
];
/// The first is what the others are compared with.
const CASES: [Whose; 4] = [Whose::Nobodys, Whose::Active, Whose::Inactive, Whose::Blocked];

/// The samples of one case.
#[derive(Debug, Default)]
struct Case {
    /// What was answered first; of a good answer only that it was one, for its ids and times differ.
    answer: Option<Vec<u8>>,
    /// All answers were like the first.
    alike: bool,
    nanos: Vec<u64>,
}

/// Runs with a server of its own, and says how it went.
pub async fn command(options: &Options) -> Result<()> {
    let samples = options.samples;
    let everything = Everything::small(samples * STATES.len());
    let place = Place::fresh(&everything, "data-enumerate")?.with(PROXY);
    let clinic = Clinic::open(&place, &everything, 1).await?;
    clinic.seed().await?;
    for (run, state) in STATES.iter().enumerate() {
        let of_run = |number| (patient_email(number), phone(number));
        let (emails, phones): (Vec<_>, Vec<_>) =
            (run * samples..(run + 1) * samples).map(of_run).unzip();
        let update = "UPDATE accounts SET state = $1, phone = new.phone \
             FROM unnest($2::text[], $3::text[]) AS new (email, phone) \
             WHERE accounts.email = new.email";
        clinic.database.execute(update, &[state, &emails, &phones]).await?;
    }
    let channel = Endpoint::from_shared(clinic.server.url.clone())?.connect().await?;
    let mut study = Study { channel, random: Random::new(7), samples };
    println!("| method | account | same answer | median, ms | gap | AUC |");
    println!("|---|---|---|--:|--:|--:|");
    for method in METHODS {
        study.of(method).await?;
    }
    clinic.close().await
}

/// A number of India for a seeded patient.
fn phone(number: usize) -> String {
    format!("+9198{number:08}")
}

struct Study {
    channel: Channel,
    random: Random,
    samples: usize,
}

impl Study {
    async fn of(&mut self, method: Method) -> Result<()> {
        let mut cases: [Case; 4] = std::array::from_fn(|_| Case { alike: true, ..Case::default() });
        for sample in 0..self.samples {
            for (case, whose) in cases.iter_mut().zip(CASES) {
                let (answer, nanos) = self.ask(method, whose, sample).await?;
                case.alike &= *case.answer.get_or_insert_with(|| answer.clone()) == answer;
                case.nanos.push(nanos);
            }
        }
        let [unknown, others @ ..] = &cases;
        println!("| {method:?} | unknown | – | {:.2} | – | – |", median(&unknown.nanos) / 1e6);
        for (case, whose) in others.iter().zip(&CASES[1..]) {
            let same = case.alike && unknown.alike && case.answer == unknown.answer;
            let (there, here) = (median(&unknown.nanos), median(&case.nanos));
            println!(
                "| | {} | {} | {:.2} | {:+.1} % | {:.2} |",
                format!("{whose:?}").to_lowercase(),
                if same { "yes" } else { "**no**" },
                here / 1e6,
                (here - there) / there * 100.0,
                area(&unknown.nanos, &case.nanos),
            );
        }
        Ok(())
    }

    async fn ask(&mut self, method: Method, whose: Whose, sample: usize) -> Result<(Vec<u8>, u64)> {
        let account = match whose {
            // Each unknown one is asked for once, like the others.
            Whose::Nobodys => 10_000_000 + self.random.below(9_000_000),
            Whose::Active => sample,
            Whose::Inactive => self.samples + sample,
            Whose::Blocked => 2 * self.samples + sample,
        };
        let (email, phone) = (patient_email(account), phone(account));
        let wrong = "not-the-password-of-anybody".to_owned();
        let person = PersonName { given: "Lata".to_owned(), family: "Menon".to_owned() };
        match method {
            Method::SignIn => {
                let request = SignInRequest { email, password: wrong, ..Default::default() };
                self.send(request, |request, id| request.request_id = id).await
            }
            Method::SignInByPhone => {
                let request = SignInRequest { phone, password: wrong, ..Default::default() };
                self.send(request, |request, id| request.request_id = id).await
            }
            Method::SignInWithoutPassword => {
                let request = SignInRequest { email, ..Default::default() };
                self.send(request, |request, id| request.request_id = id).await
            }
            Method::RequestRecovery => {
                let request = RequestRecoveryRequest { email, ..Default::default() };
                self.send(request, |request, id| request.request_id = id).await
            }
            Method::ResendActivation => {
                let request = ResendActivationRequest { email, ..Default::default() };
                self.send(request, |request, id| request.request_id = id).await
            }
            Method::RegisterAccount => {
                let request = RegisterAccountRequest {
                    email,
                    password: PASSWORD.to_owned(),
                    name: Some(person),
                    ..Default::default()
                };
                self.send(request, |request, id| request.request_id = id).await
            }
            Method::SendOtp => {
                let request = SendOtpRequest { phone, ..Default::default() };
                self.send(request, |request, id| request.request_id = id).await
            }
        }
    }

    async fn send<R: Unary>(
        &mut self,
        mut message: R,
        with_id: fn(&mut R, String),
    ) -> Result<(Vec<u8>, u64)> {
        with_id(&mut message, self.random.id(1_800_000_000).to_string());
        let mut request = Request::new(message);
        let from = self.random.next().to_be_bytes();
        let from = format!("10.{}.{}.{}", from[0], from[1], from[2]);
        request.metadata_mut().insert("x-forwarded-for", from.parse()?);
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        let (path, codec) = (PathAndQuery::from_static(R::PATH), CheckedCodec::default());
        let begun = Instant::now();
        let answer: Result<tonic::Response<R::Response>, Status> =
            grpc.unary(request, path, codec).await;
        let nanos = u64::try_from(begun.elapsed().as_nanos())?;
        let answer = match answer {
            Ok(_) => b"good".to_vec(),
            Err(status) => {
                let told = format!("{:?} {}", status.code(), status.message());
                [told.as_bytes(), status.details()].concat()
            }
        };
        Ok((answer, nanos))
    }
}

fn median(nanos: &[u64]) -> f64 {
    let mut sorted = nanos.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().map_or(0.0, number)
}

/// How well the time tells two cases apart: 0.5 not at all, 1 always (the area under the ROC curve,
/// by Mann and Whitney's U).
fn area(unknown: &[u64], known: &[u64]) -> f64 {
    let mut sorted = unknown.to_vec();
    sorted.sort_unstable();
    let below = |time: &u64| {
        let (less, up_to) =
            (sorted.partition_point(|one| one < time), sorted.partition_point(|one| one <= time));
        (less + up_to) as u64
    };
    let twice: u64 = known.iter().map(below).sum();
    let area = number(twice) / 2.0 / number((unknown.len() * known.len()) as u64);
    area.max(1.0 - area)
}

//! `clinicd-load seed`: a clinic of any size in an empty, migrated database, by `COPY` over one
//! connection in one transaction.

pub mod calendar;
mod copy;
mod people;
mod visits;

use std::time::Instant;

use clap::Args;
use clinicd_server::identity::passwords::{PasswordParams, Passwords};

use crate::Result;
use crate::database;
use crate::random::Random;
use calendar::{Calendar, Pattern};
use people::{People, write_schedules};
use visits::Visits;

/// What is seeded.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Doctors, each with profile, fees and weekly schedule.
    #[arg(long, default_value_t = 10_000)]
    pub doctors: usize,
    /// Patients.
    #[arg(long, default_value_t = 20_000)]
    pub patients: usize,
    /// Appointments, past and coming.
    #[arg(long, default_value_t = 100_000)]
    pub appointments: usize,
    /// The same seed gives the same clinic, within an hour.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The migrated database, as the owner of its tables.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
}

/// Rows by table.
pub type Counts = Vec<(&'static str, u64)>;

/// Seeds, and says what.
pub async fn command(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let counts = seed(options).await?;
    for (table, rows) in &counts {
        println!("{table:<16} {rows:>9}");
    }
    println!("seeded in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Seeds; the rows of each table.
pub async fn seed(options: &Options) -> Result<Counts> {
    let client = database::connect(&options.database_url).await?;
    if database::number(&client, "SELECT count(*) FROM doctors").await? > 0 {
        return Err("the database has doctors already: seed a new one".into());
    }
    let calendar = Calendar::at(database::now(&client).await?);
    let mut random = Random::new(options.seed);
    let passwords = Passwords::new(PasswordParams::default())?;
    let hash = passwords.hash(crate::PASSWORD).await?;
    client.batch_execute("BEGIN").await?;
    let people = People::new(options, calendar, &mut random);
    let [accounts, roles, patients] = people.write(&client, &hash).await?;
    let (doctors, [count, words, fees]) = people.write_doctors(&client, &mut random).await?;
    let patterns = Pattern::all();
    let [schedules, rules] = write_schedules(&client, &doctors, &patterns, calendar).await?;
    let ids: Vec<_> = people.patients.iter().map(|patient| patient.id).collect();
    let visits = Visits { doctors: &doctors, patients: &ids, patterns: &patterns, calendar };
    let appointments = visits.write(&client, options.appointments, &mut random).await?;
    client.batch_execute("COMMIT").await?;
    let counts = vec![
        ("accounts", accounts),
        ("account_roles", roles),
        ("patients", patients),
        ("doctors", count),
        ("doctor_words", words),
        ("doctor_fees", fees),
        ("schedules", schedules),
        ("schedule_rules", rules),
        ("appointments", appointments),
    ];
    let tables: Vec<&str> = counts.iter().map(|(table, _)| *table).collect();
    // Outside the transaction, so that the pages are marked as visible to all.
    client.batch_execute(&format!("VACUUM (ANALYZE) {}", tables.join(", "))).await?;
    Ok(counts)
}

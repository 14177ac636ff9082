//! The profiles of doctors and patients.

mod doctors;
mod patients;

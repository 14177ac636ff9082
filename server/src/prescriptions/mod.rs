//! Prescriptions: the document that a patient is handed.

pub mod pdf;

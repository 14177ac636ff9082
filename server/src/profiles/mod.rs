//! stub
#![allow(missing_docs, clippy::all, clippy::pedantic)]
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::*;
use clinicd_proto::r#type::v1 as types;
pub struct DoctorFacts {
    pub id: DoctorId,
    pub given_name: String,
    pub family_name: String,
    pub clinic_name: String,
    pub available_for_booking: bool,
    pub fees: Vec<(ConsultationMode, String, i64)>,
}
pub async fn doctor(_conn: &mut Conn, _id: DoctorId) -> Result<Option<DoctorFacts>> {
    Ok(None)
}
pub struct PatientFacts {
    pub id: PatientId,
    pub account: AccountId,
    pub time_zone: String,
}
pub async fn patient(_conn: &mut Conn, _id: PatientId) -> Result<Option<PatientFacts>> {
    Ok(None)
}
pub fn money_to_wire(_c: &str, _m: i64) -> types::Money {
    types::Money::default()
}

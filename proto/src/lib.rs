//! The clinicd API: its protos, and what is generated from them.
//!
//! A package `clinicd.<room>.v1` is the module `clinicd_proto::<room>::v1`, with the messages, the
//! clients (`<service>_client`) and the servers (`<service>_server`). `clinicd.type.v1` is
//! `clinicd_proto::r#type::v1`. Nothing is generated ahead of time and no protoc is needed: the
//! build script compiles the protos of this crate.
//!
//! Every client and server uses [`codec::CheckedCodec`], so that no handler ever sees a request
//! that breaks a rule of its proto; see [`check`].

pub mod check;
pub mod codec;
pub mod rpc;

pub use {prost, prost_types, tonic};

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    missing_docs,
    deprecated,
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "generated code; what it needs of these depends on the protos"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/clinicd.rs"));
    include!(concat!(env!("OUT_DIR"), "/checks.rs"));
    include!(concat!(env!("OUT_DIR"), "/calls.rs"));
}

pub use generated::clinicd::*;

/// All our protos and what they import, as a serialized `google.protobuf.FileDescriptorSet` with
/// options and comments. For server reflection, and for whoever reads the options at run time.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

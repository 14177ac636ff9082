//! From .proto files to Rust: protox compiles them, tonic-prost-build writes messages, clients and
//! servers, and `checks` writes one `Checked` impl per message from the `buf.validate` options.
//! `calls` writes what a generic client has to know of each method.
//! `bounds` refuses a request that could hold a field of unlimited size.

mod bounds;
mod calls;
mod checks;
mod names;
mod rules;

use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

/// What went wrong, one line per fault.
pub type Error = Box<dyn std::error::Error>;

/// The package of the options; no Rust code needs it.
const VALIDATE_PACKAGE: &str = "buf.validate";

/// Compiles every proto below `folder` and writes into `out`: `clinicd.rs` (the module tree),
/// `checks.rs` and `calls.rs` (to be included beside it) and `descriptors.bin`.
pub fn generate(includes: &[&Path], folder: &Path, out: &Path) -> Result<(), Error> {
    let descriptors = compile(includes, &protos_below(folder)?)?;
    std::fs::write(out.join("checks.rs"), checks(&descriptors)?)?;
    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    std::fs::write(out.join("calls.rs"), calls::write(&pool))?;
    std::fs::write(out.join("descriptors.bin"), &descriptors)?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::CheckedCodec")
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .include_file("clinicd.rs")
        .out_dir(out)
        .compile_fds(for_rust(&descriptors)?)?;
    Ok(())
}

/// All .proto files below a folder, sorted, so that the output never depends on the file system.
pub fn protos_below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(protos_below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The serialized descriptors of the files and their imports. Only these bytes hold the values of
/// custom options: the types of prost drop them.
pub fn compile(includes: &[&Path], files: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files).map_err(|error| format!("{error:?}"))?;
    Ok(compiler.encode_file_descriptor_set())
}

/// The Rust source of the checks, or every reason why there can be none.
pub fn checks(descriptors: &[u8]) -> Result<String, Error> {
    let pool = DescriptorPool::decode(descriptors)?;
    let rules = rules::Reader::new(&pool);
    let requests = bounds::Requests::find(&pool);
    let faults = [requests.faults(&rules), rules.faults(&pool)].concat();
    if faults.is_empty() {
        Ok(checks::write(&pool, &rules, &requests))
    } else {
        Err(faults.join("\n").into())
    }
}

/// The descriptors from which the Rust types are made. prost needs to know google.protobuf, though
/// it takes those types from its own crate.
fn for_rust(descriptors: &[u8]) -> Result<FileDescriptorSet, Error> {
    let mut set = FileDescriptorSet::decode(descriptors)?;
    set.file.retain(|file| file.package() != VALIDATE_PACKAGE);
    Ok(set)
}

#!/bin/sh
# Proves that the published crates build alone: packs clinicd-proto and clinicd-sdk, unpacks them
# outside of the repository, and builds the SDK with its examples from there. Compiled crates go to
# $PACKAGE_TARGET_DIR, which may be kept between runs (a folder in the workspace's target if unset).
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
build=${PACKAGE_TARGET_DIR:-$target/package-alone}
alone=$(mktemp -d)
trap 'rm -rf "$alone"' EXIT

# Not verified here: cargo would do that within the repository.
cargo package --quiet --allow-dirty --no-verify --package clinicd-proto --package clinicd-sdk
for crate in clinicd-proto clinicd-sdk; do
    archive=$(ls -t "$target/package/$crate"-*.crate | head -n 1)
    mkdir "$alone/$crate"
    tar -xzf "$archive" -C "$alone/$crate" --strip-components 1
done

# clinicd-proto is in no registry yet: the SDK finds the unpacked one.
cd "$alone/clinicd-sdk"
CARGO_TARGET_DIR=$build cargo build --examples \
    --config "patch.crates-io.clinicd-proto.path = '$alone/clinicd-proto'"
echo "clinicd-proto and clinicd-sdk build alone"

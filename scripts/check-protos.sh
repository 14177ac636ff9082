#!/usr/bin/env bash
# Checks the protos: format, lint, and that nothing released was broken since the main branch.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
buf format --diff --exit-code
buf lint
# What stood before: the main branch of the origin, or the parent when that is this very commit. A
# first commit has nothing to break.
base=$(git rev-parse --verify --quiet origin/main || true)
if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
    base=$(git rev-parse --verify --quiet HEAD~1 || true)
fi
if [ -n "$base" ] && git cat-file -e "$base:buf.yaml" 2>/dev/null; then
    before=$(mktemp -d)
    trap 'rm -rf "$before"' EXIT
    git archive "$base" proto buf.yaml | tar -x -C "$before"
    buf breaking --against "$before"
fi

#!/bin/bash
# What CI checks. The last line of all but `lint` is "N passed, N failed".
#   run.sh lint | tests | torture | all
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Nothing is rebuilt here that incremental compilation would help, and its files are large.
[ -n "${CI:-}" ] && export CARGO_INCREMENTAL=0
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
log=target/tests.log
passed=0
failed=0

step() { echo "== $*" >&2; }

lint() {
  step "cargo fmt --check"
  cargo fmt --all --check || return 1
  step "cargo clippy"
  cargo clippy --workspace --all-targets --quiet -- -D warnings
}

# Adds what a log says of tests that passed and failed, whichever runner wrote it.
count() {
  local plain sum
  plain=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ *Summary \[|^test result: ')
  sum=$(grep -oE '[0-9]+ (passed|failed|timed out|exec failed)' <<<"$plain" | awk '
    / passed/ { passed += $1 } !/ passed/ { failed += $1 } END { print passed + 0, failed + 0 }')
  read -r p f <<<"$sum"
  passed=$((passed + p)) failed=$((failed + f))
}

# Runs a test command. One that fails without a failed test (it did not build) counts as one failure.
run() {
  step "$*"
  local before=$failed
  "$@" 2>&1 | tee "$log"
  local status=${PIPESTATUS[0]}
  count
  [ "$status" -ne 0 ] && [ "$failed" -eq "$before" ] && failed=$((failed + 1))
}

tests() {
  # Scenarios run the real programs.
  step "cargo build"
  cargo build --workspace --bins --quiet || { failed=$((failed + 1)); return; }
  rm -rf target/debug/campaigns
  if cargo nextest --version >/dev/null 2>&1; then
    run cargo nextest run --workspace --no-fail-fast --status-level "${NEXTEST_STATUS_LEVEL:-fail}" --show-progress none
    run cargo test --workspace --doc --no-fail-fast --quiet
  else
    run cargo test --workspace --no-fail-fast --quiet
  fi
  # What the crash campaigns have come to.
  cat target/debug/campaigns/*.txt >&2 2>/dev/null
}

# The long forms of the campaigns. Fleets are of release programs: those are held to their limits without slack.
torture() {
  export WASMVERSE_TORTURE=1 PROPTEST_CASES="${PROPTEST_CASES:-20000}"
  step "cargo build"
  cargo build --workspace --bins --quiet && cargo build --release --workspace --bins --quiet || { failed=$((failed + 1)); return; }
  rm -rf target/debug/campaigns target/release/campaigns
  local quiet=(--no-fail-fast --status-level "${NEXTEST_STATUS_LEVEL:-slow}" --show-progress none)
  run cargo nextest run --release --workspace --test fleet --profile torture "${quiet[@]}"
  run cargo nextest run --workspace --profile torture -E 'not binary(fleet)' "${quiet[@]}"
  cat target/{debug,release}/campaigns/*.txt >&2 2>/dev/null
}

mkdir -p target
case "${1:-all}" in
lint) lint; exit ;;
tests) tests ;;
torture) torture ;;
all) lint || { failed=$((failed + 1)); echo "lint failed" >&2; }; tests ;;
*) echo "usage: run.sh lint | tests | torture | all" >&2; exit 2 ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

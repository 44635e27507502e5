#!/bin/bash
# Brings what a bare Debian machine with Rust lacks, or says what to install.
#   setup.sh build   what a build needs        setup.sh test   what the tests need, too
#   setup.sh cluster what `make cluster` needs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "setup: $*" >&2; exit 1; }

# Installs Debian packages where that is allowed; else says which ones are wanted.
debian() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || fail "missing: $*; install with: sudo apt-get install $*"
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null || fail "missing: $*; install them with your package manager"
  echo "setup: installing $*" >&2
  "${as_root[@]}" apt-get update -qq || true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 ||
    fail "apt-get could not install $*"
}

wasm_target() {
  [ -d "$(rustc --print target-libdir --target wasm32-wasip2)" ] && return
  command -v rustup >/dev/null || fail "this Rust has no wasm32-wasip2 target; install Rust with rustup: https://rustup.rs"
  echo "setup: rustup target add wasm32-wasip2" >&2
  rustup target add wasm32-wasip2 || fail "failed to add the target; try: rustup target add wasm32-wasip2"
}

# gRPC clients of another language, in a virtual environment of the build's own.
python() {
  local want="grpcio==1.85.1 grpcio-tools==1.85.1 kubernetes-validate==1.37.0" home=target/python
  [ "$(cat "$home/wanted" 2>/dev/null)" = "$want" ] && return
  command -v python3 >/dev/null || debian python3 python3-venv
  rm -rf "$home"
  mkdir -p target
  if ! python3 -m venv "$home" >/dev/null 2>&1; then
    debian python3-venv
    python3 -m venv "$home"
  fi
  echo "setup: installing $want into $home" >&2
  # shellcheck disable=SC2086
  "$home/bin/pip" install --quiet --disable-pip-version-check $want || fail "pip could not install $want"
  echo "$want" >"$home/wanted"
}

# The TypeScript client and the web chat, which `wasmverse dev` serves.
page() {
  command -v npm >/dev/null || debian nodejs npm
  if [ gate/package-lock.json -nt gate/node_modules/.package-lock.json ]; then
    echo "setup: npm ci in gate" >&2
    npm ci --prefix gate --no-audit --no-fund --loglevel=error || fail "npm could not install what gate/package-lock.json names"
    touch gate/node_modules/.package-lock.json
  fi
  local built=gate/web/dist/index.html
  [ -n "$(find gate/client/src gate/web/src gate/*.json gate/*/*.json gate/web/*.html gate/web/*.ts -newer "$built" 2>&1 | head -n 1)" ] || return 0
  echo "setup: building the web chat" >&2
  npm run build --silent --prefix gate >&2 || fail "the web chat could not be built: npm run build --prefix gate"
}

# Debian's browser, for the tests of the web chat.
browser() {
  command -v chromium >/dev/null || debian chromium
}

# A real database server for the tests, which start one of their own from it.
postgres() {
  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || debian postgresql
}

command -v cargo >/dev/null || fail "no cargo; install Rust with rustup: https://rustup.rs"
command -v cc >/dev/null || debian gcc libc6-dev
wasm_target
page
[ "${1:-build}" != cluster ] || postgres
if [ "${1:-build}" = test ]; then
  { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1 || rustup component add clippy rustfmt
  command -v curl >/dev/null || debian curl
  python
  browser
  postgres
  command -v systemd-analyze >/dev/null || debian systemd
fi

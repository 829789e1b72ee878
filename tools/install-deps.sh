#!/usr/bin/env bash
# Installs what is missing to build Consilium on Debian 12, by package name.
#   tools/install-deps.sh            to build
#   tools/install-deps.sh --tests    to build, test, fuzz and lint as well
#   tools/install-deps.sh --check    says what is missing, installs nothing
# Exit status: 0 all there; 2 something is missing and may not or could not be installed (it is named).
# CSL_SKIP_DEPS=1 skips the check where packages have other names; CMake then says what it does not find.
set -euo pipefail

build=(build-essential cmake ninja-build pkg-config libgrpc-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
  libsodium-dev libssl-dev libhdf5-dev libdnnl-dev libsqlite3-dev libyaml-dev libjansson-dev zlib1g-dev libpng-dev
  libcmocka-dev)
tests=(clang libclang-rt-14-dev clang-format clang-tidy python3 python3-grpcio python3-protobuf python3-venv hdf5-tools sqlite3
  openssl spin valgrind)

wanted=("${build[@]}")
may_install=yes
for word in "$@"; do
  case "$word" in
    --tests) wanted+=("${tests[@]}") ;;
    --check) may_install=no ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "install-deps: found '$word'; --tests, --check or --help would be right" >&2; exit 2 ;;
  esac
done
if [[ "${CSL_SKIP_DEPS:-0}" == 1 ]]; then
  exit 0
fi

missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | sort -u || true)
    [[ "$state" == *installed* && "$state" != *not-installed* ]] || missing+=("$package")
  done
else
  missing=("${wanted[@]}")
fi
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
echo "install-deps: missing packages: ${missing[*]}"

give_up() {
  echo "install-deps: $1" >&2
  echo "install-deps: as an administrator: apt-get install ${missing[*]}" >&2
  exit 2
}
[[ "$may_install" == yes ]] || give_up "asked to install nothing"
command -v apt-get >/dev/null || give_up "no apt-get here; CSL_SKIP_DEPS=1 skips this check"

as_root=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo >/dev/null || give_up "not an administrator, and sudo is not there"
  as_root=(sudo)
  if [[ ! -t 0 || -n "${CI:-}" ]]; then
    as_root=(sudo -n) # nobody could type a password
    sudo -n true 2>/dev/null || give_up "sudo would ask for a password"
  fi
fi
echo "install-deps: installing them with apt-get"
as_root+=(env DEBIAN_FRONTEND=noninteractive)
"${as_root[@]}" apt-get update -qq </dev/null || echo "install-deps: the package lists could not be refreshed" >&2
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null ||
  give_up "apt-get could not install them"

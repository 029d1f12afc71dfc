#!/bin/sh
# Verifies the log of a bgctl run without bgctl: with jq, ssh-keygen, sha256sum, cmp, sed, grep, xargs and coreutils.
#
#   sh verify.sh [--all-seals] [--revoked FILE] log.jsonl allowed_signers
#
# `allowed_signers` is OpenSSH's file of who may sign; `--revoked` is a list of keys, of their SHA256 fingerprints, or a KRL. A
# file `revoked_keys` beside the signers counts too. The last line is the verdict. Exit codes are those of `bgctl audit verify`:
# 0 COMPLETE, 40 BROKEN, 43 INTERRUPTED or ENDED, 46 POLICY, 65 for a list that cannot be read; 64 for a wrong command line.
# Its own are 47 NOT CHECKED, for what it does not read as bgctl does, and 69 for a program that is missing.
#
# It does not share a line with bgctl: grammar, chain, notes, signatures and approvals are judged here once more. What it
# does not do is said at its end. It keeps the whole log in memory, so it is for runs, not for archives.
set -eu
LC_ALL=C TZ=UTC
export LC_ALL TZ

usage() {
  echo "usage: sh verify.sh [--all-seals] [--revoked FILE] log.jsonl allowed_signers" >&2
  exit 64
}

all=false revoked=
while [ $# -gt 0 ]; do
  case $1 in
    --all-seals) all=true ;;
    --revoked) [ $# -gt 1 ] || usage; shift; revoked=$1 ;;
    -*) usage ;;
    *) break ;;
  esac
  shift
done
[ $# -eq 2 ] || usage
for file in "$1" "$2" ${revoked:+"$revoked"}; do
  [ -r "$file" ] || { echo "cannot read $file" >&2; exit 64; }
done
for program in jq ssh-keygen sha256sum base64 split cmp grep sed xargs od; do
  command -v "$program" >/dev/null || { echo "this needs $program" >&2; exit 69; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cp "$1" "$work/log"
cp "$2" "$work/allowed"
[ -z "$revoked" ] || cp "$revoked" "$work/revoked"
beside=$(dirname "$2")/revoked_keys copy=false
[ ! -e "$beside" ] || cp "$beside" "$work/beside"
[ ! -e "$1.redaction" ] || copy=true
cd "$work"

broken() {
  echo "  $1"
  echo "BROKEN. Something in the bytes does not hold, or nobody here trusts who signed them."
  exit 40
}


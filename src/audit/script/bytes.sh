#!/bin/sh
# Verifies the log of a bgctl run without bgctl: with jq, ssh-keygen, sha256sum, cmp, sed, grep, xargs and coreutils.
#
#   sh verify.sh [--all-seals] [--revoked FILE] log.jsonl allowed_signers
#
# `allowed_signers` is OpenSSH's file of who may sign; `--revoked` is a list of keys or a KRL, as `ssh-keygen -r` takes it.
# The last line is the verdict. Exit codes are those of `bgctl audit verify`: 0 COMPLETE, 40 BROKEN, 43 INTERRUPTED or
# ENDED, 46 POLICY; 64 for a wrong command line, 69 for a program that is missing.
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
cd "$work"

broken() {
  echo "  $1"
  echo "BROKEN. Something in the bytes does not hold, or nobody here trusts who signed them."
  exit 40
}

# --- The bytes: whole lines, each with the SHA-256 of the one before it, in the one spelling a log has. -------------------

[ -s log ] || broken "the log is empty"
[ "$(tail -c 1 log | od -An -tx1 | tr -d ' ')" = 0a ] || broken "the bytes at the end are covered by no seal"

mkdir lines
split -l 1 -a 6 log lines/l
(cd lines && printf '%s\n' * | xargs sha256sum) | cut -c 1-64 > sums
rm -r lines
{ printf '%064d\n' 0; sed '$d' sums; } > wanted
sed -n 's/^{"v":1,"seq":[0-9]*,"run":"[^"]*","ts":"[^"]*","mono":[0-9]*,"type":"[^"]*","prev":"\([0-9a-f]*\)",.*/\1/p' log > found
cmp wanted found > differs 2>&1 || broken "the chain breaks before $(sed 's/.*, //; s/^cmp: EOF.*/its end/' differs | head -n 1)"

# Every line is read and written again; whatever a JSON reader forgives (blanks, a member twice, another escape, a number
# that is not whole, bytes that are no UTF-8) comes out differently.
cat > spell.jq <<'JQ'

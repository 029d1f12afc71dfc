#!/bin/sh
# A second opinion on logs, by a verifier that shares no code with bgctl: it was written from `bgctl explain format` alone. It needs
# Python 3.9 or later and the package `cryptography` (PYTHON names another interpreter than python3).
set -u
PYTHON="${PYTHON:-python3}"
cd "$(dirname "$0")" || exit
vectors=../../tests/vectors

for name in sound-closed sound-interrupted chain-changed signer-unknown done-gates; do
  echo "\$ python3 verify_log.py $name/log.jsonl $name/allowed_signers"
  "$PYTHON" -B verify_log.py "$vectors/$name/log.jsonl" "$vectors/$name/allowed_signers"
  echo "exit $?"
  echo
done

#!/bin/sh
# A CI job starts a cutover, a release manager with nothing but ssh-keygen signs it, and the job goes on.
# Runs in the lab, in a folder of its own. BGCTL names the binary; transcript.txt is what it prints.
set -u
here=$(cd "$(dirname "$0")" && pwd)
bgctl=${BGCTL:-bgctl}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export CI=true BGCTL_STATE_DIR="$work/state"

tell() { printf '\n$ %s\n' "$*"; }

# The release manager's key, and the file by which the team knows it.
ssh-keygen -q -t ed25519 -N '' -C rm-one -f rm-one
mkdir .bgctl
printf 'rm-one@example.com namespaces="bgctl-*" %s\n' "$(cat rm-one.pub)" >.bgctl/allowed_signers

tell 'bgctl cutover runbook.yaml --lab --confirm lab --approvals approvals'
"$bgctl" cutover "$here/runbook.yaml" --lab --confirm lab --approvals approvals </dev/null 2>&1
echo "exit $?"

tell 'ssh-keygen -Y sign -n bgctl-approve-v1 -f rm-one approvals/shift-100.request.json'
ssh-keygen -q -Y sign -n bgctl-approve-v1 -f rm-one approvals/shift-100.request.json 2>&1

tell 'bgctl resume --approvals approvals'
"$bgctl" resume --approvals approvals </dev/null 2>&1
echo "exit $?"

tell 'bgctl audit verify'
"$bgctl" audit verify 2>&1
echo "exit $?"

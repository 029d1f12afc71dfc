#!/bin/sh
# Verifies the log of a bgctl run without bgctl: with jq, ssh-keygen, sha256sum, cmp, xargs and the usual small programs.
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
for program in jq ssh-keygen sha256sum base64 split cmp xargs od; do
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
def hex4: . as $c | [4096, 256, 16, 1] | map((($c / .) | floor) % 16 | "0123456789abcdef"[. : . + 1]) | join("");
def hidden: . >= 128 and . <= 159 or . == 1564 or . == 6158 or . >= 8203 and . <= 8207 or . >= 8232 and . <= 8238
  or . >= 8288 and . <= 8303 or . == 65279 or . >= 65529 and . <= 65531;
def str: tojson | if test("[\u0080-\u009f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
  then explode | map(if hidden then "\\u" + hex4 else [.] | implode end) | join("") else . end;
def put($depth):
  if $depth > 64 then error("deep") else . end
  | type as $type
  | if $type == "object" then "{" + ([keys_unsorted[] as $k | ($k | str) + ":" + (.[$k] | put($depth + 1))] | join(",")) + "}"
    elif $type == "array" then "[" + (map(put($depth + 1)) | join(",")) + "]"
    elif $type == "string" then str
    elif $type == "number" then
      if floor != . or . > 9007199254740991 or . < -9007199254740991 then error("number") else . + 0 | tostring end
    else tojson end;
JQ
{ cat spell.jq; echo 'try (fromjson | put(0)) catch "no line of a log"'; } > respell.jq
jq -R -r -f respell.jq log > again 2>/dev/null || true
cmp log again > differs 2>&1 || broken "a line is not spelled as a log is: $(sed 's/.*differ: //; s/^cmp: EOF.*/it ends too early/' differs | head -n 1)"

# --- Notes, statements and rules. What needs a hash or a signature is written down as a task. ------------------------------

cat spell.jq - > judge.jq <<'JQ'
def kinds: ["anchor.receipt", "approval.denied", "approval.expired", "approval.granted", "approval.requested",
  "approval.withdrawn", "check.done", "clock.anomaly", "command.output", "drain.measured", "freeze.changed", "gate.evaluated",
  "note", "override.used", "plan.loaded", "prompt.answered", "provider.called", "recovered", "rollback.armed",
  "rollback.begun", "rollback.declined", "run.continued", "run.continues", "run.ended", "run.held", "run.interrupted",
  "run.opened", "run.paged", "run.refused", "run.resumed", "seal", "sink.degraded", "step.intent", "step.outcome",
  "step.reconciled", "traffic.health", "traffic.read", "traffic.seen", "wait.breached"];
def is_text: type == "string";
def is_digest: is_text and test("\\A[0-9a-f]{64}\\z");
def is_time: is_text and test("\\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z\\z")
  and (try ((.[0:19] + "Z") as $t | ($t | fromdateiso8601 | todate) == $t) catch false);
def us: (.[0:19] + "Z" | fromdateiso8601) * 1000000 + (.[20:26] | tonumber);
def bad($why): if .bad then . else .bad = "line \(.n + 1), byte \(.bytes): \($why)" end;
def breach($why): .out += [["POLICY", "line \(.n + 1): \($why)"]];
def task($name; $fields): .out += [[$name] + $fields];

# The owner opens or resumes: who may seal from now on, and until when.
def statement($l):
  ($l.data | keys_unsorted) as $members
  | if $members == ["statement", "ns", "mac", "claims"]
    then bad("it is signed with a shared key, which these programs do not check") else . end
  | if .bad then . elif $members != ["statement", "ns", "sig", "claims"] or ([$l.data | .statement, .ns, .sig | is_text] | all | not)
    then bad("the statement has other members") else
      (try ($l.data.statement | fromjson) catch null) as $s
      | ($l.type == "run.resumed") as $resumes
      | if ($s | type) != "object" or (try ($s | put(0)) catch "") != $l.data.statement then bad("the statement is no object of this format")
        elif [$s | ._type, .run, .service, .environment, .plan_sha256, .owner, .owner_key, .session_key, .assurance | is_text] | all | not
        then bad("the statement lacks a member")
        elif $l.data.ns != "bgctl-open-v1" or $s._type != (if $resumes then "bgctl/resuming/v1" else "bgctl/opening/v1" end)
        then bad("the statement is for something else")
        elif $s.run != $l.run then bad("the statement is for another run")
        elif $s.plan_sha256 | is_digest | not then bad("the statement names no plan")
        elif .head and (.head.service != $s.service or .head.environment != $s.environment or .head.plan != $s.plan_sha256)
        then bad("the statement is for another service, environment or plan")
        elif $resumes and ($s.log_lines != .n or ($s.log_sha256 | is_digest | not)) then bad("it goes on from another log")
        elif ($s.not_before | is_time | not) or ($s.not_after | is_time | not) then bad("the session has no times")
        elif ($s.not_after | us) < ($s.not_before | us) or ($s.not_after | us) - ($s.not_before | us) > 43200000000
        then bad("the session is longer than 12 hours")
        elif $s.owner_key | startswith("hmac-sha256 ") then bad("its key is of another kind than its signature")
        else
          if $resumes then task("PREFIX"; [.n, .bytes, $s.log_sha256]) else . end
          | if .pending then task("SEAL"; .pending) | .pending = null else . end
          | .session = { owner: $s.owner, key: $s.owner_key, seals: $s.session_key, from: ($s.not_before | us),
              until: ($s.not_after | us), opened: ($l.ts | us), jumped: false }
          | task("OWNER"; [.n, $s.owner, "bgctl-open-v1", $l.ts, ($s.owner_key | @base64), ($l.data.statement | @base64), ($l.data.sig | @base64)])
          | .head //= { service: $s.service, environment: $s.environment, plan: $s.plan_sha256 }
          | .runners += [$s.owner]
        end
    end;

# A seal: its note says what it covers.
def seal($l):
  ($l.data | keys_unsorted) as $members
  | if ($members != ["note", "ns", "sig"] and $members != ["note", "ns", "mac"]) or ([$l.data[] | is_text] | all | not)
    then bad("the seal has other members")
    elif .session == null then bad("no session was opened")
    else
      ($l.data.note | split("\n")) as $note
      | ($note[5] // "" | ltrimstr("state ")) as $state
      | if ($note | length) != 7 or $note[6] != "" then bad("the note is not six lines")
        elif $note[0] != "bgctl/log/\(.head.service)/\($l.run)" then bad("the note is for another log")
        elif $note[1] != "lines \(.n)" or $note[2] != "bytes \(.bytes)" then bad("the note covers something else")
        elif $note[3] | ltrimstr("sha256 ") | is_digest | not then bad("the note has no digest")
        elif $note[3] | startswith("sha256 ") | not then bad("the note has no digest")
        elif $note[4] != "time \($l.ts)" or $l.mono != .mono then bad("its own time is not the one in its note")
        elif ["state open", "state closed", "state aborted", "state handover", "state ended"] | index([$note[5]]) | not
        then bad("the note has no state")
        elif .group == 0 and $state == "open" then bad("it seals nothing")
        elif .group == 0 and .state == "ended" and $state == "ended" then bad("the process had ended")
        else
          .seals += 1
          | if $state == "open" or $state == "ended" then
              .session as $s
              | ($s.opened + $l.mono) as $by_mono
              | if $l.data.ns != "bgctl-seal-v1" or $members[2] != "sig" then bad("it is signed for another state")
                elif $by_mono < $s.from or $by_mono > $s.until or ($s.jumped | not) and (($l.ts | us) < $s.from or ($l.ts | us) > $s.until)
                then bad("its session was over")
                else
                  [.n, .bytes, ($note[3] | ltrimstr("sha256 ")), ($s.seals | @base64), ($l.data.note | @base64), ($l.data.sig | @base64)] as $task
                  | if $all then task("SEAL"; $task) else .pending = $task end
                end
            else
              if .pending then task("SEAL"; .pending) | .pending = null else . end
              | if $l.data.ns != "bgctl-close-v1" then bad("only the owner may sign this state")
                elif $members[2] != "sig" then bad("its signature is of another kind than its key")
                else
                  task("PREFIX"; [.n, .bytes, ($note[3] | ltrimstr("sha256 "))])
                  | task("OWNER"; [.n, .session.owner, "bgctl-close-v1", $l.ts, (.session.key | @base64), ($l.data.note | @base64), ($l.data.sig | @base64)])
                end
            end
          | .state = $state
        end
    end;

# What may stand where.
def order($l):
  ($l.type) as $t
  | if .n == 0 then if $t == "run.opened" then . else bad("a log begins with run.opened") end
    elif .n == 1 then if $t == "plan.loaded" then . else bad("the plan comes second") end
    elif $t == "run.opened" or $t == "plan.loaded" then bad("it opens a run that is open already, or has a second plan")
    elif .group > 0 then if $t == "run.resumed" then bad("a run is resumed behind a seal only") else . end
    elif .state == "closed" or .state == "aborted" then bad("the owner closed the log before it")
    elif .state == "handover" and $t != "run.resumed" then bad("the log was handed over and not resumed")
    elif .state == "ended" and $t != "run.resumed" and $t != "seal" then bad("the process had ended and the run was not resumed")
    else . end;

# Time passes; the clock may go back only where that is noted.
def time($l):
  if $l.type == "run.opened" or $l.type == "run.resumed" then .
  elif $l.mono < .mono then bad("mono goes back")
  else
    if .last and ($l.ts | us) < .last then .back = true else . end
    | if $l.type == "seal" and .back then if .noted then .back = false else bad("the clock goes back and nothing says so") end else . end
  end;

def planned($step):
  if ($step.lane == "forward" or $step.lane == "rollback") and ($step.index | type == "number" and . >= 0)
  then .plan[$step.lane][$step.index] else null end;

def plan($l):
  ($l.data.text // "" | if is_text then . else "" end) as $text
  | task("HASH"; [.n, "the plan is not the one the owner signed", .head.plan, ($text | @base64)])
  | if $l.data.sha256 != .head.plan then breach("the plan is not the one the owner signed") else . end
  | (try ($text | fromjson) catch null) as $plan
  | if ($plan | type) != "object" then breach("the plan cannot be read") else
      .plan = $plan | .by_hand = ($plan.purpose != "cutover")
      | reduce .runners[] as $who (.; if $plan.owners + [$plan.rollback_owner] | index([$who]) then . else breach("\($who) is none of the owners") end)
    end;

def requested($l):
  $l.data as $d | planned($d.step) as $step
  | (try ($d.request | fromjson) catch null) as $said
  | task("HASH"; [.n, "the digest of the request is another", $d.request_sha256, ($d.request | @base64)])
  | if $step == null then breach("it asks for no step of the plan")
    elif ($said | type) != "object" then breach("the request is no JSON text")
    else
      if $said.run != $l.run or $said.plan_sha256 != .head.plan or $said.expires != $d.expires then breach("the request is bound to something else") else . end
      | task("HASH"; [.n, "the request is for another step", ($said.step_sha256 // "-" | tostring), ($step | tojson | @base64)])
    end
  | if .requests[$d.request_sha256] then breach("the same request stands there twice") else . end
  | .requests[$d.request_sha256] = { step: $d.step, text: $d.request, expires: $d.expires, keys: [], by: [], void: [], used: false }
  | .asked["\($d.step)"] = $d.request_sha256;

# Who signs under a name: the person of the plan's policy, or the name itself where there is no policy.
def person($name):
  .plan.team.persons as $all
  | if $all == null then $name else [$all | to_entries[] | select(.value.principals | index([$name])) | .key][0] end;

def is_bot($who): .plan.team.persons[$who // ""].kind == "bot";

def runs_it($name; $who):
  any(.runners[]; . == $name) or (. as $state | any(.runners[]; . as $runner | $state | person($runner) == $who));

# The approval of a shift that agreed to the way back too, once that shift has begun.
def covers($r; $at):
  $at.lane == "rollback" and $r.step.lane == "forward" and $r.used and (planned($r.step).approval.covers_rollback == true);

def withdrawn($l):
  $l.data as $d | person($d.principal) as $who | .requests[$d.request_sha256] as $r
  | if $r == null or $r.step != $d.step then breach("it takes back what is not in this log") else
      .requests[$d.request_sha256].by -= [$who] | .requests[$d.request_sha256].void += [$who]
      | if $d.grant then
          if person($d.grant.principal) != $who then breach("somebody else took it back") else . end
          | if $d.grant.sig then task("APPROVER"; [.n, $d.grant.principal, "bgctl-deny-v1", $l.ts, ($d.grant.key // "-"), ($r.text | @base64), ($d.grant.sig | @base64)])
            else . end
        else . end
    end;

def answered($l; $ns):
  $l.data as $d | $d.grant as $g | planned($d.step) as $step | .requests[$d.request_sha256 // ""] as $r
  | person($g.principal) as $who
  | if $step.approval == null then breach("it answers for a step that asks for no approval")
    elif $r == null or $r.step != $d.step then breach("it answers a request that is not in this log")
    else
      if $ns == "bgctl-approve-v1" then
        if $g.key and ($r.keys | index([$g.key])) then breach("the key of \($g.principal) was counted before") else . end
        | if ($l.ts | us / 1000000 | floor) > $r.expires + 5 then breach("\($g.principal) approved after the request had expired") else . end
        | if $who == null or ($step.approval.members | index([$who]) | not) then breach("\($g.principal) does not hold the role") else . end
        | if is_bot($who) then breach("\($g.principal) is a bot") else . end
        | if ($step.approval.own_run | not) and runs_it($g.principal; $who) then breach("\($g.principal) approved their own run") else . end
        | if $g.evidence == "prompt" and (runs_it($g.principal; $who) | not) then breach("\($g.principal) typed at the terminal of somebody else") else . end
        | if .asked["\($d.step)"] != $d.request_sha256 or ($r.by | index([$who])) or ($r.void | index([$who])) then breach("\($g.principal) was counted before, or for an old request") else . end
        | .requests[$d.request_sha256].by += [$who]
      else .denied += [$d.request_sha256] | .failed = true end
      | if $g.key then .requests[$d.request_sha256].keys += [$g.key] else . end
      | if $g.sig then task("APPROVER"; [.n, $g.principal, $ns, $l.ts, ($g.key // "-"), ($r.text | @base64), ($g.sig | @base64)])
        elif $g.evidence != "prompt" then breach("\($g.principal) answered without a signature")
        else . end
    end;

def intent($l):
  $l.data as $d | planned($d.step) as $step
  | if $step == null then breach("it is no step of the plan") else
      if $step.id != $d.id then breach("\($d.id) is not the step the plan has there") else . end
      | task("HASH"; [.n, "\($d.id) is not the step the plan has there", $d.step_sha256, ($step | tojson | @base64)])
      | if .over then breach("the run had ended") else . end
      | if .open != null and .open != $d.step then breach("another step is not done yet") else . end
      | if $d.step.lane == "forward" and .back_again then breach("a run that went back goes forward again") else . end
      | if $d.step.lane == "rollback" and (.back_again | not) and .plan.purpose == "cutover" then breach("no rollback was begun") else . end
      | if $d.step.index != .next[$d.step.lane] then breach("another step is next") else . end
      | .asked["\($d.step)"] as $asked
      | if $step.approval and ($d.step.lane == "forward" or (.by_hand | not))
          and ([.requests[] as $r | select(covers($r; $d.step))] | length) == 0
          and (($asked == null) or (.requests[$asked].by | length) < $step.approval.quorum or (.denied | index([$asked])))
        then breach("\($d.id) is not approved") else . end
      | reduce $d.approvals[] as $used (.; .requests[$used] as $r
          | if $r and covers($r; $d.step) then .
            elif $r == null or $r.step != $d.step then breach("\($d.id) uses an approval of something else") else
              if $d.attempt == 1 and ($r.used | not) and ($l.ts | us / 1000000 | floor) > $r.expires + 5
              then breach("the approval of \($d.id) had expired when it was used") else . end
              | .requests[$used].used = true
            end)
      | .open = $d.step | .attempt = $d.attempt
    end;

# An end of a step: the next one is next where it is done, or where the plan says to go on all the same.
def closes($l; $done; $retry):
  $l.data.step as $at | planned($at) as $step
  | if .open != $at then breach("no attempt of this step is open") else . end
  | .open = null
  | if $done then .next[$at.lane] = $at.index + 1
    elif $retry and .attempt < ($step.attempts // 1) then .
    elif $step.on_failure == "continue" then .next[$at.lane] = $at.index + 1
    else .failed = true end;

def fact($l):
  $l.type as $t
  | if $t == "plan.loaded" then plan($l)
    elif .plan == null then .
    elif $t == "approval.requested" then requested($l)
    elif $t == "approval.granted" then answered($l; "bgctl-approve-v1")
    elif $t == "approval.denied" then answered($l; "bgctl-deny-v1")
    elif $t == "approval.withdrawn" then withdrawn($l)
    elif $t == "step.intent" then intent($l)
    elif $t == "step.outcome" then
      if $l.data.outcome.is == "unknown" then . else closes($l; $l.data.outcome.is == "done"; $l.data.outcome.retry) end
    elif $t == "step.reconciled" then
      if $l.data.found == "cannot-see" then . else closes($l; $l.data.found == "in-place"; $l.data.found == "not-in-place") end
    elif $t == "run.interrupted" then .failed = true | .interrupted = true
    elif $t == "wait.breached" or $t == "approval.expired" then .failed = true
    elif $t == "rollback.begun" then .back_again = true | .open = null | .by_hand = ($l.data.automatic | not)
    elif $t == "run.ended" then
      if .over or .open != null and (.interrupted | not) then breach("the run had ended, or a step is not done") else . end
      | (.next.forward == (.plan.forward | length) and (.back_again | not)) as $done
      | if ($l.data.outcome == "completed") != $done and ($l.data.outcome == "completed" or (.failed | not) and (.by_hand | not))
        then breach("it does not end like that") else . end
      | .over = true
    elif $t == "run.refused" then .over = true
    else . end;

def take($raw; $sum; $before):
  (try ($raw | fromjson) catch null) as $l
  | (($raw | utf8bytelength) + 1) as $length
  | if ($l | type) != "object" or ($l | keys_unsorted) != ["v", "seq", "run", "ts", "mono", "type", "prev", "data"]
    then bad("its members are not those of a line")
    elif $l.v != 1 then bad("its version is not known")
    elif [$l | .run, .ts, .type, .prev | is_text] | all | not then bad("a member is not a text")
    elif [$l | .seq, .mono | type == "number" and . >= 0] | all | not then bad("a member is not a number")
    elif $l.ts | is_time | not then bad("its time is none")
    elif kinds | index([$l.type]) | not then bad("its type is not known")
    elif $l.prev | is_digest | not then bad("prev is no digest")
    elif ($l.data | type) != "object" then bad("data is no object")
    elif $length > (if $l.type == "plan.loaded" then 8388608 else 65536 end) then bad("it is too long")
    elif .group_bytes + $length > 16777216 then bad("too much stands there without a seal")
    elif .run and $l.run != .run then bad("it belongs to another run")
    elif $l.seq != .n then bad("number \($l.seq) stands here")
    elif $l.prev != $before then bad("it does not follow on the line before it")
    else order($l) end
  | if .bad then . else time($l) end
  | if .bad then . elif $l.type == "run.opened" or $l.type == "run.resumed" then statement($l)
    elif $l.type == "seal" then seal($l)
    else . as $state | try fact($l) catch ($state | breach("it cannot be read")) end
  | if .bad then . else
      if $l.type == "clock.anomaly" then .noted = true | .session.jumped = true else . end
      | if $l.type == "seal" then .group = 0 | .group_bytes = 0 | .noted = false else .group += 1 | .group_bytes += $length end
      | .n += 1 | .bytes += $length | .run = $l.run | .last = ($l.ts | us) | .mono = $l.mono
    end;

($sums | split("\n")) as $sums
| reduce inputs as $raw (
    { n: 0, bytes: 0, mono: 0, group: 0, group_bytes: 0, seals: 0, out: [], runners: [], requests: {}, asked: {}, denied: [],
      next: { forward: 0, rollback: 0 } };
    if .bad then . else take($raw; $sums[.n]; if .n == 0 then "0" * 64 else $sums[.n - 1] end) end)
| if .bad then . elif .group > 0 then bad("the lines at the end are covered by no seal")
  elif .pending then task("SEAL"; .pending) else . end
| if .state == "closed" and (.over | not) then breach("the owner closed the log before the run had ended") else . end
| if .bad then ["BAD", .bad] else
    .out[], ["END", .state, .n, .seals, .run, ([.out[] | select(.[0] == "SEAL")] | length)]
  end
| @tsv
JQ
jq -n -R -r --argjson all "$all" --rawfile sums sums -f judge.jq log > tasks 2> failed || broken "the log cannot be judged: $(head -n 1 failed)"

tab=$(printf '\t')
first=$(head -n 1 tasks)
case $first in BAD*) broken "${first#BAD"$tab"}" ;; esac

# --- Hashes and signatures. -----------------------------------------------------------------------------------------------

prefix() { # lines bytes sha256
  [ "$(head -c "$2" log | sha256sum | cut -c 1-64)" = "$3" ] || broken "line $(($1 + 1)): the SHA-256 of the bytes before it is another"
}

# A signature in a log has one spelling, or a byte of it could be changed without breaking anything.
usual() {
  { echo '-----BEGIN SSH SIGNATURE-----'; sed '1d;$d' sig | base64 -d | base64 -w 70; echo '-----END SSH SIGNATURE-----'; } 2>/dev/null | cmp -s - sig
}

# Prints the fingerprint of the key that signed `text`, if it may.
signer() { # allowed principal namespace time
  set -- "$1" "$2" "$3" "$(echo "$4" | tr -d ':T-' | cut -c 1-14)Z"
  answer=$(ssh-keygen -Y verify -f "$1" -I "$2" -n "$3" -s sig -Overify-time="$4" ${revoked:+-r revoked} < text 2>&1) || return 1
  case $answer in
    # ssh-keygen does not look whether anybody touched the security key: bit 1 of the flags, five bytes from the end.
    *-SK\ key*) [ "$(($(sed '1d;$d' sig | base64 -d | tail -c 5 | head -c 1 | od -An -tu1) % 2))" = 1 ] || return 1 ;;
  esac
  echo "$answer" | sed -n 's/^Good .* key \(SHA256:[^ ]*\).*/\1/p'
}

fingerprint() { ssh-keygen -lf "$1" | cut -d ' ' -f 2; }

policy= owners=
while IFS=$tab read -r name a b c d e f g; do
  case $name in
    POLICY) policy="$policy  $a
" ;;
    PREFIX) prefix "$a" "$b" "$c" ;;
    HASH)
      [ "$(printf %s "$d" | base64 -d | sha256sum | cut -c 1-64)" = "$c" ] || policy="$policy  line $((a + 1)): $b
" ;;
    SEAL)
      prefix "$a" "$b" "$c"
      printf %s "$d" | base64 -d > key; printf %s "$e" | base64 -d > text; printf %s "$f" | base64 -d > sig
      { printf 'session namespaces="bgctl-seal-v1" '; cat key; echo; } > session
      usual && found=$(ssh-keygen -Y verify -f session -I session -n bgctl-seal-v1 -s sig < text 2>&1) ||
        broken "line $((a + 1)): the signature of the seal does not hold" ;;
    OWNER)
      printf %s "$e" | base64 -d > key; printf %s "$f" | base64 -d > text; printf %s "$g" | base64 -d > sig
      usual && found=$(signer allowed "$b" "$c" "$d") && [ "$found" = "$(fingerprint key)" ] ||
        broken "line $((a + 1)): the signature of $b does not hold, or is not one of allowed_signers"
      case " $owners" in *" $b"*) ;; *) owners="$owners $b" ;; esac ;;
    APPROVER)
      printf %s "$f" | base64 -d > text; printf %s "$g" | base64 -d > sig
      found=$(signer allowed "$b" "$c" "$d") && { [ "$e" = - ] || [ "$e" = "$found" ]; } || policy="$policy  line $((a + 1)): the signature of $b does not count
" ;;
    END) state=$a lines=$b seals=$c run=$d checked=$e ;;
  esac
done < tasks

echo "  run $run: $lines lines, none missing, none changed, none moved; $seals seals"
echo "  written by$owners"
[ "$all" = true ] || echo "  not checked: the signature of every seal; $checked checked, each covers all before it (--all-seals)"
echo "  not checked: an anchor outside the log, so an owner's own rewriting of all of it is not seen"
echo "  not checked: whether each fact may follow on the one before it, beyond steps, approvals and ends (bgctl plays it all)"
if [ -n "$policy" ]; then
  printf %s "$policy"
  echo "POLICY. The bytes are sound; the rules of the run were not kept."
  exit 46
fi
case $state in
  closed | aborted) echo "COMPLETE. Unchanged, and closed by its owner." ;;
  ended) echo "ENDED. Sound so far; its owner has not signed that this is all."; exit 43 ;;
  *) echo "INTERRUPTED. Sound so far, and not closed by its owner: what came later may be missing."; exit 43 ;;
esac

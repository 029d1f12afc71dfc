# The owner opens or resumes: who may seal from now on, and until when.
def statement($l):
  ($l.data | keys_unsorted) as $members
  | if $members == ["statement", "ns", "mac", "claims"]
    then bad("it is signed with a shared key, which these programs do not check") else . end
  | if .bad then . elif $members != ["statement", "ns", "sig", "claims"] or ([$l.data | .statement, .ns, .sig | is_text] | all | not)
    then bad("the statement has other members")
    elif $l.data.claims | type != "object" then bad("its claims are not an object") else
      (try ($l.data.statement | fromjson) catch null) as $s
      | ($l.type == "run.resumed") as $resumes
      | if ($s | type) != "object" or (try ($s | put(0)) catch "") != $l.data.statement then bad("the statement is no object of this format")
        elif [$s | ._type, .run, .service, .environment, .plan_sha256, .owner, .owner_key, .session_key, .assurance | is_text] | all | not
        then bad("the statement lacks a member")
        elif [$s.owner_key, $s.session_key] | any(test("[\\x00-\\x1f\\x7f-\\x9f]")) then bad("a key is more than one line")
        elif try ($s.session_key, ($s.owner_key | select(startswith("hmac-sha256 ") | not)) | key_line | false) catch (IN("no text", "compressed") | not)
        then bad("a key cannot be read")
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
          | sealed
          | .session = { owner: $s.owner, key: $s.owner_key, seals: $s.session_key, from: ($s.not_before | us),
              until: ($s.not_after | us), opened: ($l.ts | us), jumped: false, policy: $s.policy_sha256 }
          | unread(try ($s.session_key | key_line) catch { failed: . })
          | owner($s.owner; "bgctl-open-v1"; $l.ts; $s.owner_key; $l.data.statement; $l.data.sig)
          | .head //= { service: $s.service, environment: $s.environment, plan: $s.plan_sha256 }
          | .runners += [$s.owner]
          | ($l.data.claims.trigger? | if is_text then . else null end) as $starter
          | if $starter then .starters += [$starter] else . end
          | .newest = { owner: $s.owner, trigger: $starter }
          | if .plan then may_run($s.owner; "resumed") | signed_as_asked else . end
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
        elif ["state open", "state closed", "state handover", "state ended"] | index([$note[5]]) | not
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
                  [.n, .bytes, ($note[3] | ltrimstr("sha256 ")), $s.seals, $l.data.note, $l.data.sig] as $task
                  | .pending = $task | if $all then sealed else . end
                end
            else
              sealed
              | if $l.data.ns != "bgctl-close-v1" then bad("only the owner may sign this state")
                elif $members[2] != "sig" then bad("its signature is of another kind than its key")
                else
                  task("PREFIX"; [.n, .bytes, ($note[3] | ltrimstr("sha256 "))])
                  | .session as $s | owner($s.owner; "bgctl-close-v1"; $l.ts; $s.key; $l.data.note; $l.data.sig)
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
    elif .state == "closed" then bad("the owner closed the log before it")
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


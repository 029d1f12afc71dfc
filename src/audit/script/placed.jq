# Which members a fact has, and whether it may stand where it does. Where a run is, is followed as far as that is one step at a
# time: `planned`, `ready`, `uncertain` (an attempt is open), `failed`, `paused`, `ended`. Beyond that nothing is said of it.
def facts: ["rollback.armed", "run.refused", "approval.requested", "approval.granted", "approval.denied", "approval.withdrawn", "approval.expired",
  "step.intent", "step.outcome", "step.reconciled", "wait.breached", "users.seen", "write.landed", "run.unconfirmed", "run.interrupted",
  "run.continued", "run.paused", "run.unpaused", "run.held", "rollback.begun", "rollback.declined", "rollback.overdue", "schema.seen",
  "override.used", "run.paged", "run.continues", "run.ended"];
def shaped($of):
  def whole($max): type == "number" and . >= 0 and . <= $max;
  def at: type == "object" and (.lane | IN("forward", "rollback")) and (.index | whole(9007199254740991));
  def split: . != null and is_split;
  def by: type == "object" and (.name | is_text) and (.via | is_text);
  def list_of(f): type == "array" and all(.[]; f);
  def maybe(f): . == null or f;
  def answer: type == "object" and ([.principal, .evidence] | all(is_text)) and (.key | maybe(is_text)) and (.sig | maybe(is_text));
  def cause: IN("gate", "no-verdict", "destination", "drift", "provider", "timeout", "action", "rules", "schema", "frozen", "guard", "away");
  def reaction: maybe(IN("roll-back", "hold", "halt"));
  def end_of_step: type == "object" and (.line | is_text) and (.is == "done" or .is == "unknown"
    or .is == "failed" and (.cause | cause) and ([.moved, .retry] | all(type == "boolean")) and (.then | reaction));
  def named: (.step | at) and (.id | is_text);
  if $of == "rollback.armed" then (.approvals_ahead | type == "boolean") and (.automatic_used | whole(4294967295)) and (.checks | type == "array")
  elif $of == "run.refused" then .why | is_text
  elif $of == "approval.requested" then named and ([.request, .request_sha256] | all(is_text)) and (.expires | type == "number") and (.use_by | maybe(type == "number"))
  elif $of == "approval.granted" then named and (.request_sha256 | is_text) and (.grant | answer)
  elif $of == "approval.denied" then named and (.request_sha256 | is_text) and (.grant | answer)
  elif $of == "approval.withdrawn" then named and ([.request_sha256, .principal, .why] | all(is_text)) and (.grant | maybe(answer))
  elif $of == "approval.expired" then named and (.why | is_text)
  elif $of == "step.intent" then named and (.attempt | whole(4294967295)) and ([.line, .step_sha256] | all(is_text)) and (.approvals | list_of(is_text))
  elif $of == "step.outcome" then named and (.outcome | end_of_step)
  elif $of == "step.reconciled" then named and (.found | IN("in-place", "not-in-place", "other", "cannot-see")) and (.line | is_text)
  elif $of == "wait.breached" then (.step | at) and (.cause | cause) and (.line | is_text) and (.then | reaction)
  elif $of == "users.seen" then (.routes | type == "object" and all(.[]; type == "object" and (.line | is_text) and has("split") and (.split | maybe(split)))) and (.settled | type == "boolean")
  elif $of == "write.landed" then named and (.found | split) and (.line | is_text)
  elif $of == "run.unconfirmed" then .why | is_text
  elif $of == "run.interrupted" then (.wish | IN("ask", "roll-back")) and (.by | by) and (.line | is_text)
  elif $of == "run.continued" then .by | by
  elif $of == "run.paused" then (.step | at) and (.cause | cause) and (.line | is_text) and (.until | type == "number")
  elif $of == "run.unpaused" then (.step | at) and (.line | is_text)
  elif $of == "run.held" then (.by | by) and (.line | is_text)
  elif $of == "rollback.begun" then (.automatic | type == "boolean") and (.by | by) and (.cause | is_text)
  elif $of == "rollback.declined" then (.by | by) and (.why | is_text)
  elif $of == "rollback.overdue" then named and (.line | is_text)
  elif $of == "schema.seen" then (.step | at) and ([.forward, .back] | all(is_verdict)) and (.line | is_text)
  elif $of == "override.used" then (.by | by) and ([.guard, .reason] | all(is_text))
  elif $of == "run.paged" then (.delivered | type == "boolean") and (.line | is_text)
  elif $of == "run.continues" then .by | by
  elif $of == "run.ended" then (.outcome | IN("completed", "no-changes", "rolled-back", "stopped", "holding", "halted", "refused", "waiting")) and (.line | is_text)
  else true end;

def doubt($l): if .doubt then . else .doubt = "whether the \($l.type) of line \(.n + 1) may follow on what stands before it" end;
def stray($l): breach("\($l.type) cannot stand there") | .lost_track = true;

# In one of these places it may stand, in none of those; anywhere else nobody here knows.
def stands($l; $may; $not):
  if .doing == null then doubt($l) elif .doing | IN($may[]) then . elif .doing | IN($not[]) then stray($l) else doubt($l) end;

def placed($l):
  $l.type as $t | $l.data as $d
  | (if .plan.purpose == "cutover" then (.back_again // false) else true end) as $back
  | ({ lane: (if $back then "rollback" else "forward" end), index: .next.forward }) as $here
  | if .doing == "ended" then stray($l)
    elif $t == "rollback.armed" then stands($l; ["planned"]; ["ready", "uncertain", "failed", "paused"]) | .doing = "ready"
    elif $t == "run.refused" then stands($l; ["planned"]; ["ready", "uncertain", "failed", "paused"]) | .doing = "ended"
    elif $t | IN("approval.requested", "approval.granted", "approval.withdrawn") then
      if $back then . else
        stands($l; ["ready"]; ["planned", "uncertain", "failed", "paused"])
        | (.asked["\($d.step)"]) as $asked | .requests[$asked // ""] as $r
        | if $t == "approval.requested" and $r != null and ($r.used != null or ($r.by | length) >= (planned($d.step).approval.quorum // 0)) then doubt($l)
          elif $t != "approval.requested" and ($asked != $d.request_sha256 or $r.used != null) then stray($l) else . end
      end
    elif $t == "approval.denied" then
      if $back then doubt($l) | .doing = null else
        stands($l; ["ready"]; ["planned", "uncertain", "failed", "paused"])
        | if .asked["\($d.step)"] == null then stray($l) else . end | .doing = "failed" end
    elif $t == "approval.expired" then
      if $back then doubt($l) | .doing = null else
        stands($l; ["ready"]; ["planned", "uncertain", "failed", "paused"])
        | if planned($d.step).approval == null then stray($l) else . end | .doing = "failed" end
    elif $t == "step.intent" then
      if $back then .doing = null else stands($l; ["ready", "uncertain"]; ["planned", "failed", "paused"]) | .doing = "uncertain" end
    elif $t == "step.outcome" or $t == "step.reconciled" then
      if $back then .doing = null else
        stands($l; ["uncertain"]; ["planned", "ready", "failed", "paused"])
        | planned($d.step) as $step | .open["\($d.step)"] as $open
        | .cause = $d.outcome.cause
        | if $t == "step.reconciled" then
            ((.lost[$d.step | tojson] | not) or ($open.attempt // 0) < ($step.attempts // 1)) as $anew
            | .doing = (if $d.found == "in-place" or $d.found == "not-in-place" and $anew then "ready"
                elif $d.found == "cannot-see" and ($open.looks // 0) < 4 then "uncertain"
                elif $d.found != "other" and $step.on_failure == "continue" then null else "failed" end)
          elif $d.outcome.is == "done" then .doing = "ready"
          elif $d.outcome.is == "unknown" then .doing = (if $step.resume == "repeat" then null else "uncertain" end)
          elif $d.outcome.then != null then .doing = "failed"
          elif $d.outcome.retry and ($open.attempt // 0) < ($step.attempts // 1) and ($d.outcome.cause | IN("drift", "frozen", "guard", "away") | not) then .doing = "ready"
          elif $step.on_failure == "continue" and ($d.outcome.cause | IN("drift", "frozen", "guard", "away") | not) then .doing = "ready"
          else .doing = "failed" | .cause = (if $d.outcome.retry then null else $d.outcome.cause end) end
      end
    elif $t == "wait.breached" then
      if $back or $d.step != $here then doubt($l) | .doing = null else stands($l; ["ready", "paused"]; ["planned", "failed"]) | .doing = "failed" | .cause = $d.cause end
    elif $t == "run.interrupted" then
      .asks = ($d.wish == "ask")
      | if $d.wish == "roll-back" then if .doing == "planned" and $back then doubt($l) else . end
        elif $back then stray($l) else stands($l; ["planned", "ready", "uncertain", "failed", "paused"]; []) end
    elif $t == "run.continued" then
      if .asks != true then stray($l) else stands($l; ["ready", "uncertain", "paused"]; ["planned", "failed"]) end | .asks = false
    elif $t == "run.paused" then
      if .doing == "failed" and .moved and ($back | not) and $d.step == $here and .cause == $d.cause and ($d.cause | IN("drift", "frozen", "guard", "away")) then .
      elif .doing | IN("planned", "ready", "uncertain") then stray($l) else doubt($l) end
      | .doing = "paused"
    elif $t == "run.unpaused" then stands($l; ["paused"]; ["planned", "ready", "uncertain", "failed"]) | .doing = "ready"
    elif $t == "run.held" then
      if $back then stray($l) elif .moved then stands($l; ["ready", "uncertain", "failed", "paused"]; ["planned"]) else doubt($l) end
      | .doing = null | .asks = false
    elif $t == "rollback.begun" then
      if $back then stray($l) elif .moved then stands($l; ["ready", "uncertain", "failed", "paused"]; []) else doubt($l) end | .doing = null
    elif $t == "rollback.declined" then stands($l; ["failed", "paused"]; []) | .doing = null
    elif $t == "schema.seen" then if $back then stray($l) else stands($l; ["ready", "uncertain", "failed", "paused"]; ["planned"]) | if $d.forward == "pass" then . else .doing = null end end
    elif $t == "run.unconfirmed" then
      if .seen == null then stray($l) elif $back or (.moved | not) or .next.forward == (.plan.forward | length) then . else doubt($l) end | .doing = null
    elif $t == "run.paged" then
      if .doing | IN("planned", "uncertain") then stray($l) elif .doing == "ready" and ($back | not) then stray($l)
      elif .doing == "paused" or (.stranded // []) != [] or .resting or any(.open[]; .looks >= 5) then . else doubt($l) end
    elif $t | IN("write.landed", "rollback.overdue") then .doing = null
    elif $t == "run.ended" then .doing = "ended"
    else . end
  | .resting = ($t | IN("run.unconfirmed", "rollback.declined", "rollback.overdue"))
  # What stands behind a fact that does not fit cannot be judged by it.
  | if .lost_track then .doing = null else . end;

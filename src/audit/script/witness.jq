
# What was seen beside the facts: evidence is about what the plan has, and a fact says what was seen for it.
def evidence_kinds: ["gate.evaluated", "check.done", "drain.measured", "command.output", "provider.called", "traffic.read", "traffic.health", "traffic.seen"];
def share: if .blue + .green == 0 then null else .blue / (.blue + .green) end;
def as_split($a; $b): ($a | share) == ($b | share);
def is_count: type == "number" and . >= 0 and . <= 4294967295 and . == floor;
def is_split: type == "object" and (.blue | is_count) and (.green | is_count);
def is_stack: . == "blue" or . == "green";
def is_verdict: . == "pass" or . == "fail" or . == "unknown";
def of_id($id): [.plan.forward[], .plan.rollback[] | select(.id == $id)] | first;

def evidence($l):
  $l.data as $d | $l.type as $t
  | if $t == "gate.evaluated" then
      if [$d.step, $d.gate | is_text] | all | not then breach("evidence nobody can read")
      elif $d.verdict | is_verdict | not then breach("evidence nobody can read")
      elif of_id($d.step) == null then breach("it is about step \($d.step), which the plan does not have")
      elif .plan.gates | has($d.gate) | not then breach("it is about gate \($d.gate), which the plan does not have")
      else .by_step[$d.step].gates[$d.gate] = $d.verdict end
    elif $t == "check.done" then
      if ([$d.step, $d.check | is_text] | all | not) or ($d.verdict | is_verdict | not) then breach("evidence nobody can read")
      elif of_id($d.step) == null then breach("it is about step \($d.step), which the plan does not have")
      else .by_step[$d.step].checks += 1 | if $d.verdict == "pass" then . else .by_step[$d.step].bad = true end end
    elif $t == "drain.measured" then
      if ($d.step | is_text | not) or ($d.stack | is_stack | not) or ($d.in_flight != null and ($d.in_flight | is_text | not))
      then breach("evidence nobody can read")
      elif of_id($d.step) == null then breach("it is about step \($d.step), which the plan does not have")
      else .by_step[$d.step].in_flight = [$d.in_flight]
        | if of_id($d.step).config.stack? == $d.stack then . else breach("it measures the other stack") end
      end
    elif $t == "command.output" then
      if $d.step | is_text | not then breach("evidence nobody can read")
      elif of_id($d.step) == null then breach("it is about step \($d.step), which the plan does not have")
      else . end
    elif $t == "provider.called" or ($t | startswith("traffic.")) then
      if ($d.route | is_text | not)
        or $t == "traffic.read" and ($d.split | is_split | not)
        or $t == "traffic.health" and (($d.stack | is_stack | not) or ($d.healthy | is_count | not))
        or $t == "traffic.seen" and ($d.agrees | type != "boolean")
      then breach("evidence nobody can read")
      elif .plan.routes | has($d.route) | not then breach("it is about route \($d.route), which the plan does not have")
      elif $t == "provider.called" then .place[$d.route].called = true
      elif $t == "traffic.read" then .place[$d.route].read = $d.split | .users[$d.route] = $d.split
      elif $t == "traffic.health" then .place[$d.route].well[$d.stack] = $d.healthy
      else .place[$d.route].agrees = $d.agrees end
    else . end;

# A move that is done was sent, read back, and seen. Without facts it was looked for.
def moved_as_seen($at; $move; $facts):
  (.place[$move.route] // {}) as $place | ($at.lane == "rollback") as $back | .plan.routes[$move.route] as $route
  | ($facts | if type == "object" then . else {} end) as $said
  | ($said.after | if is_split then . else null end) as $after | ($said.before | if is_split then . else null end) as $before
  | (if $facts == null then $place.read else $after end) as $stays
  | if $stays != null and $back and (as_split($stays; $move.after) | not) and ($stays | share // 0) > ($move.after | share // 0) then
      if ($facts == null or ($before != null and as_split($before; $stays))) and ($place.read == null or as_split($place.read; $stays))
      then . else breach("\($move.route) was not read where it says") end
    elif $after != null and (as_split($after; $move.after) | not) then breach("users of \($move.route) are not where the plan has them")
    elif $place.read == null then breach("the split of \($move.route) was never read back")
    elif as_split($place.read; $move.after) | not then breach("\($move.route) was read elsewhere")
    elif $facts != null and ($place.called | not) and ($before == null or (as_split($before; $move.after) | not))
    then breach("no call was sent to the provider of \($move.route)")
    elif $back and .ill_blue then .
    elif any("blue", "green"; $move.after[.] > 0 and (($back | not) or . == "blue") and (($place.well[.] // -1) < $route.min_healthy))
    then breach("a side of \($move.route) was not seen to be well")
    elif $route.seen_at != null and $place.agrees != true then breach("the responses of \($move.route) were not seen to agree")
    else . end;

# What passed or was measured fits the end of a step that moves nobody.
def passed_as_seen($step):
  . as $state | (.by_step[$step.id] // {}) as $seen
  | if $seen.bad then breach("\($step.id) is done, and a check of it did not pass")
    elif ($step.kind == "smoke" or $step.kind == "warm") and ($seen.checks // 0) == 0 then breach("\($step.id) is done, and no check of it is in the log")
    elif $step.kind == "bake" and ([$step.config.gates[]? | select($seen.gates[.] != "pass") | $state.plan.gates[.].weight? // 100] | add // 0) >= 100
    then breach("\($step.id) is done, and its gates had not passed")
    elif $step.kind == "drain" and $step.config.at_timeout? != "continue"
      and ($seen.in_flight == null or ($seen.in_flight[0] != "0" and ($seen.in_flight[0] != null or $step.config.longest_job? == null)))
    then breach("\($step.id) is done, and work was in flight")
    else . end;

def as_seen($l):
  planned($l.data.step) as $step | $l.data.found as $found
  | if $step == null then .
    elif $l.type == "step.outcome" then
      if $l.data.outcome.is != "done" then .
      elif $step.moves then moved_as_seen($l.data.step; $step.moves; $l.data.outcome.facts // {})
      else passed_as_seen($step) end
    elif $step.moves == null or $found == "cannot-see" then .
    elif $found == "in-place" then moved_as_seen($l.data.step; $step.moves; null)
    else .place[$step.moves.route].read as $read
      | if $read == null or as_split($read; $step.moves.after) then breach("\($step.id) was looked for and read elsewhere than it says") else . end
    end;

# A step that begins is as planned, and the attempt that is due.
def begins_as_planned($d; $step):
  ($d.line | split("[secret]")) as $said
  | if $d.line == $step.line or (($said | length) > 1 and ($said[0] as $a | $step.line | startswith($a)) and ($said[-1] as $z | $step.line | endswith($z)))
    then . else breach("\($d.id) says of itself what the plan does not say") end
  | if $d.attempt == (.due["\($d.step)"] // 1) or (.restarted and $d.attempt == 1) then . else breach("\($d.id) is begun as an attempt that was not due") end
  | .due["\($d.step)"] = $d.attempt | .lost["\($d.step)"] = false | .by_step |= del(.[$step.id])
  | if $step.moves then .place |= del(.[$step.moves.route]) else . end;

# Which attempt of a step is due after this.
def counted($l):
  ($l.data.step | tojson) as $at
  | if $l.type == "step.outcome" then
      if $l.data.outcome.is == "unknown" then .lost[$at] = true
        | if planned($l.data.step).resume == "repeat" then .due[$at] += 1 else . end
      elif $l.data.outcome.is == "failed" and $l.data.outcome.retry then .due[$at] += 1 else . end
    elif $l.type == "step.reconciled" then
      if $l.data.found == "not-in-place" and .lost[$at] then .due[$at] += 1 else . end
    else . end;

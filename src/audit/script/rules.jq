def plan($l):
  ($l.data.text // "" | if is_text then . else "" end) as $text
  | task("HASH"; [.n, "the plan is not the one the owner signed", .head.plan, ($text | @base64)])
  | if $l.data.sha256 != .head.plan then breach("the plan is not the one the owner signed") else . end
  | (try ($text | fromjson) catch null) as $plan
  | if ($plan | type) != "object" then breach("the plan cannot be read") else
      .plan = $plan | .by_hand = ($plan.purpose != "cutover")
      | if .head.service != $plan.service or .head.environment != $plan.environment
        then breach("the plan is for another service or environment than the owner signed") else . end
      | if $plan | plan_form | not then breach("the plan is not written in the one way plans are written")
        elif ($plan | tojson) != $text then unsure("the plan is spelled in a way that this program does not write") else . end
      | may_run(.runners[0]; "opened") | signed_as_asked
    end;

# The leaves of a value: the way to each, and what stands there.
def rows: if type != "object" then empty else
  to_entries[] | .key as $name | .value
  | if . == null then empty elif type == "object" then rows | "\($name).\(.)"
    elif type == "string" then "\($name): \(.)" else "\($name): \(tojson)" end end;

# All of a request that follows from plan, record and log, but for digests of steps.
def bound($l; $step):
  $l.data as $d | $step.approval as $rule
  | {
      _type: "bgctl.dev/approval-request/v1", environment: .plan.environment, expires: $d.expires, lane: $d.step.lane,
      plan_sha256: .head.plan, run: $l.run, service: .plan.service, step: $step.id, summary: $step.line,
      details: ([$step.config | rows]
        + if $d.step.lane == "forward" then [.plan.gates | to_entries[] | .key as $name | .value | rows | "gate \($name).\(.)"] else [] end)
    }
    + if $rule then { at_expiry: $rule.at_expiry, evidence: ($rule.evidence // "prompt"), quorum: $rule.quorum, role: $rule.role } else {} end
    + if $rule.covers_rollback then { covers: { rollback: [.plan.rollback[] | { details: [.config | rows], step: .id, summary: .line }] } } else {} end
    + if $step.moves then { params: ($step.moves | { after, before, route }) } else {} end
    + if $d.use_by != null then { use_by: $d.use_by } else {} end;

def in_order: if type == "object" then keys_unsorted == keys and all(.[]; in_order) elif type == "array" then all(.[]; in_order) else true end;
def said_texts: type == "array" and length > 0 and all(.[]; is_text);

# The members that do not follow from the plan.
def free($said):
  ($said.nonce | is_text and test("\\A[0-9a-f]{64}\\z")) and $said.requested_by == .newest.owner
  and $said.trigger == .newest.trigger and ($said | has("trigger") | not or ($said.trigger | is_text))
  and ($said | has("measured") | not or ($said.measured | said_texts));

# How long it may hold: the rule's time, and going back half a day; and no longer used than the steps before it may take.
def in_time($d; $step):
  $step.approval == null or (
    $d.expires <= (.now / 1000000 | floor) + $step.approval.within_s + (if $d.step.lane == "rollback" then 43200 else 0 end) + 5
    and ($d.use_by == null or $d.step.lane == "forward" and $d.use_by <= $d.expires + ([.plan.forward[:$d.step.index][].timeout_s] | add // 0)));

def requested($l):
  $l.data as $d | planned($d.step) as $step
  | (try ($d.request | fromjson) catch null) as $said
  | task("HASH"; [.n, "the digest of the request is another", $d.request_sha256, ($d.request | @base64)])
  | if $step == null then breach("it asks for no step of the plan")
    elif ($said | type) != "object" then breach("the request is no JSON text")
    else
      bound($l; $step) as $wanted
      | if (try ($said | in_order and put(0) == $d.request) catch false) | not then breach("the request is not written in the one way requests are written")
        elif (try ($said | del(.step_sha256, .nonce, .requested_by, .trigger, .measured)
            | if has("covers") then .covers.rollback |= map(del(.step_sha256)) else . end) catch null) != $wanted
        then breach("the request is bound to something else")
        elif free($said) | not then breach("the request is asked by somebody else, or has no nonce")
        elif in_time($d; $step) | not then breach("the request holds longer than its rule says") else . end
      | task("HASH"; [.n, "the request is for another step", ($said.step_sha256 // "-" | tostring), ($step | tojson | @base64)])
      | if $step.approval.covers_rollback then
          reduce range(.plan.rollback | length) as $n (.;
            task("HASH"; [.n, "the request covers another way back", ($said.covers.rollback[$n].step_sha256 // "-" | tostring), (.plan.rollback[$n] | tojson | @base64)]))
        else . end
    end
  | if .requests[$d.request_sha256] then breach("the same request stands there twice") else . end
  | .requests[$d.request_sha256] = { step: $d.step, text: $d.request, expires: $d.expires, use_by: ($d.use_by // $d.expires), by: [], void: [], used: null }
  | .asked["\($d.step)"] = $d.request_sha256;

# A signature of an approver, for the shell: with what has to be true of its key.
def approver($kind; $grant; $ns; $ts; $sha256; $text; $rule):
  made($grant.sig) as $key | unread($key) | named($grant.principal)
  | (if $key.failed then "" else lines_for($key; $grant.principal; $ns; $ts | us / 1000000 | floor) end) as $lines
  | task("APPROVER"; [.n, $ns, $ts, marks($key; $lines), ($grant.principal | @base64),
    ([($grant.key // "" | @base64), $sha256, $kind,
      (if $kind == "grant" and ($grant.evidence == "signed-hw" or $rule.evidence == "signed-hw") then "hardware" else "any" end),
      (if .plan.team.verify_required then "verified" else "any" end), (if $rule.own_run then "own" else "other" end)] | join(",")),
    ($text | @base64)]);

# Which rule and request an answer is to.
def answers($d; $step; $r):
  if $step.approval == null then breach("it answers for a step that asks for no approval") | .mute = true
  elif $r == null or $r.step != $d.step then breach("it answers a request that is not in this log") | .mute = true
  else .mute = false end;

def granted($l):
  $l.data as $d | $d.grant as $g | planned($d.step) as $step | .requests[$d.request_sha256 // ""] as $r
  | answers($d; $step; $r)
  | if .mute then . else
      $g.principal as $who | $step.approval as $rule | person($who) as $person
      | if holds($rule; $who) | not then breach("\($who) does not hold the role") else . end
      | if .plan.team != null and $person != null and .plan.team.persons[$person].kind == "bot" then breach("\($who) is a bot") else . end
      | runs($who) as $runs | started($who) as $started
      | if ($rule.own_run | not) and $runs then breach("\($who) approved their own run") else . end
      | if ($rule.own_run | not) and $started then breach("\($who) approved a run whose job they had started") else . end
      | ($g.evidence | strength) as $claimed
      | if $claimed == null then breach("\($who) approved by something nobody knows")
        elif $g.sig == null and $claimed > 0 then breach("\($who) approved without a signature")
        elif $g.sig == null and ($rule.evidence // "prompt" | strength) > 0 then breach("the role takes a signature")
        elif $g.sig == null and ($runs | not) then breach("\($who) approved by a word typed at somebody else's terminal")
        else . end
      | if (.now / 1000000 | floor) > $r.expires + 5 then breach("\($who) approved after the request had expired") else . end
      | if .asked["\($d.step)"] != $d.request_sha256 then breach("\($who) approved an old request") else . end
      | . as $state
      | if any($r.by[]; .principal as $by | $state | same($by; $who)) then breach("\($who) was counted before") else . end
      | if any($r.void[]; . as $by | $state | same($by; $who)) then breach("\($who) had taken the approval back") else . end
      | .requests[$d.request_sha256].by += [$g]
      | if $g.sig then approver("grant"; $g; "bgctl-approve-v1"; $l.ts; $d.request_sha256; $r.text; $rule) else . end
    end;

# A denial, or an approval taken back.
def refused($l; $g):
  $l.data as $d | planned($d.step) as $step | .requests[$d.request_sha256 // ""] as $r
  | answers($d; $step; $r)
  | if .mute then . else
      if holds($step.approval; $g.principal) | not then breach("\($g.principal) does not hold the role") else . end
      | person($g.principal) as $person
      | if .plan.team != null and $person != null and .plan.team.persons[$person].kind == "bot" then breach("\($g.principal) is a bot") else . end
      | if $g.sig then approver("refusal"; $g; "bgctl-deny-v1"; $l.ts; $d.request_sha256; $r.text; $step.approval)
        elif $g.evidence != "prompt" then breach("\($g.principal) refused without a signature") else . end
    end;

def withdrawn($l):
  $l.data as $d | .requests[$d.request_sha256 // ""] as $r
  | if $d.grant then refused($l; $d.grant)
      | if same($d.grant.principal; $d.principal) then . else breach("\($d.grant.principal) took back what somebody else gave") end
    else . end
  | if $r == null or $r.used != null or ([$r.by[].principal] | index([$d.principal]) | not) then breach("there is nothing to take back") else
      .requests[$d.request_sha256].by |= map(select(.principal != $d.principal))
      | .requests[$d.request_sha256].void += [$d.principal]
    end;

# Going back the moves of different routes may be under way together.
def apart($one; $other): $one.moves and $other.moves and $one.moves.route != $other.moves.route;

def others_open($at; $step):
  . as $state | any(.open | keys[] | fromjson; . != $at and (.lane == "forward" or $at.lane == "forward" or (. as $of | $state | apart(planned($of); $step) | not)));

# Forward one step follows the other. Back, every step before this one is done, or moves another route, or moves one that could not
# be taken back; and behind such a route only moves follow.
def is_next($at; $step):
  . as $state | (.stranded // []) as $stranded
  | def passed: .moves as $moves | if $moves then $stranded | index([$moves.route]) else $stranded != [] end;
  if $at.lane == "forward" then $at.index == .next.forward
  else (.gone | index([$at.index]) | not) and ($stranded == [] or ($step.moves and ($step | passed | not)))
    and all(range(0; $at.index); . as $n | $state.plan.rollback[$n] as $before
      | ($state.gone + $state.was | index([$n])) or ($before | passed) or (($state.plan.policy.rollback_in_order | not) and apart($before; $step)))
  end;

def onward($at):
  if $at.lane == "forward" then .next.forward = (.return // $at.index + 1) | .return = null else .gone += [$at.index] end;

# A move back whose end cannot be seen is given up: by the word that its time is over, or, in logs of before, after five looks.
def closes_unseen($at):
  planned($at) as $step
  | .failed = true | .open |= del(.["\($at)"]) | .stranded += [$step.moves.route] | onward($at);

def intent($l):
  $l.data as $d | planned($d.step) as $step
  | if $step == null then . else
      task("HASH"; [.n, "\($d.id) is not the step the plan has there", $d.step_sha256, ($step | tojson | @base64)])
      | begins_as_planned($d; $step)
      | if .over then breach("the run had ended") else . end
      | .seen = null
      # A move back that may be tried again beyond its attempts is not given up after all.
      | if .again | index([$d.step]) then .again -= [$d.step] | .gone -= [$d.step.index] | .stranded -= [$step.moves.route] else . end
      | if others_open($d.step; $step) then breach("another step is not done yet") else . end
      | if $d.step.lane == "forward" and .back_again then breach("a run that went back goes forward again") else . end
      | if $d.step.lane == "forward" and .other_policy then breach("\($d.id) was begun under another policy than the plan's") else . end
      | if $d.step.lane == "rollback" and (.back_again | not) and .plan.purpose == "cutover" then breach("no rollback was begun") else . end
      | if is_next($d.step; $step) then . else breach("another step is next") end
      | .asked["\($d.step)"] as $asked
      | ($step.approval.even_by_hand // false) as $always
      | ($step.approval and ($d.step.lane == "forward" or $always or (.by_hand | not))) as $wanted
      | . as $state
      | ([.requests[] | . as $r | ($state | planned($r.step)) as $of | select(($always | not) and $d.step.lane == "rollback" and $r.step.lane == "forward"
          and $r.used != null and $of.approval.covers_rollback and ($r.by | length) >= $of.approval.quorum)] | length > 0) as $covered
      | if $always and (.overridden | not) then breach("\($d.id) goes back against the schema, and nobody said why") else . end
      | if $wanted and ($d.approvals | length) == 0 then breach("\($d.id) names no approval") else . end
      | if $wanted and ($covered | not) and (($asked == null) or (.requests[$asked].by | length) < $step.approval.quorum or (.denied | index([$asked])))
        then breach("\($d.id) is not approved") else . end
      | reduce $d.approvals[] as $used (.; .requests[$used] as $r
          | if $r == null then breach("\($d.id) uses an approval of something else")
            elif $r.step != $d.step then
              if ($always | not) and $d.step.lane == "rollback" and $r.step.lane == "forward" and planned($r.step).approval.covers_rollback and $r.used != null
              then . else breach("\($d.id) uses an approval of something else") end
            else
              if $r.used == null then
                if (.now / 1000000 | floor) > $r.use_by + 5 then breach("the approval of \($d.id) had expired when it was used") else . end
                # Whoever went on with the run since then runs it now.
                | reduce $r.by[] as $g (.; if ($step.approval.own_run | not) and (runs($g.principal) or started($g.principal))
                    then breach("\($g.principal) runs this by the time \($d.id) began, and had approved it") else . end)
                | reduce ($r.by[] | select(.sig)) as $g (.; approver("again"; $g; "bgctl-approve-v1"; $l.ts; $used; $r.text; $step.approval))
              elif ($r.used.open | not) and $d.attempt <= $r.used.attempt then breach("the approval of \($d.id) was used before")
              else . end
              | .requests[$used].used = { attempt: $d.attempt, open: true, at: $d.step }
            end)
      | .open["\($d.step)"] = { attempt: $d.attempt, looks: 0 }
    end;


# An end of a step: the next one is next where it is done, or where the plan says to go on all the same.
def closes($l; $done; $retry):
  $l.data.step as $at | planned($at) as $step
  | (.open["\($at)"].attempt // 0) as $attempt
  | if .open["\($at)"] == null then breach("no attempt of this step is open") else . end
  | .open |= del(.["\($at)"]) | .seen = null
  | if $done and $step.moves or $l.data.outcome.moved then .moved = true else . end
  | if $done then onward($at)
    elif $retry and $attempt < ($step.attempts // 1) then .
    elif $step.on_failure == "continue" then onward($at)
    elif $at.lane == "rollback" and $step.moves != null then
      .failed = true | .stranded += [$step.moves.route] | onward($at) | if $retry then .again += [$at] else . end
    else .failed = true end;

# The splits a route may have once every step forward is done: what the last move left, or one whose failure is passed over.
def left_forward($route):
  reduce (.plan.forward[] | select(.moves != null and .moves.route == $route)) as $step ([.plan.routes[$route].before];
    if $step.on_failure == "continue" then . + [$step.moves.after] else [$step.moves.after] end);

# What is said at the end of users must be what was read last, and nothing may have begun since.
def ended_as_seen($outcome):
  . as $state
  | if ($outcome | IN("completed", "rolled-back", "stopped")) | not then .
    elif .seen == null then breach("it ends without a look at its users")
    elif any(.plan.routes | keys[]; . as $route | $state.seen[$route].split as $split
      | if $outcome == "completed" then $split == null or (any($state | left_forward($route)[]; as_split(.; $split)) | not)
        elif $outcome == "rolled-back" then $split == null or $split.green != 0 or $split.blue == 0
        else $split != null and $state.plan.purpose == "cutover" and (as_split($split; $state.plan.routes[$route].before) | not) end)
    then breach("users were seen elsewhere than it says") else . end;

# A log of before does not say where users were found at its end: what was read last is held against it.
def ended_as_read($outcome):
  . as $state
  | if any(.users // {} | to_entries[]; .value as $split | .key as $route
      | if $outcome == "completed" then any($state | left_forward($route)[]; as_split(.; $split)) | not
        elif $outcome == "rolled-back" then $split.green != 0 or $split.blue == 0
        elif $outcome == "stopped" or $outcome == "no-changes" then $state.plan.purpose == "cutover" and (as_split($split; $state.plan.routes[$route].before) | not)
        else false end)
    then breach("users were read elsewhere than it says") else . end;

def fact($line):
  ($line | if .data.step? | type == "object" then .data.step = (.data.step | { lane, index }) else . end) as $l
  | $l.type as $t
  | if ($l.data.step | type) == "object" and ($l.data.id | is_text) and .plan != null then
      planned($l.data.step) as $step
      | if $step == null then breach("\($l.data.id) is no step of the plan")
        elif $step.id != $l.data.id then breach("\($l.data.id) is not the step the plan has there") else . end
    else . end
  | if $t == "plan.loaded" or .plan == null then .
    elif (facts | index([$t])) and ($l.data | shaped($t) | not) then breach("a member of it is missing or another thing") | .lost_track = true
    elif facts | index([$t]) then placed($l) else . end
  | if $t == "plan.loaded" then plan($l) | .doing = "planned"
    elif .plan == null or .lost_track and (facts | index([$t])) then .
    elif evidence_kinds | index([$t]) then evidence($l)
    elif $t == "rollback.armed" then .armed = true
    elif $t == "approval.requested" then requested($l)
    elif $t == "approval.granted" then granted($l)
    elif $t == "approval.denied" then refused($l; $l.data.grant) | .denied += [$l.data.request_sha256] | .failed = true
    elif $t == "approval.withdrawn" then withdrawn($l)
    elif $t == "step.intent" then intent($l)
    elif $t == "step.outcome" then
      as_seen($l) | .requests |= map_values(if .used != null and .used.at == $l.data.step then .used.open = false else . end)
      | if $l.data.outcome.is == "unknown" then (if .open["\($l.data.step)"] then .open["\($l.data.step)"].looks = 0 else . end) else closes($l; $l.data.outcome.is == "done"; $l.data.outcome.retry) end
      | counted($l)
    elif $t == "step.reconciled" then
      as_seen($l) | counted($l)
      | if $l.data.found == "cannot-see" and .open["\($l.data.step)"] != null then
        planned($l.data.step) as $step
        | .open["\($l.data.step)"].looks += 1
        | if .open["\($l.data.step)"].looks < 5 or ($l.data.step.lane == "rollback" and $step.moves != null) then . else closes($l; false; false) end
      else closes($l; $l.data.found == "in-place"; $l.data.found == "not-in-place") end
    # A person's wish to go back begins a rollback anew that was stuck.
    elif $t == "run.interrupted" then
      .failed = true | .interrupted = true | .wished = (.wished or $l.data.wish == "roll-back") | .restarted = (.restarted or $l.data.wish == "roll-back" and (.back_again or .plan.purpose != "cutover"))
      | if $l.data.wish == "roll-back" and (.back_again or .plan.purpose != "cutover")
        then .by_hand = true | .was += .gone | .gone = [] | .stranded = [] | .again = [] else . end
    elif $t == "run.continues" then .seen = null
    elif $t == "run.unconfirmed" then .failed = true
    elif $t == "rollback.overdue" then
      planned($l.data.step) as $step
      | .failed = true | .again -= [$l.data.step]
      | if $step == null or $step.moves == null or $l.data.step.lane != "rollback" then breach("no move back is over its time")
        elif .stranded // [] | index([$step.moves.route]) then .open |= del(.["\($l.data.step)"])
        else closes_unseen($l.data.step) end
    elif $t == "write.landed" then
      planned($l.data.step) as $step | .seen = null
      | .due = { ($l.data.step | tojson): ((.due[$l.data.step | tojson] // 0) + 1) }
      | if $step == null or $step.moves == null then breach("it is no move of this run")
        elif $l.data.step.lane == "rollback" then
          if .gone + .was | index([$l.data.step.index]) then .gone -= [$l.data.step.index] else breach("it is no move of this run") end
        elif $l.data.step.index >= .next.forward and .return == null then breach("it is no move of this run")
        else .return = (.return // .next.forward) | .next.forward = $l.data.step.index | .open = {} end
    elif $t == "users.seen" then
      .plan.routes as $planned
      | reduce ($l.data.routes | keys[]) as $route (.; if $planned | has($route) then . else breach("it is about route \($route), which the plan does not have") end)
      | .seen = $l.data.routes | .looked = true
      | if .plan.purpose == "cutover"
          and any($l.data.routes | to_entries[]; .value.split != null and $planned[.key] != null and (as_split(.value.split; $planned[.key].before) | not))
        then .moved = true else . end
    elif $t == "wait.breached" or $t == "approval.expired" then .failed = true
    elif $t == "schema.seen" then if $l.data.forward == "pass" then . else .failed = true end
    elif $t == "override.used" then .failed = true | .interrupted = true | .wished = (.wished or .armed) | .overridden = (.overridden or $l.data.guard == "schema") | .ill_blue = (.ill_blue or $l.data.guard == "blue-health")
    elif $t == "run.unpaused" or $t == "run.held" then .due = {}
    elif $t == "rollback.begun" then .due = {} | .back_again = true | .open = {} | .return = null | .by_hand = ($l.data.automatic | not)
    elif $t == "run.ended" then
      if .over or any(.open[]; .looks < 5) and (.interrupted | not) then breach("the run had ended, or a step is not done") else . end
      | (.next.forward == (.plan.forward | length) and (.back_again | not)) as $done
      | if $l.data.outcome == "completed" and .wished then breach("it completed, and a person had wished users back") else . end
      | if ($l.data.outcome == "completed") != $done and ($l.data.outcome == "completed" or (.failed | not) and (.by_hand | not))
          or $l.data.outcome == "stopped" and .moved
        then breach("it does not end like that") else . end
      | if .looked then ended_as_seen($l.data.outcome) else ended_as_read($l.data.outcome) end
      | .over = true
    elif $t == "run.refused" then .over = true
    else . end;


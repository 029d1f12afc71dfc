def kinds: ["anchor.receipt", "approval.denied", "approval.expired", "approval.granted", "approval.requested",
  "approval.withdrawn", "check.done", "clock.anomaly", "command.output", "drain.measured", "freeze.changed", "gate.evaluated",
  "note", "override.used", "page.acknowledged", "page.escalated", "plan.loaded", "prompt.answered", "provider.called", "recovered", "rollback.armed",
  "rollback.begun", "rollback.declined", "rollback.overdue", "run.continued", "run.continues", "run.ended", "run.held", "run.interrupted",
  "run.opened", "run.paged", "run.paused", "run.refused", "run.resumed", "run.unconfirmed", "run.unpaused", "schema.seen", "seal", "sink.degraded",
  "step.intent", "step.outcome", "step.reconciled", "traffic.health", "traffic.read", "traffic.seen", "users.seen", "wait.breached", "write.landed"];
def is_text: type == "string";
def is_digest: is_text and test("\\A[0-9a-f]{64}\\z");
def is_time: is_text and (.[0:4] | IN("0000", "9999") | not) and test("\\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z\\z")
  and (try ((.[0:19] + "Z") as $t | ($t | fromdateiso8601 | todate) == $t) catch false);
def us: (.[0:19] + "Z" | fromdateiso8601) * 1000000 + (.[20:26] | tonumber);
def bad($why): if .bad then . else .bad = "line \(.n + 1), byte \(.bytes): \($why)" end;
def breach($why): .out += [["POLICY", "line \(.n + 1): \($why)"]];
def task($name; $fields): .out += [[$name] + $fields];

# The people of the plan: with a policy a person has several names, without one each name is a person.
def person($name): if .plan.team == null then $name else
  ([.plan.team.persons | to_entries[] | select(.value.principals | index([$name])) | .key] | first) end;
def starter($login): if .plan.team == null then $login else
  ([.plan.team.persons | to_entries[] | select((.value.ci // []) | index([$login])) | .key] | first) end;
def same($a; $b): $a == $b or person($a) == person($b);
def holds($rule; $who): person($who) as $person | $person != null and ($rule.members | index([$person])) != null;
def strength: {"prompt": 0, "slack": 1, "signed": 2, "signed-hw": 3}[. // ""];

# Who runs this so far, by name, and who started its jobs: an approval of theirs does not count.
def runs($who): . as $state | any(.runners[]; . as $runner | $state | same($runner; $who));
def started($who): person($who) as $person | . as $state
  | any(.starters[]; . as $login | $login == $who or (($state | starter($login)) as $by | $by != null and $by == $person));

# Users are moved forward by an owner of the plan, whoever began it.
def may_run($who; $did):
  if .plan.purpose == "cutover" and (.plan.owners + [.plan.rollback_owner] | index([$who]) | not)
  then breach("\($who) \($did) the run and is none of the owners") else . end;

# Under which rules the newest statement was signed, against those of the plan.
def signed_as_asked:
  (.session.key | startswith("sk-")) as $hardware
  | if .plan.team.security_key_required and ($hardware | not) then breach("the run is not signed with a security key, and its policy wants one") else . end
  | .other_policy = ((.session.policy // "") != (.plan.team.policy_sha256 // ""));


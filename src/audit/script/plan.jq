# Whether a plan is written in the one way: each object has its members in their order, and none that only says the default.
def in_form($order; $may): . as $of | (type == "object") and (keys_unsorted as $k | [$order[] | select(. as $n | $k | index([$n]))] == $k and ($order - $may - $k | length == 0)
  and all($may[]; . as $n | ($of | has($n) | not) or ($of[$n] | . != null and . != false and . != [] and . != {})));
def is_name: is_text and length <= 254 and test("\\A[A-Za-z0-9._+/:=%-]+@[A-Za-z0-9._+/:=%-]+\\z");
def rule_form: in_form(["role", "members", "quorum", "own_run", "within_s", "at_expiry", "evidence", "covers_rollback", "even_by_hand"]; ["evidence", "covers_rollback", "even_by_hand"])
  and .evidence != "prompt";
def step_form: in_form(["id", "kind", "line", "config", "resume", "attempts", "timeout_s", "expected_s", "moves", "approval", "on_failure", "place"]; [])
  and (.approval == null or (.approval | rule_form)) and ([.attempts, .timeout_s, .expected_s] | all(type == "number"))
  and (.moves == null or (.moves | in_form(["route", "before", "after"]; []) and ([.before, .after] | all(in_form(["blue", "green"]; [])))));
def route_form: in_form(["router", "config", "line", "seen_at", "before", "min_healthy", "capacity", "resources"]; ["capacity", "resources"])
  and (.before | in_form(["blue", "green"]; [])) and (.seen_at == null or (.seen_at | in_form(["url", "header", "samples", "tolerance", "headers"]; ["headers"])));
def policy_form: in_form(["automatic_at_most", "within_s", "schema_safe", "schema_reason", "page", "notify", "pause_at_most_s", "rollback_within_s", "acknowledge_s", "rollback_in_order"];
    ["notify", "pause_at_most_s", "rollback_within_s", "acknowledge_s", "rollback_in_order"])
  and .pause_at_most_s != 1800 and .rollback_within_s != 600;
def plan_form:
  in_form(["bgctl_plan", "purpose", "service", "environment", "owners", "rollback_owner", "runbook", "runbook_sha256", "blue", "green", "version_at", "routes", "gates", "slack", "compare",
    "policy", "schema", "forward", "rollback", "team", "warnings"]; ["version_at", "compare", "schema", "team"])
  and .bgctl_plan == 1 and (.owners | type == "array" and all(.[]; is_name)) and (.rollback_owner | is_name)
  and ([.blue, .green] | all(in_form(["version", "url", "name", "label", "headers"]; ["name", "label", "headers"]))) and (.version_at == null or (.version_at | in_form(["path", "header"]; []))) and (.routes | type == "object" and keys_unsorted == keys and all(.[]; route_form))
  and (.policy | policy_form) and ([.forward, .rollback] | all(type == "array" and all(.[]; step_form))) and (.warnings | type == "array" and all(.[]; is_text));

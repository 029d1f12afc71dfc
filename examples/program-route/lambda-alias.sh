#!/bin/sh
# A `program` route for the alias of an AWS Lambda function (`bgctl explain program` has the contract). Needs aws and jq.
# In the runbook: `settings: { function: bot, alias: live }`, with `blue` and `green` the numbers of two published versions.
set -eu
request=$(cat)
answer() { printf '%s' "$request" | jq -c "$@"; }
# A call of aws that fails ends this script: that is no answer, and bgctl then looks at what is there.
eval "$(answer -r '@sh "function=\(.settings.function) alias=\(.settings.alias) side=\(.[.stack // "blue"])"')"
now() { aws lambda get-alias --function-name "$function" --name "$alias" --output json; }
shares='. as $request
  | def share($v): ($now.RoutingConfig.AdditionalVersionWeights // {}) as $more
      | if $now.FunctionVersion == $v then 1 - ([$more[]] | add // 0) else $more[$v] // 0 end;
    {blue: (share($request.blue) * 1000 | round), green: (share($request.green) * 1000 | round)}'
update='(.to.green / (.to.blue + .to.green)) as $share
  | {AdditionalVersionWeights: (if $share > 0 and $share < 1 then {(.green): $share} else {} end)} as $more
  | "aws lambda update-alias --function-name \(.settings.function | @sh) --name \(.settings.alias | @sh) --output json"
    + " --function-version \(if .to.blue == 0 then .green else .blue end | @sh) --routing-config \($more | tojson | @sh)"'

case $(answer -r .call) in
  describe) answer '{bgctl_route: 1, line: "alias \(.settings.alias) of Lambda function \(.settings.function)",
      resources: ["lambda \(.settings.function):\(.settings.alias)"], settle_s: 5, lands_within_s: 60}' ;;
  read) answer --argjson now "$(now)" "$shares"' | if .blue + .green == 1000
      then {weights: ., state: {version: $now.FunctionVersion, more: ($now.RoutingConfig.AdditionalVersionWeights // {})}}
      else {refused: {kind: "invalid", why: "the alias also leads to another version"}} end' ;;
  health) state=$(aws lambda get-function-configuration --function-name "$function:$side" --query State --output text 2>&1) ||
      case $state in *ResourceNotFoundException*) state=gone ;; *) echo "$state" >&2 && exit 1 ;; esac
    answer --arg state "$state" 'if $state == "Active" then {healthy: 1, total: 1}
      else {healthy: 0, total: 1, ailing: ["version \(.[.stack]) is \($state)"]} end' ;;
  set) now=$(now)
    found=$(answer --argjson now "$now" "$shares")
    if [ "$(answer '.to.blue + .to.green')" = 0 ]; then
      answer '{refused: {kind: "invalid", why: "nobody is sent nowhere"}}'
    elif [ "$(answer --argjson found "$found" '.from.blue * $found.green == .from.green * $found.blue')" = true ]; then
      # Lambda refuses the write where somebody else has written since: the revision is another then.
      eval "$(answer -r "$update") --revision-id $(printf '%s' "$now" | jq -r '.RevisionId | @sh')" >/dev/null
      answer '{}'
    else
      answer --argjson found "$found" '{refused: {kind: "drift", why: "somebody else has moved the alias", found: $found}}'
    fi ;;
  settle) answer '{settled: true}' ;;
  manual-rollback) answer "{command: ($update)}" ;;
  *) answer '{refused: {kind: "invalid", why: "this program does not know that call"}}' ;;
esac

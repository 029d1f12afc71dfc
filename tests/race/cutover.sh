#!/usr/bin/env bash
# The cutover as an afternoon's script does it: aws CLI, curl, jq.    cutover.sh [rollback]
set -uo pipefail

# Sets both weights, and reads back until they are seen.
weigh() {
  local forward
  forward="$(jq -nc --arg b "$BLUE" --arg g "$GREEN" --argjson wb "$1" --argjson wg "$2" \
    '[{Type: "forward", ForwardConfig: {TargetGroups: [{TargetGroupArn: $b, Weight: $wb}, {TargetGroupArn: $g, Weight: $wg}]}}]')"
  aws elbv2 modify-rule --rule-arn "$RULE" --actions "$forward" >/dev/null || return 1
  for _ in $(seq 20); do
    seen="$(aws elbv2 describe-rules --rule-arns "$RULE" --output json |
      jq -r --arg g "$GREEN" '.Rules[0].Actions[-1].ForwardConfig.TargetGroups[] | select(.TargetGroupArn == $g) | .Weight')"
    [ "$seen" = "$2" ] && return 0
    sleep 0.5
  done
  echo "the weights are not read back" >&2
  return 1
}

# Green's share of errors, each second; fails at the first look above 2 %.
bake() {
  local ratio query='sum(rate(http_requests_total{color="green",status=~"5.."}[3s])) / sum(rate(http_requests_total{color="green"}[3s]))'
  for _ in 1 2 3; do
    sleep 1
    ratio="$(curl -sf "$PROMETHEUS/api/v1/query" --data-urlencode "query=$query" | jq -r '.data.result[0].value[1]')" || return 1
    echo "green's errors: $ratio"
    awk -v r="$ratio" 'BEGIN { exit !(r + 0 <= 0.02) }' || return 1
  done
}

rollback() {
  if weigh 100 0; then echo "ROLLED BACK: all users on BLUE"; else echo "FAILED: the rollback did not work"; exit 2; fi
}

if [ "${1:-}" = rollback ]; then rollback; exit 0; fi
trap 'rollback; exit 1' INT TERM
curl -sf "$GREEN_URL/healthz" >/dev/null || { echo "STOPPED: green is not well"; exit 1; }
if weigh 50 50 && bake && weigh 0 100 && bake; then
  echo "DONE: all users on GREEN"
else
  rollback
  exit 1
fi

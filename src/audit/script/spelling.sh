JQ
{ cat spell.jq; echo 'try (fromjson | put(0)) catch "no line of a log"'; } > respell.jq
jq -R -r -f respell.jq log > again 2>/dev/null || true
cmp log again > differs 2>&1 || broken "a line is not spelled as a log is: $(sed 's/.*differ: //; s/^cmp: EOF.*/it ends too early/' differs | head -n 1)"

# --- Notes, statements and rules. What needs a hash or a signature is written down as a task. ------------------------------

cat keys.jq spell.jq - > judge.jq <<'JQ'

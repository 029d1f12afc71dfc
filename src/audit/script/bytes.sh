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

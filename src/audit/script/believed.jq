# Whose signature it is: by which lines of the list a key may sign as a person, for a purpose, then. A name and its rights are of
# one line. The signature itself is for the shell, with no more of the list than these lines.
def unsure($why): if .unsure then . else .unsure = "line \(.n + 1): \($why)" end;

# A name against patterns, of which one with `!` wins.
def hits($pattern): test("\\A" + ($pattern | gsub("(?<sign>[^*?A-Za-z0-9])"; "\\\(.sign)") | gsub("\\*"; ".*") | gsub("\\?"; ".")) + "\\z"; "s");
def fits($patterns): . as $name
  | (any($patterns[]; startswith("!") and (.[1:] as $not | $name | hits($not))) | not)
    and any($patterns[]; (startswith("!") | not) and (. as $one | $name | hits($one)));

def lines_for($key; $who; $space; $second): [$signers[0][] | select(.kind) | select(
    (.options["cert-authority"] // false) == ($key.by != null) and .blob == ($key.by // $key.blob)
    and (.principals as $names | $who | fits($names))
    and (.options.namespaces as $for | $for == null or ($space | fits($for)))
    and (.options["valid-after"] // $second) <= $second and (.options["valid-before"] // $second + 1) > $second)
  | "* \(if $key.by then "cert-authority " else "" end)\(.kind) \(.blob)\n"] | join("");

# What a signature says of itself, or why it cannot be read.
def made($armor): try ($armor | armored) catch { failed: . };
def unread($key): if $key.failed | IN("no text", "compressed") then unsure("a key or certificate in another form") else . end;
def named($who): if $who | test("\\A[\\x20-\\x7e]*\\z") then . else unsure("a name with signs beyond those of English") end;

# The same for the shell: the lines that let it sign, the text, the key, who vouches for that, and what a security key says.
def marks($key; $lines): [
    ($lines | @base64), ($key.text // "" | @base64), $key.plain // "", $key.by // "-", $key.kind // "-", $key.blob // "-", $key.flags // "-",
    (($key.critical // []) as $asks | if $asks - ["verify-required"] != [] then "other" elif $asks != [] then "verified" else "none" end)
  ] | map(tostring) | join(",");

# An owner's: in the one spelling of a log, by the key that the statement names.
def owner($who; $space; $ts; $line; $text; $sig):
  made($sig) as $key | (try ($line | key_line) catch { failed: . }) as $named
  | unread($key) | unread($named) | named($who)
  | (if $key.text == $sig and $key.blob == $named.blob then lines_for($key; $who; $space; $ts | us / 1000000 | floor) else "" end) as $lines
  | task("OWNER"; [.n, $space, $ts, marks($key; $lines), ($who | @base64), ($text | @base64)]);

# A session key vouches for itself: its statement names it.
def of_session($line; $note; $sig):
  made($sig) as $key | (try ($line | key_line) catch { failed: . }) as $named
  | marks($key; if $key.failed == null and $key.text == $sig and $key.blob == $named.blob then "the session\n" else "" end);

# The seal that is to be checked, if one is: without `--all-seals` the last of each session, which covers all before it.
def sealed:
  if .pending == null then . else
    .pending as [$n, $bytes, $sha256, $line, $note, $sig]
    | task("SEAL"; [$n, $bytes, $sha256, of_session($line; $note; $sig), ($note | @base64)]) | .pending = null end;

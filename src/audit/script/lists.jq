# The list of allowed signers, line by line, and what it cannot be read for: as the manual of ssh-keygen describes the file, and
# stricter. Two things end this script: what is no line of such a file (65), and what is read in several ways (47).
def no($why): { wrong: $why };
def unsure($why): { unsure: $why };

def hex: map([(. / 16 | floor), . % 16][] | "0123456789abcdef"[. : . + 1]) | join("");

# The next word, in which quotes keep blanks and commas: they are no part of it.
def word:
  capture("\\A[ \t\f\r]*(?<word>(?:[^\" \t\f\r]|\"[^\"]*\")*)(?<rest>[\\s\\S]*)\\z")
  | .word //= "" | .rest //= ""
  | if .rest | startswith("\"") then .open = true else . end
  | .word |= ([scan("\"[^\"]*\"|[^\"]+") | if startswith("\"") then .[1:-1] | gsub(","; "\u001f") else . end] | join(""));

def moment:
  if test("\\A[0-9]+[Zz]?\\z") | not then no("a time is none")
  else
    (sub("[Zz]\\z"; "")) as $digits
    | if $digits | length | IN(8, 12, 14) | not then no("a time is none")
      else
        ($digits + "000000")[:14] as $t
        | "\($t[0:4])-\($t[4:6])-\($t[6:8])T\($t[8:10]):\($t[10:12]):\($t[12:14])Z" as $iso
        | if (try ($iso | fromdateiso8601 | todate) catch "") != $iso then no("a time is none")
          elif $t[0:4] < "1971" then unsure("a time before 1971")
          elif $digits == . then unsure("a time without `Z`, which each machine takes for its own") else { time: ($iso | fromdateiso8601) } end
      end
  end;

def option($it):
  ($it | index("=")) as $i
  | (if $i then $it[:$i] else $it end | ascii_downcase) as $name | (if $i then $it[$i + 1:] else "" end | gsub("\u001f"; ",")) as $value
  | if $name | IN("namespaces", "valid-after", "valid-before", "cert-authority") | not then no("an option that such a line has not")
    elif ($i == null) != ($name == "cert-authority") then no("an option with a value that has none, or without one")
    elif .options | has($name) then no("an option is given twice")
    elif $name == "namespaces" then .options.namespaces = ($value / ",")
    elif $name == "cert-authority" then .options["cert-authority"] = true
    else ($value | moment) as $found | if $found.time then .options[$name] = $found.time else $found end end;

def entry:
  word as $names | ($names.rest | word) as $second
  | ($second.word | test("\\A(ssh-|sk-|ecdsa-)")) as $bare
  | (if $bare then $second else $second.rest | word end) as $kind | ($kind.rest | word) as $blob
  | [$names, $second, $kind, $blob] as $words
  | if any($words[]; .open) then no("a quote is not closed")
    elif any($words[]; .word == "") then no("the key is missing")
    elif any($words[]; .word | test("[^\\x1f\\x20-\\x7e]")) then unsure("signs beyond those of English")
    else
      { principals: ($names.word | gsub("\u001f"; ",") / ","), options: {} }
      | if any(.principals[]; . == "") then no("an empty name among the principals")
        else reduce (if $bare then empty else ($second.word / ",")[] end) as $it (.; if .wrong or .unsure then . else option($it) end) end
      | if .wrong or .unsure then .
        elif .options["valid-after"] != null and .options["valid-before"] != null and .options["valid-after"] >= .options["valid-before"]
        then no("it is never valid")
        else
          . as $line | (try ("\($kind.word) \($blob.word)" | key_line) catch { failed: . }) as $key
          | if $key.failed == "odd" then { skipped: true }
            elif $key.failed | IN("no text", "compressed") then unsure("a key in another form")
            elif $key.failed then no("its key cannot be read: \($key.failed)")
            elif $key.by then no("a certificate stands where a key belongs")
            else $line + { kind: $key.kind, blob: $key.blob } end
        end
    end;

# A line of revoked keys: a key of any kind, or the digest of one.
def given_up:
  [splits("[ \t\f\r]+")] | map(select(. != "")) as [$first, $blob]
  | if any($first, $blob // ""; test("[^\\x20-\\x7e]")) then unsure("signs beyond those of English")
    elif $first | startswith("SHA256:") then
      ($first[7:] | sub("=+\\z"; "")) as $digest
      | if $digest | test("\\A[A-Za-z0-9+/]{43}\\z") then { digest: ($digest | from64(true) // [] | hex) } else no("a fingerprint is none") end
    else
      ($blob // "?" | from64(true)) as $bytes
      | (if $bytes == null then { failed: "none" } else (try ("\($first) \($blob)" | key_line) catch { failed: . }) end) as $key
      | if $key.failed == null then { blob: (if $key.by then $key.plain else $key.blob end) }
        # A key of a kind that does not sign here, under its own name.
        elif $key.failed == "odd" and ((try ($bytes | read | string | .got[0] | implode) catch "") == $first) then { blob: ($bytes | to64) }
        elif $key.failed | IN("no text", "compressed") then unsure("a key in another form")
        else no("a key is none") end
    end;

def lines(f): [($list / "\n") | to_entries[] | (.key + 1) as $n | .value
  | sub("\\A[ \t\f\r]+"; "") | sub("[ \t\f\r]+\\z"; "") | select(. != "" and (startswith("#") | not)) | f | .line = $n];

# What stands in the way of all of it first, then the list.
(if $of == "signers" then lines(entry) else lines(given_up) end)
| ([.[] | select(.wrong)][0] // null) as $wrong | ([.[] | select(.unsure)][0] // null) as $unsure
| if $wrong then "65 line \($wrong.line): \($wrong.wrong)" elif $unsure then "47 line \($unsure.line): \($unsure.unsure)" else "0" end,
  if $of == "signers" then tojson else .[] | .blob // .digest end

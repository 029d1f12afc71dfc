def take($raw; $sum; $before):
  (try ($raw | fromjson) catch null) as $l
  | (($raw | utf8bytelength) + 1) as $length
  | if ($l | type) != "object" or ($l | keys_unsorted) != ["v", "seq", "run", "ts", "mono", "type", "prev", "data"]
    then bad("its members are not those of a line")
    elif $l.v != 1 then bad("its version is not known")
    elif [$l | .run, .ts, .type, .prev | is_text] | all | not then bad("a member is not a text")
    elif [$l | .seq, .mono | type == "number" and . >= 0] | all | not then bad("a member is not a number")
    elif $l.ts | is_time | not then bad("its time is none")
    elif kinds | index([$l.type]) | not then bad("its type is not known")
    elif $l.prev | is_digest | not then bad("prev is no digest")
    elif ($l.data | type) != "object" then bad("data is no object")
    elif $length > (if $l.type == "plan.loaded" then 8388608 else 65536 end) then bad("it is too long")
    elif .group_bytes + $length > 16777216 then bad("too much stands there without a seal")
    elif .run and $l.run != .run then bad("it belongs to another run")
    elif $l.seq != .n then bad("number \($l.seq) stands here")
    elif $l.prev != $before then bad("it does not follow on the line before it")
    else order($l) end
  | if .bad then . else time($l) end
  # Time goes on at least as fast as the process counted: a clock that was set back makes nothing earlier.
  | if .bad then . else
      .now = ([($l.ts | us), if .n == 0 or $l.type == "run.resumed" then .now else .now + $l.mono - .mono end] | max)
    end
  | if .bad then . elif $l.type == "run.opened" or $l.type == "run.resumed" then statement($l)
    elif $l.type == "seal" then seal($l)
    else . as $state | try fact($l) catch ($state | breach("it cannot be read")) end
  | if .bad then . else
      if $l.type == "clock.anomaly" then .noted = true | .session.jumped = true else . end
      | if $l.type == "seal" then .group = 0 | .group_bytes = 0 | .noted = false else .group += 1 | .group_bytes += $length end
      | .n += 1 | .bytes += $length | .run = $l.run | .last = ($l.ts | us) | .mono = $l.mono
    end;

($sums | split("\n")) as $sums
| reduce inputs as $raw (
    { n: 0, bytes: 0, mono: 0, now: 0, starters: [], group: 0, group_bytes: 0, seals: 0, out: [], runners: [], requests: {}, due: {}, lost: {}, by_step: {}, place: {}, users: {}, asked: {}, denied: [],
      next: { forward: 0 }, open: {}, gone: [], was: [], again: [] };
    if .bad then . else take($raw; $sums[.n]; if .n == 0 then "0" * 64 else $sums[.n - 1] end) end)
| if .bad then . elif .group > 0 then bad("the lines at the end are covered by no seal")
  else sealed end
| if .state == "closed" and (.over | not) then breach("the owner closed the log before the run had ended")
  elif .state == "handover" and .over then breach("the owner handed over a run that had ended") else . end
| if .bad then ["BAD", .bad] elif .unsure then ["UNSURE", .unsure] else
    (if .doubt and ([.out[] | select(.[0] == "POLICY")] == []) then ["DOUBT", .doubt] else empty end), .out[], ["END", .state, .n, .seals, .run, ([.out[] | select(.[0] == "SEAL")] | length)]
  end
| @tsv

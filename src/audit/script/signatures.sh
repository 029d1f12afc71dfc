JQ
jq -n -R -r --argjson all "$all" --rawfile sums sums --slurpfile signers signers.json -f judge.jq log > tasks 2> failed || broken "the log cannot be judged: $(head -n 1 failed)"

tab=$(printf '\t')
first=$(head -n 1 tasks)
case $first in
  BAD*) broken "${first#BAD"$tab"}" ;;
  UNSURE*) not_checked "${first#UNSURE"$tab"}" ;;
esac

# --- Hashes and signatures. -----------------------------------------------------------------------------------------------

prefix() { # lines bytes sha256
  [ "$(head -c "$2" log | sha256sum | cut -c 1-64)" = "$3" ] || broken "line $(($1 + 1)): the SHA-256 of the bytes before it is another"
}

# Whether a signature over `text` counts: the key may sign as that person, it does, a person touched it where it is a security
# key, its certificate asks for nothing that cannot be kept, and nobody gave it up.
counts() { # name namespace time marks
  IFS=, read -r may sig plain by kind blob flags critical <<EOF_
$4
EOF_
  [ -n "$may" ] || return 1
  printf %s "$sig" | base64 -d > sig
  if [ "$2" = bgctl-seal-v1 ]; then ssh-keygen -Y check-novalidate -n "$2" -s sig < text > /dev/null 2>&1 || return 1
  else
    printf %s "$may" | base64 -d > may
    at=$(echo "$3" | tr -d ':T-' | cut -c 1-14)Z
    ssh-keygen -Y verify -f may -I "$1" -n "$2" -s sig -Overify-time="$at" < text > /dev/null 2>&1 || return 1
    case $critical in other) return 1 ;; verified) hardware 4 || return 1 ;; esac
    given_up "$plain" || given_up "$by" && return 1
    for krl in $krls; do
      echo "$kind $blob" > key
      ssh-keygen -Qf "$krl" key > /dev/null 2>&1 || return 1
    done
  fi
  # ssh-keygen does not look whether anybody touched a security key.
  [ "$flags" = - ] || hardware 1
}

given_up() { # key
  [ "$1" != - ] || return 1
  case " $gone " in *" $1 "* | *" $(printf %s "$1" | base64 -d | sha256sum | cut -c 1-64) "*) return 0 ;; esac
  return 1
}

# What a security key says: 1 for touched, 4 for verified.
hardware() { [ "$flags" != - ] && [ $((flags & $1)) = "$1" ]; }

# Whether an approver's signature counts: by the key it says, as good as it has to be, by a key of nobody who runs this, and
# by a key that was not counted for this request before.
approves() { # name namespace time marks what
  counts "$1" "$2" "$3" "$4" || return 1
  IFS=, read -r named request answer proof touch own <<EOF_
$5
EOF_
  if [ -n "$named" ]; then
    echo "$kind $blob" > key
    [ "$(printf %s "$named" | base64 -d)" = "$(ssh-keygen -lf key | cut -d ' ' -f 2)" ] || return 1
  fi
  [ "$proof" = any ] || hardware 1 || return 1
  [ "$touch" = any ] || [ "$flags" = - ] || hardware 4 || return 1
  [ "$answer" != refusal ] || return 0
  [ "$own" = own ] || case " $keys " in *" $plain "*) return 1 ;; esac
  [ "$answer" = grant ] || return 0
  case " $counted " in *" $request:$plain "*) return 1 ;; esac
  counted="$counted $request:$plain"
}

policy= owners= keys= counted= doubt=
while IFS=$tab read -r name a b c d e f g; do
  case $name in
    DOUBT) doubt=$a ;;
    POLICY) policy="$policy  $a
" ;;
    PREFIX) prefix "$a" "$b" "$c" ;;
    HASH)
      [ "$(printf %s "$d" | base64 -d | sha256sum | cut -c 1-64)" = "$c" ] || policy="$policy  line $((a + 1)): $b
" ;;
    SEAL)
      prefix "$a" "$b" "$c"
      printf %s "$e" | base64 -d > text
      counts - bgctl-seal-v1 - "$d" || broken "line $((a + 1)): the signature of the seal does not hold" ;;
    OWNER)
      who=$(printf %s "$e" | base64 -d); printf %s "$f" | base64 -d > text
      counts "$who" "$b" "$c" "$d" || broken "line $((a + 1)): the signature of $who does not hold, or is not one of allowed_signers"
      keys="$keys $plain"
      case " $owners " in *" $who "*) ;; *) owners="$owners $who" ;; esac ;;
    APPROVER)
      who=$(printf %s "$e" | base64 -d); printf %s "$g" | base64 -d > text
      approves "$who" "$b" "$c" "$d" "$f" || policy="$policy  line $((a + 1)): the signature of $who does not count
" ;;
    END) state=$a lines=$b seals=$c run=$d checked=$e ;;
  esac
done < tasks

echo "  run $run: $lines lines, none missing, none changed, none moved; $seals seals"
echo "  written by$owners"
[ "$all" = true ] || echo "  not checked: the signature of every seal; $checked checked, each covers all before it (--all-seals)"
echo "  not checked: an anchor outside the log, so an owner's own rewriting of all of it is not seen"
echo "  not checked: whether each fact may follow on the one before it, beyond steps, approvals and ends (bgctl plays it all)"
echo "  not checked: values in the plan and in facts that decide nothing here"
if [ -n "$policy" ]; then
  printf %s "$policy"
  echo "POLICY. The bytes are sound; the rules of the run were not kept."
  exit 46
fi
[ -z "$doubt" ] || not_checked "$doubt"
case $state in
  closed) echo "COMPLETE. Unchanged, and closed by its owner." ;;
  ended) echo "ENDED. Sound so far; its owner has not signed that this is all."; exit 43 ;;
  *) echo "INTERRUPTED. Sound so far, and not closed by its owner: what came later may be missing."; exit 43 ;;
esac

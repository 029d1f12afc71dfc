JQ
jq -n -R -r --argjson all "$all" --rawfile sums sums -f judge.jq log > tasks 2> failed || broken "the log cannot be judged: $(head -n 1 failed)"

tab=$(printf '\t')
first=$(head -n 1 tasks)
case $first in BAD*) broken "${first#BAD"$tab"}" ;; esac

# --- Hashes and signatures. -----------------------------------------------------------------------------------------------

prefix() { # lines bytes sha256
  [ "$(head -c "$2" log | sha256sum | cut -c 1-64)" = "$3" ] || broken "line $(($1 + 1)): the SHA-256 of the bytes before it is another"
}

# A signature in a log has one spelling, or a byte of it could be changed without breaking anything.
usual() {
  { echo '-----BEGIN SSH SIGNATURE-----'; sed '1d;$d' sig | base64 -d | base64 -w 70; echo '-----END SSH SIGNATURE-----'; } 2>/dev/null | cmp -s - sig
}

# Prints the fingerprint of the key that signed `text`, if it may.
signer() { # allowed principal namespace time
  set -- "$1" "$2" "$3" "$(echo "$4" | tr -d ':T-' | cut -c 1-14)Z"
  answer=$(ssh-keygen -Y verify -f "$1" -I "$2" -n "$3" -s sig -Overify-time="$4" ${revoked:+-r revoked} < text 2>&1) || return 1
  # ssh-keygen does not look whether anybody touched a security key.
  case $answer in *-SK*) hardware 1 || return 1 ;; esac
  echo "$answer" | sed -n 's/^Good .* key \(SHA256:[^ ]*\).*/\1/p'
}

# Whether an approver's signature counts: by the key it says, as good as it has to be, by a key of nobody who runs this, and
# by a key that was not counted for this request before.
counts() { # principal namespace time what
  found=$(signer allowed "$1" "$2" "$3") || return 1
  IFS=, read -r named request kind proof touch own <<EOF_
$4
EOF_
  [ "$named" = - ] || [ "$named" = "$found" ] || return 1
  [ "$proof" = any ] || hardware 1 || return 1
  [ "$touch" = any ] || ! hardware 0 || hardware 4 || return 1
  [ "$kind" != refusal ] || return 0
  [ "$own" = own ] || case " $keys " in *" $found "*) return 1 ;; esac
  [ "$kind" = grant ] || return 0
  case " $counted " in *" $request:$found "*) return 1 ;; esac
  counted="$counted $request:$found"
}

# The flags of a security key stand five bytes from the end of its signature: 1 for touched, 4 for verified. Without a bit:
# whether it is one at all.
hardware() {
  sed '1d;$d' sig | base64 -d > blob
  head -c 64 blob | tr -cd 'a-z0-9@.-' | grep -q 'sk-\(ssh\|ecdsa\)' || return 1
  flags=$(tail -c 5 blob | head -c 1 | od -An -tu1)
  [ $((flags & $1)) = "$1" ]
}

fingerprint() { ssh-keygen -lf "$1" | cut -d ' ' -f 2; }

policy= owners= keys= counted=
while IFS=$tab read -r name a b c d e f g; do
  case $name in
    POLICY) policy="$policy  $a
" ;;
    PREFIX) prefix "$a" "$b" "$c" ;;
    HASH)
      [ "$(printf %s "$d" | base64 -d | sha256sum | cut -c 1-64)" = "$c" ] || policy="$policy  line $((a + 1)): $b
" ;;
    SEAL)
      prefix "$a" "$b" "$c"
      printf %s "$d" | base64 -d > key; printf %s "$e" | base64 -d > text; printf %s "$f" | base64 -d > sig
      { printf 'session namespaces="bgctl-seal-v1" '; cat key; echo; } > session
      usual && found=$(ssh-keygen -Y verify -f session -I session -n bgctl-seal-v1 -s sig < text 2>&1) ||
        broken "line $((a + 1)): the signature of the seal does not hold" ;;
    OWNER)
      printf %s "$e" | base64 -d > key; printf %s "$f" | base64 -d > text; printf %s "$g" | base64 -d > sig
      usual && found=$(signer allowed "$b" "$c" "$d") && [ "$found" = "$(fingerprint key)" ] ||
        broken "line $((a + 1)): the signature of $b does not hold, or is not one of allowed_signers"
      keys="$keys $found"
      case " $owners" in *" $b"*) ;; *) owners="$owners $b" ;; esac ;;
    APPROVER)
      printf %s "$f" | base64 -d > text; printf %s "$g" | base64 -d > sig
      counts "$b" "$c" "$d" "$e" || policy="$policy  line $((a + 1)): the signature of $b does not count
" ;;
    END) state=$a lines=$b seals=$c run=$d checked=$e ;;
  esac
done < tasks

echo "  run $run: $lines lines, none missing, none changed, none moved; $seals seals"
echo "  written by$owners"
[ "$all" = true ] || echo "  not checked: the signature of every seal; $checked checked, each covers all before it (--all-seals)"
echo "  not checked: an anchor outside the log, so an owner's own rewriting of all of it is not seen"
echo "  not checked: whether each fact may follow on the one before it, beyond steps, approvals and ends (bgctl plays it all)"
echo "  not checked: whether the plan is written in the one way plans are written, and members of facts that decide nothing here"
if [ -n "$policy" ]; then
  printf %s "$policy"
  echo "POLICY. The bytes are sound; the rules of the run were not kept."
  exit 46
fi
case $state in
  closed) echo "COMPLETE. Unchanged, and closed by its owner." ;;
  ended) echo "ENDED. Sound so far; its owner has not signed that this is all."; exit 43 ;;
  *) echo "INTERRUPTED. Sound so far, and not closed by its owner: what came later may be missing."; exit 43 ;;
esac


# --- Whom to believe: the lists, read before anything else. ---------------------------------------------------------------

unreadable() { echo "  $1"; echo "UNREADABLE. A list of keys cannot be read, so nobody can be believed."; exit 65; }
not_checked() { echo "  NOT CHECKED: $1"; echo "NOT CHECKED. These programs do not read that as bgctl does: ask \`bgctl audit verify\`."; exit 47; }

[ "$copy" = false ] || not_checked "a copy of a log in which records are withheld"

listed() { # file signers|revoked
  tr -d '\000' < "$1" | cmp -s - "$1" || not_checked "$2: a zero byte in the list"
  jq -n -j --rawfile list "$1" '$list' | cmp -s - "$1" || unreadable "$2: it is no text"
  jq -n -r --rawfile list "$1" --arg of "$2" -f lists.jq > read || not_checked "$2: the list"
  case $(head -n 1 read) in
    65*) unreadable "$2, $(head -n 1 read | cut -d ' ' -f 2-)" ;;
    47*) not_checked "$2, $(head -n 1 read | cut -d ' ' -f 2-)" ;;
  esac
  sed 1d read > "$2.json"
}

listed allowed signers
# OpenSSH looks whether these are points of their curve.
grep -o '"[^"]*ecdsa[^"]*","blob":"[^"]*"' signers.json | tr -d '"' > points || true
while IFS=,: read -r kind _ blob; do
  echo "$kind $blob" > point
  ssh-keygen -lf point > /dev/null 2>&1 || unreadable "signers: a key is no point of its curve"
done < points

# Binary lists are OpenSSH's own, and it is asked about them; of the others, the keys and their digests.
krls= gone=
for list in revoked beside; do
  [ -s "$list" ] || continue
  if [ "$(head -c 8 "$list" | od -An -tx1 | tr -d ' ')" = 5353484b524c0a00 ]; then krls="$krls $list"; continue; fi
  listed "$list" revoked
  gone="$gone $(tr '\n' ' ' < revoked.json)"
done

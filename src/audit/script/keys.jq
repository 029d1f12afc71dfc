# What stands in the bytes of keys, certificates and signatures, and in the lists that name them. Nobody is believed here.

def digit: if . >= 97 then . - 71 elif . >= 65 then . - 65 elif . >= 48 then . + 4 elif . == 43 then 62 else 63 end;

# The bytes of a base64 text in its one spelling; without them, null. `$bare`: it may lack the signs at its end.
def from64($bare):
  (sub("=+\\z"; "")) as $body | (length - ($body | length)) as $signs | (($body | length) % 4) as $rest
  | if ($body | test("\\A[A-Za-z0-9+/]*\\z") | not) or $rest == 1 or ($signs != (4 - $rest) % 4 and ($signs != 0 or ($bare | not))) then null
    else
      [$body | explode[] | digit] as $d
      | if $rest == 2 and $d[-1] % 16 != 0 or $rest == 3 and $d[-1] % 4 != 0 then null else
          [range(0; $d | length; 4) as $i | $d[$i:$i + 4]
            | (.[0] * 4 + (.[1] / 16 | floor)),
              (if length > 2 then .[1] % 16 * 16 + (.[2] / 4 | floor) else empty end),
              (if length > 3 then .[2] % 4 * 64 + .[3] else empty end)]
        end
    end;

def sign64: if . < 26 then . + 65 elif . < 52 then . + 71 elif . < 62 then . - 4 elif . == 62 then 43 else 47 end;
def to64:
  . as $b | [range(0; length; 3) as $i | $b[$i:$i + 3] as $q | ($q + [0, 0])[:3] as $n
    | ([($n[0] / 4 | floor), ($n[0] % 4 * 16 + ($n[1] / 16 | floor)), ($n[1] % 16 * 4 + ($n[2] / 64 | floor)), $n[2] % 64] | map(sign64))[:($q | length) + 1]
      + [range(3 - ($q | length)) | 61] | .[]] | implode;

# SSH's own form: lengths, and what is as long as they say.
def number: .[0] * 16777216 + .[1] * 65536 + .[2] * 256 + .[3];
def read: { b: ., at: 0, got: [] };
def take($n): if .at + $n > (.b | length) then error("short") else .got += [.b[.at:.at + $n]] | .at += $n end;
def string: take(4) | (.got[-1] | number) as $n | .got |= .[:-1] | take($n);
def ended: if .at == (.b | length) then .got else error("long") end;
def strings: read | until(.at >= (.b | length); string) | .got;
def text: if all(.[]; . < 128) then implode else error("no text") end;
def pack: [(16777216, 65536, 256, 1) as $p | (length / $p | floor) % 256] + .;

def plain_kinds: {
  "ssh-ed25519": 1, "sk-ssh-ed25519@openssh.com": 2, "ecdsa-sha2-nistp256": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 3 };
def certified: {
  "ssh-ed25519-cert-v01@openssh.com": "ssh-ed25519", "ecdsa-sha2-nistp256-cert-v01@openssh.com": "ecdsa-sha2-nistp256",
  "sk-ssh-ed25519-cert-v01@openssh.com": "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com": "sk-ecdsa-sha2-nistp256@openssh.com" };

# The parts of a key behind its kind. A point is not looked for on its curve.
def sound($kind):
  if $kind == "ssh-ed25519" or $kind == "sk-ssh-ed25519@openssh.com" then if (.[0] | length) == 32 then . else error("unsound") end
  elif .[0] != ("nistp256" | explode) then error("unsound")
  elif (.[1] | length) == 33 and (.[1][0] | IN(2, 3)) then error("compressed")
  elif (.[1] | length) == 65 and .[1][0] == 4 then . else error("unsound") end;

# A key or a certificate, from its bytes. Errors: what is wrong, `odd` for a kind that does not sign here, `no text` and
# `compressed` for what is not read here.
def key:
  (read | string | .got[0] | text) as $kind
  | if plain_kinds[$kind] then
      (reduce range(plain_kinds[$kind] + 1) as $_ (read; string) | ended[1:]) as $parts
      | ($parts | sound($kind)) as $_
      | { kind: $kind, plain: to64, sk: ($kind | startswith("sk-")) }
    elif certified[$kind] then
      certified[$kind] as $of | plain_kinds[$of] as $n
      | (reduce range($n + 2) as $_ (read; string) | .at as $at | take(8) | take(4) | string | string | take(8) | take(8)
          | string | string | string | string | string | ended) as $got
      | $got[2:2 + $n] as $parts | $got[2 + $n:] as [$serial, $type, $id, $names, $after, $before, $critical, $more, $reserved, $by, $sig]
      | ($parts | sound($of)) as $_ | [$names | strings[] | text] as $_
      | { kind: $kind, plain: (([$of | explode] + $parts) | map(pack) | add | to64), sk: ($of | startswith("sk-")),
          by: ($by | to64), critical: [$critical | strings | to_entries[] | select(.key % 2 == 0) | .value | text] }
    else error("odd") end;

# `ssh-ed25519 AAAA… comment`: its bytes say the same kind.
def key_line:
  [splits("[ \t\n\f\r]+")] | map(select(. != ""))
  | (.[1] // "" | from64(true)) as $bytes | .[0] as $kind
  | if $bytes == null then error("no base64") else $bytes | key | .blob = ($bytes | to64) end
  | if .kind == $kind then . else error("another kind") end;

# A signature in its armor: the text ssh-keygen writes for it, whose it says to be, and how a security key was touched.
def armored:
  "-----BEGIN SSH SIGNATURE-----" as $head | "-----END SSH SIGNATURE-----" as $foot
  | sub("\\A\\s+"; "") | sub("\\s+\\z"; "")
  | if (startswith($head) and endswith($foot) and length >= ($head + $foot | length)) | not then error("no armor") else
      .[($head | length):length - ($foot | length)] | gsub("[ \t\n\f\r]"; "") as $body
      | ($body | from64(false)) as $bytes
      | if $bytes == null then error("no base64") else
          ($bytes | read | take(6) | take(4) | string | string | string | string | string | ended) as [$magic, $version, $key, $space, $reserved, $hash, $sig]
          | ($key | key) as $by
          | ($sig | read | string | string | if $by.sk then take(1) | take(4) else . end | ended) as $made
          | if ($magic | implode) != "SSHSIG" or ($version | number) != 1 or $reserved != [] then error("no signature") else
              $by + { blob: ($key | to64), flags: ($made[2][0]? // null),
                text: ([$head] + [range(0; $body | length; 70) as $i | $body[$i:$i + 70]] + [$foot, ""] | join("\n")) }
            end
        end
    end;

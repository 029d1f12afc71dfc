# What runs on a host. bgctl writes the values above it and the call below it; all of it comes down one pipe, in one
# command of the shell, so that half of it never runs.
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
begun=$(date +%s)

say() { printf '\n%s %s\n' "$mark" "$*"; }
passed() { [ $(($(date +%s) - begun)) -ge "$1" ]; }
moment() { sleep 0.02 2>/dev/null || sleep 1; }
synced() { sync -- "$@" 2>/dev/null || sync; }

# A link of the configuration's own is followed: what it points to is written.
file=$(readlink -f -- "$include" 2>/dev/null) || file=$include
folder=${file%/*} name=${file##*/}
new=$folder/.$name.bgctl before=$folder/.$name.before

# Asks the workers over so many fresh connections.
ask() {
  urls='' count=0
  while [ "$count" -lt "$1" ]; do urls="$urls $proof" count=$((count + 1)); done
  # shellcheck disable=SC2086 # one word a connection; an address has no blanks
  curl -gsS -m 3 --noproxy '*' -A bgctl/host -H 'connection: close' $urls </dev/null 2>&1
}

# Every process of nginx: its id, its parent's, its title.
processes() {
  if [ ! -r /proc/self/stat ]; then
    ps -A -o pid= -o ppid= -o args= | grep 'nginx: '
    return
  fi
  # Titles end with a zero byte, which the shell leaves out.
  for entry in $(grep -al '^nginx: ' /proc/[0-9]*/cmdline 2>/dev/null); do
    pid=${entry#/proc/} pid=${pid%/cmdline} title=''
    { read -r title <"/proc/$pid/cmdline"; read -r _ _ _ parent _ <"/proc/$pid/stat"; } 2>/dev/null
    [ -z "$title" ] || printf '%s %s %s\n' "$pid" "$parent" "$title"
  done
}

# The workers that take connections of the master whose worker answers.
workers() {
  # shellcheck disable=SC2046 # the words of the answer
  set -- $(ask 1)
  [ "$1" = bgctl ] || return 0
  list=$(processes)
  parent=$(printf '%s\n' "$list" | sed -n "s/^$3 \([0-9]*\) .*/\1/p")
  printf '%s\n' "$list" | sed -n "s/^\([0-9]*\) $parent nginx: worker process\$/\1/p"
}

# Whether one of these still takes connections.
taking() {
  list=$(processes)
  for pid in "$@"; do
    printf '%s\n' "$list" | grep -q "^$pid [0-9]* nginx: worker process\$" && return 0
  done
  return 1
}

look() {
  say node
  uname -n
  say version
  nginx -v 2>&1
  if [ -f "$file" ]; then
    say file
    cat -- "$file" 2>&1
  else
    say missing
    ls -ld -- "$include" 2>&1
  fi
  say answers
  ask "$times"
  say processes
  list=$(processes)
  printf '%s\n' "$list"
  # The connections that old workers hold: their sockets, and the tables these stand in.
  for pid in $(printf '%s\n' "$list" | sed -n 's/^\([0-9]*\) .*nginx: worker process is shutting down.*/\1/p'); do
    say held "$pid"
    ls -l "/proc/$pid/fd" 2>&1
    cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null
  done
}

dump() {
  say dump
  nginx -T 2>&1 && say tested
}

# Asks each server of an upstream, all at the same time.
health() {
  set -f
  for server in $servers; do
    case $server in
      unix:*) where="--unix-socket ${server#unix:} http://localhost" ;;
      *) where=http://$server ;;
    esac
    # shellcheck disable=SC2086 # an address, or an option and an address
    (
      code=$(curl -gsS -m 4 --noproxy '*' -A bgctl/host -o /dev/null -w '%{http_code}' $where"$path" </dev/null 2>&1)
      say server "$server" "$(printf '%s' "$code" | tr '\n' ' ')"
    ) &
  done
  wait
}

identity() {
  say who
  id -un
  [ -w "$folder" ] && say writable
  command -v curl >/dev/null && say curl
}

writer() {
  say writer
  ls -l -- "$file" 2>&1
}

# Puts the file back that was there, if it is still ours that is there.
restore() {
  printf '%s' "$wanted" | cmp -s - "$file" && mv -f -- "$before" "$file" && synced "$folder"
}

# The file, if it and the workers are still as they were read; and whether nginx would take it.
prepare() {
  say prepare
  if ! printf '%s' "$expected" | cmp -s - "$file"; then
    say changed
    return 1
  fi
  if [ -n "$running" ]; then
    case $(ask 1) in "bgctl $running "*) ;; *) say changed; return 1 ;; esac
  fi
  # Who waits for the answer has given up by then, and may have found another way.
  if passed 10; then say late; return 1; fi
  # The copy hands on the owner and the mode.
  if ! { cp -p -- "$file" "$before" && cp -p -- "$file" "$new" && printf '%s' "$wanted" >"$new" && synced "$new" "$before" &&
    mv -f -- "$new" "$file" && synced "$folder"; } 2>&1; then
    say unwritten
    rm -f -- "$new"
    restore
    return 1
  fi
  if text=$(nginx -T 2>&1); then
    logs=$(printf '%s\n' "$text" | sed -n 's/^[[:space:]]*error_log[[:space:]]\{1,\}["'\'']\{0,1\}\([^;"'\''[:space:]]*\).*/\1/p' | sort -u)
    say prepared
    printf '%s\n' "$logs"
    return 0
  fi
  printf '%s\n' "$text" | grep -E '\[(emerg|alert|crit|error)\]|^nginx: ' | tail -n 20
  restore
  say refused
  return 1
}

# What the error logs say since they were marked, of this master or of nobody known.
logged() {
  for entry in $marked; do
    path=${entry#*:} size=$(wc -c <"${entry#*:}" 2>/dev/null || echo 0)
    from=${entry%%:*}
    [ "$size" -ge "$from" ] || from=0
    tail -c "+$((from + 1))" -- "$path" 2>/dev/null
  done | grep -aE '\[(emerg|alert|crit)\]' | grep -aE "[] ]${master:-[0-9]+}#" | tail -n 5
}

# Tells the master, and waits until new workers answer and no old one takes connections.
reload() {
  say reload
  if passed 20; then restore; say late; return 1; fi
  old=$(workers) master='' marked=''
  for pid in $old; do master=$(processes | sed -n "s/^$pid \([0-9]*\) .*/\1/p"); break; done
  for path in $logs; do
    case $path in
      /*) ;;
      *)
        [ -n "$prefix" ] || prefix=$(nginx -V 2>&1 | sed -n 's/.*--prefix=\([^ ]*\).*/\1/p')
        path=$prefix/$path
        ;;
    esac
    [ -f "$path" ] && marked="$marked $(wc -c <"$path" | tr -d ' '):$path"
  done
  say old
  printf '%s\n' $old
  say sent
  if ! nginx -s reload 2>&1; then
    restore
    say unsent
    return 1
  fi
  turns=0
  until passed 27; do
    case $(ask 1) in
      "bgctl $generation "*)
        # shellcheck disable=SC2086 # one word a worker
        if ! taking $old; then
          rm -f -- "$before"
          say log
          logged
          say proven
          return 0
        fi
        ;;
    esac
    turns=$((turns + 1))
    # A master that cannot take the file says so in the log and goes on with what it had.
    if [ $((turns % 10)) -eq 0 ] && logged | grep -q '\[emerg\]'; then break; fi
    if [ "$turns" -ge "$patience" ]; then break; fi
    moment
  done
  say log
  logged
  restore
  say unproven
  return 1
}

# What runs on a host. bgctl writes the values above it and the call below it; all of it comes down one pipe, in one
# command of the shell, so that half of it never runs.
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
answers='' running=${running:-}

say() { printf '\n%s %s\n' "$mark" "$*"; }
# Seconds since the machine was started: no program is needed for it, and nobody sets it.
seconds() { read -r now _ </proc/uptime && now=${now%%.*}; }
seconds
begun=$now
passed() { seconds && [ $((now - begun)) -ge "$1" ]; }
moment() { sleep 0.02 2>/dev/null || sleep 1; }
synced() { sync -- "$@" 2>/dev/null || sync; }

# A link of the configuration's own is followed: what it points to is written.
file=$include
[ ! -L "$include" ] || file=$(readlink -f -- "$include")
folder=${file%/*} name=${file##*/}
new=$folder/.$name.bgctl

# Asks the workers over so many fresh connections.
ask() {
  urls='' count=0
  while [ "$count" -lt "$1" ]; do urls="$urls $proof" count=$((count + 1)); done
  # shellcheck disable=SC2086 # one word a connection; an address has no blanks
  curl -gsS -m 3 --noproxy '*' -A bgctl/host -H 'connection: close' $urls </dev/null 2>&1
}

# The title of a process. It ends with a zero byte, which the shell leaves out.
titled() {
  title=''
  { read -r title <"/proc/$1/cmdline"; } 2>/dev/null
  [ -n "$title" ]
}

# Sets the master of the worker that gave this answer, and all its children, from what the system tells without a program.
family() {
  # shellcheck disable=SC2086 # the words of the answer
  set -- $1
  master='' children=''
  [ "$1" = bgctl ] || return 1
  { read -r _ _ _ master _ <"/proc/$3/stat"; } 2>/dev/null
  [ -n "$master" ] || return 1
  # A child that ends while this list is made lets another one be left out of it, so it is read until it is the same twice.
  listed=-
  while [ "$children" != "$listed" ]; do
    listed=$children children=''
    { read -r children <"/proc/$master/task/$master/children"; } 2>/dev/null
  done
  [ -n "$children" ] || children=$(sed -n "s/^\([0-9]*\) ([^)]*) . $master .*/\1/p" /proc/[0-9]*/stat 2>/dev/null)
}

# Every process of the nginx whose worker answers: its id, its parent's, its title. Without an answer every master there is.
processes() {
  if family "$1"; then
    titled "$master" && printf '%s 0 %s\n' "$master" "$title"
    for pid in $children; do titled "$pid" && printf '%s %s %s\n' "$pid" "$master" "$title"; done
  else
    for entry in $(grep -al '^nginx: master' /proc/[0-9]*/cmdline 2>/dev/null); do
      entry=${entry#/proc/}
      printf '%s 0 nginx: master process\n' "${entry%/cmdline}"
    done
  fi
}

# Whether one of these workers still takes connections: one that leaves has another title.
taking() {
  for pid in "$@"; do
    titled "$pid" && [ "$title" = 'nginx: worker process' ] && return 0
  done
  return 1
}

look() {
  say node
  read -r node </proc/sys/kernel/hostname
  printf '%s\n' "$node"
  if [ -f "$file" ]; then
    say file
    cat -- "$file" 2>&1
  else
    say missing
    ls -ld -- "$include" 2>&1
  fi
  say answers
  [ -n "$answers" ] || answers=$(ask "$times")
  printf '%s\n' "$answers"
  say processes
  first=${answers%%"
"*}
  processes "$first"
  # The connections that old workers hold: their sockets, and the tables these stand in.
  for pid in $children; do
    titled "$pid" || continue
    case $title in 'nginx: worker process is shutting down'*) ;; *) continue ;; esac
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

# Puts a text into the file, whole or not at all. The copy hands on the owner and the mode.
put() {
  cp -p -- "$file" "$new" && printf '%s' "$1" >"$new" && synced "$new" && mv -f -- "$new" "$file" && synced "$folder"
}

# Puts back what was there, if it is still ours that is there.
restore() {
  printf '%s' "$wanted" | cmp -s - "$file" && put "$expected"
}

# The file, if it and the workers are still as they were read; and whether nginx would take it.
prepare() {
  say prepare
  if ! printf '%s' "$expected" | cmp -s - "$file"; then
    say changed
    return 1
  fi
  answer=$(ask 1)
  if [ -n "$running" ]; then
    case $answer in "bgctl $running "*) ;; *) say changed; return 1 ;; esac
  fi
  # Who waits for the answer has given up by then, and may have found another way.
  if passed 10; then say late; return 1; fi
  if ! put "$wanted" 2>&1; then
    say unwritten
    rm -f -- "$new"
    restore
    return 1
  fi
  if text=$(nginx -T 2>&1); then
    logs=$(printf '%s\n' "$text" | sed -n '/^[[:space:]]*#/d; s/^\(.*[;{[:space:]]\)\{0,1\}error_log[[:space:]]\{1,\}["'\'']\{0,1\}\([^;"'\''[:space:]]*\).*/\2/p')
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
    tail -c "+$((${entry%%:*} + 1))" -- "${entry#*:}" 2>/dev/null
  done | grep -aE "\[(emerg|alert|crit)\] ${master:-[0-9]+}#"
}

# Tells the master, and waits until new workers answer and no old one takes connections.
reload() {
  say reload
  if passed 20; then restore; say late; return 1; fi
  old='' marked='' others=''
  if family "${answer:-$(ask 1)}"; then
    for pid in $children; do taking "$pid" && old="$old $pid"; done
  else
    # Before the first file of ours no worker says whose it is: of all workers here those are old that turn out to be its master's.
    for entry in $(grep -al '^nginx: worker process' /proc/[0-9]*/cmdline 2>/dev/null); do
      entry=${entry#/proc/} others="$others ${entry%/cmdline} "
    done
  fi
  for path in $logs; do
    case $path in
      /*) ;;
      *)
        [ -n "$prefix" ] || prefix=$(nginx -V 2>&1 | sed -n 's/.*--prefix=\([^ ]*\).*/\1/p')
        path=$prefix/$path
        ;;
    esac
    [ ! -f "$path" ] || case $marked in *":$path "*) ;; *) marked="$marked$(wc -c <"$path"):$path " ;; esac
  done
  say sent
  if ! nginx -s reload 2>&1; then
    restore
    say unsent
    return 1
  fi
  seconds
  turns=0 sent=$now
  # A master that cannot bind tries for two and a half seconds.
  while seconds && [ $((now - sent)) -lt 8 ]; do
    turns=$((turns + 1))
    answers=$(ask "$times")
    case $answers in
      *"bgctl ${running:-?} "*) ;;
      "bgctl $generation "*)
        if [ -n "$others" ] && family "$answers"; then
          for pid in $children; do case $others in *" $pid "*) old="$old $pid" ;; esac; done
          others=''
        fi
        # shellcheck disable=SC2086 # one word a worker
        if ! taking $old; then
          say old
          printf '%s\n' $old
          say log
          logged
          say proven
          return 0
        fi
        ;;
    esac
    # A master that cannot take the file says so in the log and goes on with what it had. A port it tries several times.
    if [ $((turns % 10)) -eq 0 ] && logged | grep -qv ' bind() to '; then break; fi
    moment
  done
  say log
  logged
  restore
  say unproven
  return 1
}

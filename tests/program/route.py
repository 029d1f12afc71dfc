"""A place in a file, and every way in which a program can break the contract: the first argument says which."""
import fcntl, json, os, subprocess, sys, time

how, path = sys.argv[1], sys.argv[2]
if how == "hangs":
    time.sleep(60)
if how == "endless":
    while True:
        sys.stdout.write("x" * 65536)
ask = json.loads(sys.stdin.readline())
call = ask["call"]


def held():
    with open(path) as file:
        return json.load(file)


def keep(weights):
    new = f"{path}.{os.getpid()}"
    with open(new, "w") as file:
        json.dump(weights, file)
    os.rename(new, path)


def answer(value):
    print(json.dumps(value))
    sys.exit(0)


def refused(kind, why, **more):
    answer({"refused": {"kind": kind, "why": why, **more}})


def name(color):
    return color if how == "by-color" else ask[color]


if how == "noisy":
    print("reading the configuration")
if how == "complains":
    print("warning: an old library", file=sys.stderr)
if call == "describe":
    answer({"bgctl_route": 2 if how == "later-version" else 1, "line": "weights in a file", "lands_within_s": 0,
            **({"weights": "one-side"} if how == "one-side" else {}),
            "resources": [str(time.time()) if how == "nameless" else path]})
if call == "health" and how == "ill":
    answer({"healthy": 0, "total": 1, "ailing": ["one: 503"]})
if call == "health":
    answer({"healthy": 1, "total": 2} if how == "silent-about-health" else {"healthy": 1, "total": 1})
if call == "settle":
    answer({"settled": how != "never-settles", "line": "the far side"})
if call == "manual-rollback":
    text = json.dumps({name(color): ask["to"][color] for color in ("blue", "green")})
    answer({"command": "true" if how == "empty-command" else f"echo '{text}' > '{path}'"})
if call == "read":
    now = held()
    state = {"at": time.time()} if how == "restless" else now
    remarks = [os.environ.get("TOKEN", "no token"), os.environ.get("HOME", "no home")] if how == "tells" else []
    if how == "escapes":
        remarks = ["\x1b[2K"]
    answer({"weights": {color: now.get(name(color), 0) for color in ("blue", "green")}, "state": state, "remarks": remarks})
if call != "set":
    if how == "strict":
        sys.exit("no such call")
    refused("invalid", f"there is no call {call}")

lock = open(path + ".lock", "w")
if how != "races":
    fcntl.flock(lock, fcntl.LOCK_EX)
now, start, to = held(), ask["from"], ask["to"]
found = {color: now.get(name(color), 0) for color in ("blue", "green")}
if how == "races":
    time.sleep(0.3)
if how == "denied":
    refused("denied", "the role may only read", cure="ask for the role `mover`")
if how == "busy":
    refused("throttled", "too many calls", after_s=7)
if to["blue"] + to["green"] == 0 and how != "nowhere":
    refused("invalid", "nobody is sent nowhere")
if found["blue"] * start["green"] != found["green"] * start["blue"] and how != "blind":
    refused("drift", "it was moved", found=found)
if how == "half":
    keep({**now, name("blue"): to["blue"]})
    time.sleep(0.3)
if how == "dies-before":
    os.kill(os.getpid(), 9)
if how == "fails-before":
    sys.exit("the connection was lost")
if how == "late":
    later = f"sleep 2; echo '{json.dumps({name(c): to[c] for c in to})}' > '{path}'"
    subprocess.Popen(["sh", "-c", later], start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
elif how != "liar":
    keep({name(color): to[color] for color in ("blue", "green")})
if how == "dies-after":
    os.kill(os.getpid(), 9)
if how == "garbage-after":
    print("done!")
    sys.exit(0)
answer({"request": "r-1"})

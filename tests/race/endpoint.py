"""A strict ELBv2 on the loopback interface, with a real proxy behind it, under load, and with faults on demand.

    endpoint.py FOLDER [SECONDS]     prints its ports as JSON; ends with its standard input, or after SECONDS (900)

It speaks the AWS query protocol, checks signatures, keeps the rules of `rules.py`, and writes down every write with its
time. POST /do on the control port takes one JSON object of the methods of `Control`; GET /report says what is.
"""

import asyncio
import hashlib
import hmac
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import uuid

import faults
import rules
import wire
from load import Load
from proxy import Proxy
from rules import Refusal, invalid, members

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SPACES = {
    "elasticloadbalancing": "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}
SCRAPE = "global: {scrape_interval: 500ms, scrape_timeout: 400ms}\n"
SCRAPE += "scrape_configs: [{job_name: users, static_configs: [{targets: ['127.0.0.1:%d']}]}]\n"


def signed(first, headers, body):
    """The service a request is signed for, or what is wrong with its signature."""
    pattern = r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, *SignedHeaders=([^,]+), *Signature=(\w{64})"
    found = re.fullmatch(pattern, headers.get("authorization", ""))
    if not found:
        raise Refusal("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    key, day, region, service, names, given = found.groups()
    if key != KEY:
        raise Refusal("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    if "host" not in names.split(";") or not headers.get("x-amz-date", "").startswith(day):
        raise Refusal("IncompleteSignature", "The signature does not cover host and date", 403)
    path, _, query = first.split(" ")[1].partition("?")
    covered = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names.split(";"))
    payload = hashlib.sha256(body).hexdigest()
    request = "\n".join([first.split(" ")[0], path, query, covered, names, payload])
    scope = f"{day}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    key = ("AWS4" + SECRET).encode()
    for part in [*scope.split("/"), text]:
        key = hmac.digest(key, part.encode(), "sha256")
    if key.hex() != given:
        raise Refusal("SignatureDoesNotMatch", "The request signature we calculated does not match", 403)
    return service


class Elb:
    """The API."""

    def __init__(self, proxy):
        self.proxy, self.lock = proxy, asyncio.Lock()
        self.calls, self.writes, self.faults, self.stale, self.then = [], [], [], 0.0, []
        self.past = [(0.0, rules.first_actions())]

    @property
    def actions(self):
        return self.past[-1][1]

    def described(self):
        """The rule as reads see it, which may be some time ago."""
        return next(actions for at, actions in reversed(self.past) if at <= time.time() - self.stale or at == 0.0)

    async def answer(self, first, headers, body):
        number = str(uuid.uuid4())
        pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
        call = rules.tree(pairs) if headers.get("content-type", "").startswith("application/x-www-form") else {}
        action = call.get("Action") or headers.get("x-amz-target", "").rpartition(".")[2]
        noted = {"at": time.time(), "action": action, "code": "ok"}
        self.calls.append(noted)
        service = "elasticloadbalancing"
        try:
            service = signed(first, headers, body)
            fault, slow = faults.struck(self.faults, action)
            await asyncio.sleep(slow)
            if action == "LookupEvents":
                return 200, b'{"Events":[]}', {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": number}
            result = await self._carried_out(action, call, fault, noted)
            status, text = (
                200,
                f"{rules.xml(action + 'Result', result)}<ResponseMetadata>{rules.xml('RequestId', number)}",
            )
            text = f'<{action}Response xmlns="{SPACES[service]}">{text}</ResponseMetadata></{action}Response>'
        except Refusal as refusal:
            status, noted["code"] = refusal.status, refusal.code
            error = rules.xml("Error", {"Type": "Sender", "Code": refusal.code, "Message": refusal.words})
            text = f'<ErrorResponse xmlns="{SPACES[service]}">{error}{rules.xml("RequestId", number)}</ErrorResponse>'
        return status, text.encode(), {"content-type": "text/xml", "x-amzn-requestid": number}

    async def _carried_out(self, action, call, fault, noted):
        kind = fault.kind if fault else None
        if kind in faults.ERRORS:
            raise Refusal(*faults.ERRORS[kind])
        if kind == "late":
            noted["code"] = "cut, to be done later"
            Control.later(fault.seconds, lambda: self._do(action, call, "late"))
            raise wire.Cut
        if kind == "hang":
            await asyncio.sleep(fault.seconds)
        result = await self._do(action, call, "client")
        if kind == "lose":
            noted["code"] = "done, then cut"
            raise wire.Cut
        return result

    async def _do(self, action, call, by):
        do = getattr(self, "do_" + action, None)
        if do is None:
            raise Refusal("InvalidAction", f"Could not find operation {action} for version 2015-12-01")
        return await do(call, by)

    async def write(self, actions, by):
        async with self.lock:
            blue, green = rules.weights(actions)
            await self.proxy.weigh(blue, green, actions[-1]["sticky"])
            self.past.append((time.time(), actions))
            self.writes.append({"at": time.time(), "blue": blue, "green": green, "by": by})
            if by == "client":
                for then in [then for then in self.then if then["writes"] == len(self.writes)]:
                    Control.later(then.get("in", 0), then["do"])

    def _rule(self, arn):
        if arn not in (rules.RULE, rules.DEFAULT):
            raise Refusal("RuleNotFound", f"One or more rules not found: '{arn}'")
        default = arn == rules.DEFAULT
        fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
        path = {"Field": "path-pattern", "Values": ["/*"], "PathPatternConfig": {"Values": ["/*"]}}
        return {
            "RuleArn": arn,
            "Priority": "default" if default else "1",
            "Conditions": [] if default else [path],
            "Actions": fixed if default else rules.shown(self.described()),
            "IsDefault": default,
        }

    async def do_DescribeRules(self, call, _by):
        arns = members(call.get("RuleArns"))
        if bool(arns) == ("ListenerArn" in call):
            raise invalid("You must specify either rule ARNs or a listener ARN")
        if not arns and call["ListenerArn"] != rules.LISTENER:
            raise Refusal("ListenerNotFound", f"One or more listeners not found: '{call['ListenerArn']}'")
        return {"Rules": [self._rule(arn) for arn in arns or [rules.RULE, rules.DEFAULT]]}

    async def do_ModifyRule(self, call, by):
        arn = call.get("RuleArn")
        self._rule(arn)
        if arn == rules.DEFAULT:
            raise Refusal("OperationNotPermitted", f"Default rule '{arn}' cannot be modified")
        await self.write(rules.read_actions(members(call.get("Actions")), self.actions), by)
        return {"Rules": [self._rule(arn)]}

    async def do_DescribeListeners(self, call, _by):
        if any(arn != rules.LISTENER for arn in members(call.get("ListenerArns"))):
            raise Refusal("ListenerNotFound", "One or more listeners not found")
        named = {"ListenerArn": rules.LISTENER, "LoadBalancerArn": rules.BALANCER, "Port": 443, "Protocol": "HTTPS"}
        return {"Listeners": [named | {"DefaultActions": self._rule(rules.DEFAULT)["Actions"]}]}

    async def do_ModifyListener(self, call, _by):
        raise Refusal("AccessDenied", f"Not authorized to perform ModifyListener on {call.get('ListenerArn')}", 403)

    async def do_DescribeLoadBalancers(self, _call, _by):
        one = {"LoadBalancerArn": rules.BALANCER, "LoadBalancerName": "shop", "Type": "application"}
        return {"LoadBalancers": [one | {"Scheme": "internal", "State": {"Code": "active"}}]}

    def _color(self, arn):
        if arn not in rules.GROUPS:
            raise Refusal("TargetGroupNotFound", f"One or more target groups not found: '{arn}'")
        return rules.GROUPS[arn]

    async def do_DescribeTargetGroups(self, call, _by):
        arns = members(call.get("TargetGroupArns")) or list(rules.GROUPS)
        named = {arn: {"TargetGroupArn": arn, "TargetGroupName": "shop-" + self._color(arn)} for arn in arns}
        return {
            "TargetGroups": [group | {"Protocol": "HTTP", "Port": 80, "TargetType": "ip"} for group in named.values()]
        }

    async def do_DescribeTargetHealth(self, call, _by):
        arn = call.get("TargetGroupArn")
        targets = [target for target in self.proxy.targets[self._color(arn)] if target.registered]
        used = any(arn == listed for listed, _ in self.actions[-1]["groups"])

        def health(target):
            if not used:
                return {"State": "unused", "Reason": "Target.NotInUse", "Description": "Target group is not in use"}
            failed = {
                "State": "unhealthy",
                "Reason": "Target.FailedHealthChecks",
                "Description": "Health checks failed",
            }
            return {"State": "healthy"} if target.well else failed

        one = [{"Target": {"Id": "127.0.0.1", "Port": t.port}, "TargetHealth": health(t)} for t in targets]
        return {"TargetHealthDescriptions": one}

    async def do_RegisterTargets(self, call, _by):
        await self.proxy.register(self._color(call.get("TargetGroupArn")), True)
        return {}

    async def do_DeregisterTargets(self, call, _by):
        await self.proxy.register(self._color(call.get("TargetGroupArn")), False)
        return {}

    async def do_DescribeTags(self, call, _by):
        return {"TagDescriptions": [{"ResourceArn": arn, "Tags": []} for arn in members(call.get("ResourceArns"))]}

    async def do_GetCallerIdentity(self, _call, _by):
        return {"Arn": "arn:aws:iam::123456789012:user/shop", "UserId": "AIDASAMPLE", "Account": "123456789012"}


class Control:
    """What the one who plays this piece may do to the world. Each method is a word of POST /do."""

    tasks = set()

    def __init__(self, elb, door, load):
        self.elb, self.door, self.load = elb, door, load

    @classmethod
    def later(cls, seconds, doing):
        """Does something after a while."""

        async def wait():
            await asyncio.sleep(seconds)
            await doing()

        task = asyncio.ensure_future(wait())
        cls.tasks.add(task)
        task.add_done_callback(cls.tasks.discard)

    async def answer(self, first, _headers, body):
        if first.startswith("POST /do"):
            for word, said in json.loads(body).items():
                await getattr(self, "do_" + word)(said)
        return 200, json.dumps(self.report()).encode(), {"content-type": "application/json"}

    def report(self):
        elb, load = self.elb, self.load
        said = {"actions": rules.shown(elb.actions), "weights": rules.weights(elb.actions), "writes": elb.writes}
        slots = {at / 10: dict(count) for at, count in load.slots.items()}
        return said | {"calls": elb.calls, "ok": load.ok, "lost": load.lost, "lately": load.lately(), "slots": slots}

    async def do_reset(self, said):
        """The world as it was at first: `signed_in`, `sticky`, or other weights."""
        for task in list(self.tasks):
            task.cancel()
        await self.door.unlock()
        elb, proxy = self.elb, self.elb.proxy
        elb.faults, elb.stale, elb.then = [], 0.0, []
        await proxy.start()
        for color in proxy.targets:
            await proxy.register(color, True)
        await self.do_errors({"blue": 0, "green": 0})
        await elb.write(rules.first_actions(**said), "reset")
        while not all(target.well for target in sum(proxy.targets.values(), [])):
            await asyncio.sleep(0.05)
        elb.past, elb.calls, elb.writes = [(0.0, elb.actions)], [], []
        self.load.silent, self.load.keep_cookies = False, bool(elb.actions[-1]["sticky"])
        self.load.forget()

    async def do_fault(self, said):
        self.elb.faults.append(faults.Fault(**said))

    async def do_stale(self, seconds):
        self.elb.stale = seconds

    async def do_then(self, said):
        """Does `do` after so many writes, and `in` seconds more."""

        async def do():
            for word, what in said["do"].items():
                await getattr(self, "do_" + word)(what)

        self.elb.then.append({**said, "do": do})

    async def do_away(self, seconds):
        """The endpoint refuses connections."""
        self.later(0, lambda: self.door.shut(seconds))

    async def do_write(self, said):
        """Somebody else's write: `blue` and `green`."""
        forward = {**self.elb.actions[-1], "groups": [(rules.BLUE, said["blue"]), (rules.GREEN, said["green"])]}
        await self.elb.write([*self.elb.actions[:-1], forward], "somebody else")

    async def do_empty(self, color):
        await self.elb.proxy.register(color, False)

    async def do_kill(self, color):
        for target in self.elb.proxy.targets[color]:
            target.kill()

    async def do_errors(self, said):
        for color, share in said.items():
            for target in self.elb.proxy.targets[color]:
                await target.get(f"/errors/{share}")

    async def do_silent(self, is_so):
        self.load.silent = is_so


async def main():
    folder, seconds = pathlib.Path(sys.argv[1]), float((sys.argv[2:] or [900])[0])
    proxy = Proxy(folder)
    prometheus = None
    try:
        await proxy.start()
        load = Load(proxy.port, most=seconds)
        metrics = await wire.Door(load.metrics).start()
        elb = Elb(proxy)
        door = await wire.Door(elb.answer).start()
        control = await wire.Door(Control(elb, door, load).answer).start()
        place = wire.listener()
        port = place.getsockname()[1]
        place.close()
        (folder / "prometheus.yml").write_text(SCRAPE % metrics.port)
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/metrics"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        prometheus = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        jobs = [target.watch() for target in sum(proxy.targets.values(), [])]
        tasks = [asyncio.ensure_future(job) for job in (load.run(), *jobs)]
        urls = {"elb": door.port, "control": control.port, "users": proxy.port, "prometheus": port}
        print(json.dumps(urls | {c: targets[0].port for c, targets in proxy.targets.items()}), flush=True)
        await asyncio.wait_for(asyncio.to_thread(sys.stdin.read), seconds)
        for task in tasks:
            task.cancel()
    finally:
        if prometheus:
            prometheus.terminate()
            prometheus.wait()
        proxy.stop()


if __name__ == "__main__":
    asyncio.run(main())

"""What ELBv2 keeps and refuses: one HTTPS listener, one rule, two target groups. Pure: no sockets, no clock but the one given.

Texts and codes are those the service answers with. Where this is laxer than AWS, it says so.
"""

import re
from xml.sax.saxutils import escape

OF = "arn:aws:elasticloadbalancing:us-east-1:123456789012:"
BALANCER = OF + "loadbalancer/app/shop/50dc6c495c0c9188"
LISTENER = OF + "listener/app/shop/50dc6c495c0c9188/0467ef3c8400ae65"
RULE = OF + "listener-rule/app/shop/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b"
DEFAULT = OF + "listener-rule/app/shop/50dc6c495c0c9188/0467ef3c8400ae65/1a2b3c4d5e6f7a8b"
GROUPS = {
    OF + "targetgroup/shop-blue/6d0ecf831eec9f09": "blue",
    OF + "targetgroup/shop-green/73e2d6bc24d8a067": "green",
}
BLUE, GREEN = GROUPS
OIDC = {
    "Issuer": "https://id.example.com",
    "AuthorizationEndpoint": "https://id.example.com/auth",
    "TokenEndpoint": "https://id.example.com/token",
    "UserInfoEndpoint": "https://id.example.com/info",
    "ClientId": "shop",
    "SessionCookieName": "AWSELBAuthSessionCookie",
    "Scope": "openid",
    "SessionTimeout": "604800",
    "OnUnauthenticatedRequest": "authenticate",
}


class Refusal(Exception):
    """A call that is not carried out."""

    def __init__(self, code, words, status=400):
        super().__init__(code)
        self.code, self.words, self.status = code, words, status


def invalid(words):
    return Refusal("ValidationError", words)


def tree(pairs):
    """Dotted names as nested dictionaries."""
    root = {}
    for name, value in pairs:
        *parents, last = name.split(".")
        node = root
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return root


def members(node):
    """A list of this protocol, in order."""
    numbered = (node or {}).get("member", {})
    return [numbered[n] for n in sorted(numbered, key=int)]


def number(text, what, low, high):
    if not re.fullmatch(r"-?\d+", text) or not low <= int(text) <= high:
        raise invalid(f"{what} '{text}' must be between {low} and {high} inclusive")
    return int(text)


def first_actions(blue=100, green=0, signed_in=False, sticky=0):
    """The rule as it is found: perhaps with a sign-in before it, and perhaps sticky."""
    forward = {"Type": "forward", "groups": [(BLUE, blue), (GREEN, green)], "sticky": sticky}
    if not signed_in:
        return [forward]
    return [{"Type": "authenticate-oidc", "Order": 1, "oidc": dict(OIDC)}, {**forward, "Order": 2}]


def read_actions(listed, before):
    """A list of actions as it is sent, or the rule it breaks. `before` is what stands there."""
    actions = [_action(node, before) for node in listed]
    if not actions:
        raise invalid("A rule must have at least one action")
    if len(actions) > 1:
        orders = [action.get("Order") for action in actions]
        if None in orders or len(set(orders)) < len(orders):
            raise invalid("You must specify a unique order for each action when there is more than one action")
        actions.sort(key=lambda action: action["Order"])
    if [action["Type"] for action in actions].count("forward") != 1 or actions[-1]["Type"] != "forward":
        words = "A rule must have exactly one forward, redirect or fixed-response action, and it must be the last"
        raise Refusal("InvalidLoadBalancerAction", words)
    return actions


def _action(node, before):
    action = {"Type": node.get("Type")}
    if "Order" in node:
        action["Order"] = number(node["Order"], "Order", 1, 50_000)
    if action["Type"] == "forward":
        return action | _forward(node)
    if action["Type"] != "authenticate-oidc":
        raise invalid(f"Value '{action['Type']}' at 'actions.type' failed to satisfy constraint")
    given = dict(node.get("AuthenticateOidcConfig", {}))
    missing = [name for name in list(OIDC)[:5] if name not in given]
    if missing:
        raise invalid(f"{missing[0]} must be specified for 'authenticate-oidc'")
    kept = given.pop("UseExistingClientSecret", "false") == "true"
    if ("ClientSecret" in given) == kept:
        raise invalid("Specify either ClientSecret or UseExistingClientSecret for 'authenticate-oidc'")
    if kept and not any(action["Type"] == "authenticate-oidc" for action in before):
        raise invalid("There is no existing client secret to use")
    given.pop("ClientSecret", None)
    return action | {"oidc": given}


def _forward(node):
    config = node.get("ForwardConfig", {})
    groups = []
    for group in members(config.get("TargetGroups")):
        if "TargetGroupArn" not in group:
            raise invalid("A target group ARN must be specified")
        groups.append((group["TargetGroupArn"], number(group.get("Weight", "1"), "Weight", 0, 999)))
    alone = node.get("TargetGroupArn")
    if alone and not groups:
        groups = [(alone, 1)]
    elif alone and [arn for arn, _ in groups] != [alone]:
        raise invalid("TargetGroupArn and ForwardConfig must name the same single target group")
    if not 1 <= len(groups) <= 5:
        raise invalid("A forward action must have 1 to 5 target groups")
    if len({arn for arn, _ in groups}) < len(groups):
        raise Refusal("DuplicateTargetGroup", "A target group is specified more than once")
    for arn, _ in groups:
        if arn not in GROUPS:
            raise Refusal("TargetGroupNotFound", f"One or more target groups not found: '{arn}'")
    # AWS takes them, and does not say where users go then; nobody here may rely on it.
    if not any(weight for _, weight in groups):
        raise invalid("At least one target group must have a weight greater than 0")
    sticky = config.get("TargetGroupStickinessConfig", {})
    if sticky.get("Enabled") != "true":
        return {"groups": groups, "sticky": 0}
    if "DurationSeconds" not in sticky:
        raise invalid("DurationSeconds must be specified when target group stickiness is enabled")
    return {"groups": groups, "sticky": number(sticky["DurationSeconds"], "DurationSeconds", 1, 604_800)}


def weights(actions):
    """Of blue and of green; None for a group that is not listed."""
    listed = dict(actions[-1]["groups"])
    return listed.get(BLUE), listed.get(GREEN)


def xml(name, value):
    """An element: a list becomes `member`s, a dictionary its parts, anything else text."""
    if isinstance(value, dict):
        inner = "".join(xml(part, given) for part, given in value.items())
    elif isinstance(value, list):
        inner = "".join(xml("member", item) for item in value)
    else:
        inner = escape(str(value).lower() if isinstance(value, bool) else str(value))
    return f"<{name}>{inner}</{name}>"


def shown(actions):
    """Actions as they are described."""
    return [_shown(action) for action in actions]


def _shown(action):
    out = {"Type": action["Type"]} | ({"Order": action["Order"]} if "Order" in action else {})
    if action["Type"] != "forward":
        return out | {"AuthenticateOidcConfig": action["oidc"]}
    if len(action["groups"]) == 1:
        out["TargetGroupArn"] = action["groups"][0][0]
    sticky = {"Enabled": bool(action["sticky"])}
    if action["sticky"]:
        sticky["DurationSeconds"] = action["sticky"]
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in action["groups"]]
    return out | {"ForwardConfig": {"TargetGroups": groups, "TargetGroupStickinessConfig": sticky}}

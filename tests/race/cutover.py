"""The cutover as an afternoon's script does it: boto3, which backs off by itself.    cutover.py [rollback]"""

import json
import os
import sys
import time
import urllib.parse
import urllib.request

import boto3
import botocore.config

elb = boto3.client("elbv2", config=botocore.config.Config(retries={"mode": "standard", "max_attempts": 8}))
rule, blue, green = os.environ["RULE"], os.environ["BLUE"], os.environ["GREEN"]
query = 'sum(rate(http_requests_total{color="green",status=~"5.."}[3s])) / sum(rate(http_requests_total{color="green"}[3s]))'


def weigh(of_blue, of_green):
    """Sets both weights, and reads back until they are seen."""
    groups = [{"TargetGroupArn": blue, "Weight": of_blue}, {"TargetGroupArn": green, "Weight": of_green}]
    elb.modify_rule(RuleArn=rule, Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}])
    for _ in range(40):
        forward = elb.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"][-1]["ForwardConfig"]
        if {g["TargetGroupArn"]: g["Weight"] for g in forward["TargetGroups"]} == {blue: of_blue, green: of_green}:
            return
        time.sleep(0.25)
    raise RuntimeError("the weights are not read back")


def bake():
    """Green's share of errors, each second; fails at the first look above 2 %."""
    for _ in range(3):
        time.sleep(1)
        url = f"{os.environ['PROMETHEUS']}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        result = json.load(urllib.request.urlopen(url, timeout=5))["data"]["result"]
        ratio = float(result[0]["value"][1]) if result else 0.0
        print(f"green's errors: {ratio:.1%}")
        if ratio > 0.02:
            raise RuntimeError("green fails")


def rollback():
    try:
        weigh(100, 0)
    except Exception as error:
        sys.exit(f"FAILED: the rollback did not work: {error}")
    print("ROLLED BACK: all users on BLUE")


if sys.argv[1:] == ["rollback"]:
    rollback()
    sys.exit(0)
try:
    urllib.request.urlopen(os.environ["GREEN_URL"] + "/healthz", timeout=5)
    weigh(50, 50)
    bake()
    weigh(0, 100)
    bake()
except BaseException as error:
    print(f"going back: {error}")
    rollback()
    sys.exit(1)
print("DONE: all users on GREEN")

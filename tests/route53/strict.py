"""Stands before moto's Route 53 and keeps the rules of the real one, which moto does not. moto stays the store; everything that
is no record goes to it as it came.

    strict.py PORT MOTO_URL

`rules.py` has the rules, each with where it is known from.

`/_strict/…` is for tests: what is to go wrong, what was asked, what stands there."""

import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as xml
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.dont_write_bytecode = True
from rules import Refused, bare, changed, key, place, read, whole, write

SPACE = "https://route53.amazonaws.com/doc/2013-04-01/"
PAGE = 300
KEY = "AWS4-HMAC-SHA256 Credential=AKIA/20200101/us-east-1/route53/aws4_request, SignedHeaders=host, Signature=x"


class Lost(Exception):
    """The connection ends without an answer."""


# ---- state --------------------------------------------------------------------------------------------------------

class State:
    def __init__(self):
        self.one = threading.Lock()
        self.faults, self.calls, self.late, self.health = [], [], [], {}
        self.changes, self.pending, self.page, self.rate, self.asked, self.bare = {}, 0, PAGE, None, [], False

    def fault(self, action):
        for fault in self.faults:
            if fault["on"] == action:
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return None


STATE = State()


def moto(method, path, body=None, headers=None):
    headers = dict(headers or {"Authorization": KEY})
    # Python would call it a form, and moto would then look for another service.
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "text/xml"
    asked = urllib.request.Request(MOTO + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def stored(zone):
    status, _, body = moto("GET", f"/2013-04-01/hostedzone/{zone}/rrset?maxitems=10000")
    if status == 404:
        raise Refused("NoSuchHostedZone", f"No hosted zone found with ID: {zone}", status=404)
    assert status == 200, body
    found = [read(node) for node in xml.fromstring(body).iter() if bare(node.tag) == "ResourceRecordSet"]
    return {key(record): record for record in found}


def store(zone, before, after):
    """Brings moto to it. Only what differs is sent, and in words that moto takes."""
    changes = [("DELETE", record) for k, record in before.items() if k not in after]
    changes += [("UPSERT", record) for k, record in after.items() if before.get(k) != record]
    if not changes:
        return
    root = xml.Element("ChangeResourceRecordSetsRequest", xmlns=SPACE)
    parent = xml.SubElement(xml.SubElement(root, "ChangeBatch"), "Changes")
    for action, record in changes:
        node = xml.SubElement(parent, "Change")
        xml.SubElement(node, "Action").text = action
        write(node, record)
    status, _, body = moto("POST", f"/2013-04-01/hostedzone/{zone}/rrset/", xml.tostring(root))
    assert status == 200, body


def apply(zone, changes):
    before = stored(zone)
    store(zone, before, changed(before, changes))


def batch(body):
    changes = []
    for node in xml.fromstring(body).iter():
        if bare(node.tag) == "Change":
            parts = {bare(child.tag): child for child in node}
            changes.append((parts["Action"].text, read(parts["ResourceRecordSet"])))
    return changes


# ---- the API ------------------------------------------------------------------------------------------------------

def change(zone, body, fault):
    if fault.get("do") == "late":
        STATE.late.append((zone, body))
        raise Lost
    if fault.get("do") == "lose-before":
        raise Lost
    if not STATE.one.acquire(blocking=False):
        raise Refused("PriorRequestNotComplete", "The request was rejected because Route 53 was still processing a prior request.")
    try:
        if fault.get("do") == "meddle":
            before = stored(zone)
            store(zone, before, {**before, **{key(r): r for r in fault["records"]}})
        apply(zone, batch(body))
    finally:
        STATE.one.release()
    if fault.get("do") == "lose-after":
        raise Lost
    number = f"C{len(STATE.changes):020d}"
    STATE.changes[number] = STATE.pending
    return change_info("ChangeResourceRecordSetsResponse", number, "PENDING")


def get_change(number):
    if number not in STATE.changes:
        raise Refused("NoSuchChange", f"Could not find resource with ID: {number}", status=404)
    STATE.changes[number] -= 1
    return change_info("GetChangeResponse", number, "PENDING" if STATE.changes[number] >= 0 else "INSYNC")


def change_info(root, number, status):
    answer = xml.Element(root, xmlns=SPACE)
    info = xml.SubElement(answer, "ChangeInfo")
    for tag, text in (("Id", f"/change/{number}"), ("Status", status), ("SubmittedAt", "2026-01-01T00:00:00Z")):
        xml.SubElement(info, tag).text = text
    return answer


def listed(zone, query):
    start = None
    if "name" in query:
        start = place({"Name": whole(query["name"]), "Type": query.get("type", ""),
                       "SetIdentifier": query.get("identifier", "")})
    records = sorted(stored(zone).values(), key=place)
    records = [record for record in records if start is None or place(record) >= start]
    most = min(STATE.page, int(query.get("maxitems", PAGE)))
    answer = xml.Element("ListResourceRecordSetsResponse", xmlns=SPACE)
    parent = xml.SubElement(answer, "ResourceRecordSets")
    for record in records[:most]:
        write(parent, record)
    xml.SubElement(answer, "IsTruncated").text = "true" if len(records) > most else "false"
    if len(records) > most:
        following = records[most]
        xml.SubElement(answer, "NextRecordName").text = following["Name"]
        xml.SubElement(answer, "NextRecordType").text = following["Type"]
        if "SetIdentifier" in following:
            xml.SubElement(answer, "NextRecordIdentifier").text = following["SetIdentifier"]
    xml.SubElement(answer, "MaxItems").text = str(most)
    return answer


def observed(well, unwell):
    answer = xml.Element("GetHealthCheckStatusResponse", xmlns=SPACE)
    parent = xml.SubElement(answer, "HealthCheckObservations")
    said = ["Success: HTTP Status Code 200, OK"] * well + ["Failure: connection refused"] * unwell
    for text in said:
        node = xml.SubElement(xml.SubElement(parent, "HealthCheckObservation"), "StatusReport")
        xml.SubElement(node, "Status").text = text
    return answer


def refused(error):
    answer = xml.Element("ErrorResponse", xmlns=SPACE)
    text = ", ".join(error.messages)
    if error.code == "InvalidChangeBatch":
        text = f"[{text}]"
        # As it was said without the envelope of all other errors, until some time in 2024.
        if STATE.bare:
            answer = xml.Element(error.code, xmlns=SPACE)
            messages = xml.SubElement(answer, "Messages")
            for message in error.messages:
                xml.SubElement(messages, "Message").text = message
            xml.SubElement(answer, "RequestId").text = "strict"
            return answer
    node = xml.SubElement(answer, "Error")
    for tag, part in (("Type", "Sender"), ("Code", error.code), ("Message", text)):
        xml.SubElement(node, tag).text = part
    xml.SubElement(answer, "RequestId").text = "strict"
    return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        path, _, text = self.path.partition("?")
        parts = [part for part in path.split("/") if part]
        if parts[:1] == ["_strict"]:
            return self.reply(200, json.dumps(control(parts[1:], body)).encode(), "application/json")
        query = dict(urllib.parse.parse_qsl(text))
        action = named(self.command, parts)
        if action is None:
            passed = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length", "connection")}
            status, headers, said = moto(self.command, self.path, body or None, passed)
            return self.reply(status, said, headers.get("Content-Type", "text/xml"))
        code = "ok"
        try:
            fault = STATE.fault(action) or {}
            if fault.get("do") == "refuse":
                raise Refused(fault["code"], fault.get("message", "refused by the test"), status=fault.get("status", 400))
            if fault.get("do") == "garbage":
                code = "garbage"
                return self.reply(fault.get("status", 200), b"<html>not AWS</html>", "text/html")
            self.often()
            answer = perform(action, parts, query, body, fault)
            self.reply(200, document(answer), "text/xml")
        except Refused as error:
            code = error.code
            self.reply(error.status, document(refused(error)), "text/xml")
        except Lost:
            code = "lost"
            self.close_connection = True
        finally:
            STATE.calls.append({"action": action, "code": code})

    def often(self):
        """Five requests a second for a whole account."""
        if STATE.rate is None:
            return
        now = time.monotonic()
        STATE.asked = [at for at in STATE.asked if now - at < 1] + [now]
        if len(STATE.asked) > STATE.rate:
            raise Refused("Throttling", "Rate exceeded")

    def reply(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-amzn-requestid", f"strict-{len(STATE.calls)}")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer


def document(answer):
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(answer)


def named(method, parts):
    match (method, parts[1:] if parts[:1] == ["2013-04-01"] else []):
        case ("POST", ["hostedzone", _, "rrset"]):
            return "ChangeResourceRecordSets"
        case ("GET", ["hostedzone", _, "rrset"]):
            return "ListResourceRecordSets"
        case ("GET", ["change", _]):
            return "GetChange"
        case ("GET", ["healthcheck", _, "status"]):
            return "GetHealthCheckStatus"
    return None


def perform(action, parts, query, body, fault):
    if action == "ChangeResourceRecordSets":
        return change(parts[2], body, fault)
    if action == "ListResourceRecordSets":
        return listed(parts[2], query)
    if action == "GetChange":
        return get_change(parts[2])
    return observed(*STATE.health.get(parts[2], (16, 0)))


def control(parts, body):
    match parts:
        case ["set"]:
            for name, value in json.loads(body).items():
                setattr(STATE, name, value)
        case ["calls"]:
            return STATE.calls
        case ["records", zone]:
            return sorted(stored(zone).values(), key=place)
        case ["put", zone]:
            before = stored(zone)
            put = {key(record): record for record in json.loads(body)}
            store(zone, before, {**before, **put})
        case ["drop", zone]:
            gone = [tuple(parts) for parts in json.loads(body)]
            before = stored(zone)
            store(zone, before, {k: record for k, record in before.items() if k not in gone})
        case ["land"]:
            said = []
            for zone, late in STATE.late:
                try:
                    apply(zone, batch(late))
                    said.append("ok")
                except Refused as error:
                    said.append(error.messages[0])
            STATE.late.clear()
            return said
    return None


if __name__ == "__main__":
    MOTO = sys.argv[2].rstrip("/")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

"""The rules of Route 53 for records: what may stand side by side, and what a batch makes of it. Decisions alone; `strict.py` asks and
stores.

Each rule with where it is known from (API: Amazon Route 53 API Reference, 2013-04-01, as in botocore's service model; GUIDE: Amazon
Route 53 Developer Guide; a repository and number: an issue where somebody shows what AWS answered):

 1 a batch is done whole or not at all            API ChangeResourceRecordSets, "Change Batches and Transactional Changes"
 2 DELETE needs all the same values               API ChangeResourceRecordSets, "Deleting Resource Record Sets"; the messages:
                                                  kubernetes-sigs/external-dns#732, boto/boto#2887. That a weight alone that differs
                                                  is refused is read from the words "all the same values"
 3 CREATE of what is there is refused, also       aws/aws-sdk-kotlin#1435: a batch of DELETE and CREATE of one record, refused for
   after a DELETE that was refused                both
 4 one record is not deleted or created twice     API ChangeResourceRecordSets ("more than once in a single change batch") of DELETE;
   in a batch                                     kubernetes-sigs/external-dns#4241 for the words; of CREATE it is our guess
 5 a weight is 0 to 255 and has a set identifier  API ResourceRecordSet, Weight and SetIdentifier
 6 a weighted record has one value                API ResourceRecordSet, Weight
 7 one TTL for all weighted records of a group    API ResourceRecordSet, TTL (the real one may take it and change the others)
 8 a CNAME stands alone; nothing simple beside    capitalone/Particle-Cloud-Framework#113, hashicorp/terraform#9732; of what is
   weighted records                               simple API ResourceRecordSet, SetIdentifier
 9 either an alias, or a TTL with values          API ResourceRecordSet, AliasTarget and TTL
10 a change is PENDING first, and then INSYNC     API GetChange
11 one change of a zone at a time                 API, error PriorRequestNotComplete
12 five requests a second for an account          GUIDE, "Quotas"; code Throttling, status 400
13 what is listed is there before it is INSYNC    API ListResourceRecordSets, "Changes That Are PENDING"
14 a listing has the order of the labels from     API ListResourceRecordSets, "Sort order", NextRecordIdentifier
   the right, and pages that go on by identifier
15 the envelope of a refused batch                aws/aws-sdk-kotlin#1433: that of all errors, since some time in 2024, with the
                                                  messages in brackets; before that one of its own, which is played on demand

10 to 15 are kept in `strict.py`."""

import xml.etree.ElementTree as xml

HEAVIEST = 255


class Refused(Exception):
    def __init__(self, code, *messages, status=400):
        super().__init__(code)
        self.code, self.messages, self.status = code, messages, status


# ---- records ------------------------------------------------------------------------------------------------------

def bare(tag):
    return tag.rsplit("}", 1)[-1]


def read(node):
    """A record as a dictionary: only what is set, names whole and in small letters."""
    record = {}
    for child in node:
        tag = bare(child.tag)
        if tag == "ResourceRecords":
            record[tag] = sorted(value.text or "" for one in child for value in one)
        elif len(child):
            record[tag] = {bare(part.tag): part.text or "" for part in child}
        else:
            record[tag] = child.text or ""
    record["Name"] = whole(record["Name"])
    for key in ("TTL", "Weight"):
        if key in record:
            record[key] = int(record[key])
    if "AliasTarget" in record:
        record["AliasTarget"]["DNSName"] = whole(record["AliasTarget"]["DNSName"])
    return record


def write(parent, record):
    node = xml.SubElement(parent, "ResourceRecordSet")
    order = ["Name", "Type", "SetIdentifier", "Weight", "Region", "Failover", "MultiValueAnswer", "TTL",
             "ResourceRecords", "AliasTarget", "HealthCheckId", "TrafficPolicyInstanceId"]
    for key in order:
        if key not in record:
            continue
        child = xml.SubElement(node, key)
        if key == "ResourceRecords":
            for value in record[key]:
                xml.SubElement(xml.SubElement(child, "ResourceRecord"), "Value").text = value
        elif key == "AliasTarget":
            for part in ("HostedZoneId", "DNSName", "EvaluateTargetHealth"):
                xml.SubElement(child, part).text = record[key][part]
        else:
            child.text = str(record[key])


def whole(name):
    return name.rstrip(".").lower() + "."


def key(record):
    return (record["Name"], record["Type"], record.get("SetIdentifier"))


def place(record):
    """Where it stands in a listing: names by their labels from the right."""
    labels = record["Name"].rstrip(".").split(".")
    return (labels[::-1], record["Type"], record.get("SetIdentifier") or "")


def shown(record):
    identifier = record.get("SetIdentifier")
    tail = f", set identifier='{identifier}'" if identifier else ""
    return f"[name='{record['Name']}', type='{record['Type']}'{tail}]"


# ---- rules --------------------------------------------------------------------------------------------------------

def changed(records, changes):
    """What stands there after a batch; refused as a whole, with every reason."""
    after, wrong, touched = dict(records), [], set()
    for action, record in changes:
        check(record)
        there = after.get(key(record))
        if (action, key(record)) in touched:
            name = f"{record['Type']} {record['Name']}"
            raise Refused("InvalidChangeBatch",
                          f"The request contains an invalid set of changes for a resource record set '{name}'")
        touched.add((action, key(record)))
        if action == "DELETE":
            if there is None:
                wrong.append(f"Tried to delete resource record set {shown(record)} but it was not found")
            elif there != record:
                wrong.append(f"Tried to delete resource record set {shown(record)} but the values provided do not match "
                             "the current values")
            else:
                after.pop(key(record))
        else:
            if action == "CREATE" and there is not None:
                wrong.append(f"Tried to create resource record set {shown(record)} but it already exists")
            after[key(record)] = record
    wrong += group(after)
    if wrong:
        raise Refused("InvalidChangeBatch", *wrong)
    return after


def check(record):
    if "Weight" in record and not 0 <= record["Weight"] <= HEAVIEST:
        raise Refused("InvalidInput", f"1 validation error detected: Value '{record['Weight']}' at weight failed to satisfy "
                                      f"constraint: Member must have value between 0 and {HEAVIEST}")
    if "Weight" in record and "SetIdentifier" not in record:
        raise Refused("InvalidInput", "Invalid request: Missing field 'SetIdentifier' in Change")
    if ("AliasTarget" in record) == ("TTL" in record and "ResourceRecords" in record):
        raise Refused("InvalidInput", "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and "
                                      "ResourceRecords], or TrafficPolicyInstanceId]")
    if "Weight" in record and len(record.get("ResourceRecords", [])) > 1:
        raise Refused("InvalidChangeBatch", f"{shown(record)}: a weighted record has one value")
    for value in record.get("ResourceRecords", []):
        octets = value.split(".")
        if record["Type"] == "A" and not (len(octets) == 4 and all(o.isdigit() and int(o) < 256 for o in octets)):
            raise Refused("InvalidChangeBatch", "Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value "
                                                f"is not a valid IPv4 address) encountered with '{value}''")


def group(records):
    """What cannot stand side by side."""
    wrong, names, sets = [], {}, {}
    for record in records.values():
        names.setdefault(record["Name"], set()).add(record["Type"])
        sets.setdefault((record["Name"], record["Type"]), []).append(record)
    for name, kinds in names.items():
        if "CNAME" in kinds and len(kinds) > 1:
            wrong.append(f"RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records with "
                         "the same DNS name")
    for (name, kind), all_ in sets.items():
        if len(all_) > 1 and any("SetIdentifier" not in record for record in all_):
            wrong.append(f"RRSet with DNS name {name}, type {kind}, SetIdentifier null cannot be created as other RRSets exist "
                         "with the same name and type")
        if len({record["TTL"] for record in all_ if "TTL" in record}) > 1:
            wrong.append(f"RRSets with DNS name {name}, type {kind} have several TTLs")
    return wrong

//! The way back without bgctl: a change batch as a file the AWS CLI reads, and the commands that send it and wait for it.

use serde_json::{Value, json};

use super::records::beside;
use super::settings::Settings;
use crate::child::quoted;
use crate::plan::{Color, Split};
use crate::routers::aws::Aws;
use crate::routers::dns::generation::Longer;
use crate::routers::{NativeWayBack, Reading};

/// The word that a hand leaves in the TXT; the command makes it another one each time.
const BY: &str = "by=hand";

/// The file and the commands. They have no condition, since whoever needs them knows why; the TXT they leave holds off a batch of
/// ours that was lost.
pub fn way_back(route: &str, reading: &Reading, settings: &Settings, aws: &Aws) -> NativeWayBack {
    let exact = &reading.exact;
    let longer = exact["longer"]["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok());
    let longer = longer.map(|ttl| Longer { ttl, since: exact["longer"]["since"].as_u64() }.text()).unwrap_or_default();
    let txt = json!({
        "Name": format!("{}.", beside(settings)), "Type": "TXT", "TTL": settings.ttl(),
        "ResourceRecords": [{ "Value": format!("\"gen=0 {BY}{longer}\"") }],
    });
    let records = exact["records"].as_array().cloned().unwrap_or_default();
    let changes: Vec<Value> = records
        .into_iter()
        .chain([txt])
        .map(|record| json!({ "Action": "UPSERT", "ResourceRecordSet": record }))
        .collect();
    let batch = json!({ "Comment": "the way back, by hand", "Changes": changes });
    let name = format!("{route}-batch.json");
    let mut flags = format!(" --region {}", quoted(&aws.region));
    for (flag, value) in [("--profile", &aws.access.profile), ("--endpoint-url", &aws.access.endpoint)] {
        if let Some(value) = value {
            flags += &format!(" {flag} {}", quoted(value));
        }
    }
    let command = format!(
        "id=$(aws route53 change-resource-record-sets --hosted-zone-id {} --query ChangeInfo.Id --output text{flags} \\\n  \
         --change-batch \"$(sed \"s/{BY}/&-$(date +%s)/\" {})\") &&\n\
         aws route53 wait resource-record-sets-changed --id \"$id\"{flags}",
        quoted(&settings.zone),
        quoted(&name)
    );
    NativeWayBack { files: vec![(name, format!("{batch:#}\n"))], command }
}

/// What was read with everybody on one side.
pub fn all_on(stack: Color, reading: &Reading) -> Reading {
    let split = Split::all_on(stack);
    let mut exact = reading.exact.clone();
    for (record, weight) in exact["records"].as_array_mut().into_iter().flatten().zip([split.blue, split.green]) {
        record["Weight"] = json!(weight);
    }
    Reading { split, exact, ..reading.clone() }
}

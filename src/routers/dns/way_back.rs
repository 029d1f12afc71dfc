//! The way back without bgctl: `nsupdate` with the content and the TTL that were there.

use hickory_proto::rr::Name;
use serde_json::Value;

use super::generation::Longer;
use super::record::Place;
use super::server::Server;
use super::settings::Settings;
use crate::routers::NativeWayBack;

/// The command. It has no condition, since whoever needs it knows why; the TXT it leaves holds off an update of ours that was
/// lost. The secret comes from where the runbook has it, and stands in no list of processes.
pub fn way_back(settings: &Settings, place: &Place, primary: &Server, exact: &Value) -> NativeWayBack {
    let Place { name, kind, beside, zone } = place;
    let (algorithm, key, secret) = (settings.key.algorithm.name(), &settings.key.name, settings.key.in_shell());
    let ttl = exact["ttl"].as_u64().unwrap_or(settings.ttl().into());
    let records = exact["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let added = records.iter().filter_map(Value::as_str).map(|record| added(name, ttl, &kind.to_string(), record));
    let longer = exact["longer"]["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok());
    let longer = longer.map(|ttl| Longer { ttl, since: exact["longer"]["since"].as_u64() }.text()).unwrap_or_default();
    let lines: Vec<String> = [
        "nsupdate -v <<END".into(),
        format!("server {}", primary.in_words()),
        format!("key {algorithm}:{key} {secret}"),
        format!("zone {zone}"),
        format!("update delete {name} {kind}"),
    ]
    .into_iter()
    .chain(added)
    .chain([
        format!("update delete {beside} TXT"),
        format!("update add {beside} {ttl} TXT \"gen=0 by=hand-$(date +%s){longer}\""),
        "send".into(),
        "END".into(),
    ])
    .collect();
    NativeWayBack { files: Vec::new(), command: lines.join("\n") }
}

fn added(name: &Name, ttl: u64, kind: &str, record: &str) -> String {
    format!("update add {name} {ttl} {kind} {record}")
}

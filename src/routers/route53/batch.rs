//! A change batch: everything that was found is deleted exactly as it was, and created as it is to be. Route 53 does all of a
//! batch or none, and deletes only what has all the same values, so this is a comparison and a write in one.

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};

use super::records::{Found, beside};
use super::settings::Settings;
use crate::plan::Split;
use crate::routers::dns::generation::Generation;

/// What is to stand there.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As it is called in the record of a run.
    pub action: &'static str,
    /// Where users are to be led; as they are, without one.
    pub weights: Option<Split>,
    /// The TTL of the whole group, where it has one of its own.
    pub ttl: i64,
    pub generation: Generation,
}

/// The two records as they are to be. All the rest of each is as it was found.
fn after(found: &Found, wanted: &Wanted) -> Vec<(ResourceRecordSet, ResourceRecordSet)> {
    let of = |record: &ResourceRecordSet, weight: Option<u32>| {
        let mut after = record.clone();
        after.weight = weight.map(i64::from).or(after.weight);
        after.ttl = after.ttl.map(|_| wanted.ttl);
        (record.clone(), after)
    };
    let mut all = vec![
        of(&found.blue, wanted.weights.map(|weights| weights.blue)),
        of(&found.green, wanted.weights.map(|weights| weights.green)),
    ];
    // A group has one TTL, so the others follow where it changes.
    all.extend(found.others.iter().map(|other| of(other, None)).filter(|(before, after)| before != after));
    all
}

/// The TXT that keeps the last write.
fn txt(settings: &Settings, generation: &Generation) -> Result<ResourceRecordSet, BuildError> {
    let text = ResourceRecord::builder().value(format!("\"{}\"", generation.text())).build()?;
    let (name, ttl) = (format!("{}.", beside(settings)), settings.ttl());
    ResourceRecordSet::builder().name(name).r#type(RrType::Txt).ttl(ttl).resource_records(text).build()
}

fn change(action: ChangeAction, record: ResourceRecordSet) -> Result<Change, BuildError> {
    Change::builder().action(action).resource_record_set(record).build()
}

/// The batch for it, under the condition that everything is as it was found.
pub fn batch(settings: &Settings, found: &Found, wanted: &Wanted) -> Result<ChangeBatch, BuildError> {
    let records = after(found, wanted);
    let (before, after): (Vec<_>, Vec<_>) = records.into_iter().unzip();
    let mut changes = Vec::new();
    for record in before.into_iter().chain(found.beside.clone()) {
        changes.push(change(ChangeAction::Delete, record)?);
    }
    // Where there was no TXT, creating one is the condition that there is none.
    for record in after.into_iter().chain([txt(settings, &wanted.generation)?]) {
        changes.push(change(ChangeAction::Create, record)?);
    }
    let generation = &wanted.generation;
    let comment = format!("bgctl: {} gen={} by={}", wanted.action, generation.number, generation.by);
    ChangeBatch::builder().comment(comment).set_changes(Some(changes)).build()
}

/// The batch that Route 53 has to refuse, whatever stands there: it would create one record twice. Who may not is told so before.
pub fn impossible(settings: &Settings, found: &Found, wanted: &Wanted) -> Result<ChangeBatch, BuildError> {
    let mut batch = batch(settings, found, wanted)?;
    let again = batch.changes.iter().find(|change| change.action == ChangeAction::Create).cloned();
    batch.changes.extend(again);
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routers::route53::records::tests::{listed, settings};

    fn lines(batch: &ChangeBatch) -> Vec<String> {
        let line = |change: &Change| {
            let record = change.resource_record_set().expect("a record");
            let name = record.set_identifier().unwrap_or(record.name());
            let value = record.resource_records().first().map_or("", |value| value.value());
            format!("{} {name} {:?} {:?} {value}", change.action().as_str(), record.weight(), record.ttl())
        };
        batch.changes().iter().map(line).collect()
    }

    #[test]
    fn what_was_found_is_the_condition_of_what_is_written() {
        let found =
            Found::among(&listed(&[("blue", 100, 300), ("green", 0, 300), ("old", 0, 300)]), &settings()).unwrap();
        let generation = Generation::after(None, "ab".into(), None);
        let weights = Some(Split { blue: 90, green: 10 });
        let wanted = Wanted { action: "move", weights, ttl: 300, generation: generation.clone() };
        let written = batch(&settings(), &found, &wanted).unwrap();
        assert_eq!(written.comment(), Some("bgctl: move gen=1 by=ab"));
        assert_eq!(
            lines(&written),
            [
                "DELETE blue Some(100) Some(300) 192.0.2.1",
                "DELETE green Some(0) Some(300) 192.0.2.1",
                "CREATE blue Some(90) Some(300) 192.0.2.1",
                "CREATE green Some(10) Some(300) 192.0.2.1",
                "CREATE _bgctl.bot.example.test. None Some(60) \"gen=1 by=ab\"",
            ]
        );
        // A shorter TTL is one for the whole group, and moves nobody.
        let lower = batch(&settings(), &found, &Wanted { weights: None, ttl: 60, ..wanted.clone() }).unwrap();
        assert_eq!(lines(&lower)[2], "DELETE old Some(0) Some(300) 192.0.2.1");
        assert_eq!(lines(&lower)[5], "CREATE old Some(0) Some(60) 192.0.2.1");
        // What no batch can do is created twice.
        let twice = lines(&impossible(&settings(), &found, &wanted).unwrap());
        assert_eq!(twice.last(), Some(&twice[2]));
        // The TXT of before is a condition as well.
        let beside = txt(&settings(), &generation).unwrap();
        let found = Found { beside: Some(beside), ..found };
        assert_eq!(found.generation(), Some(generation));
        let next = lines(&batch(&settings(), &found, &wanted).unwrap());
        assert_eq!(next[2], "DELETE _bgctl.bot.example.test. None Some(60) \"gen=1 by=ab\"");
    }
}

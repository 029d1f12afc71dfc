//! Target health by real probes, and the deregistration clock.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;

use super::elb::Elb;
use super::elb_model::{Health, Target};
use super::time;

/// How often each target is probed, how long a probe may take, and how many results in a row change a target's health.
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);
const THRESHOLD: u32 = 2;

/// Probes every target in use once, and lets those go whose deregistration delay has passed.
pub async fn probe_all(elb: &Elb, client: &Client) {
    let addresses: Vec<_> = elb.with(|model| {
        for group in &mut model.groups {
            let delay = Duration::from_secs(group.deregistration_delay_s);
            let gone = |target: &Target| target.leaving.is_some_and(|since| time::now().duration_since(since) >= delay);
            group.targets.retain(|target| !gone(target));
        }
        let used = model.groups.iter().filter(|group| model.in_use(&group.arn));
        used.flat_map(|group| &group.targets).map(|target| target.address).collect()
    });
    let mut probes = tokio::task::JoinSet::new();
    for address in addresses {
        let probe = client.get(format!("http://{address}/healthz/ready")).timeout(TIMEOUT).send();
        probes.spawn(async move { (address, probe.await) });
    }
    while let Some(Ok((address, answer))) = probes.join_next().await {
        let seen = match answer {
            Ok(response) if response.status() == 200 => Health::Healthy,
            Ok(_) => Health::Unhealthy("Target.ResponseCodeMismatch"),
            Err(error) if error.is_timeout() => Health::Unhealthy("Target.Timeout"),
            Err(_) => Health::Unhealthy("Target.FailedHealthChecks"),
        };
        elb.with(|model| {
            let targets = model.groups.iter_mut().flat_map(|group| &mut group.targets);
            targets.filter(|target| target.address == address).for_each(|target| note(target, seen));
        });
    }
}

/// A new target is judged by its first probe; after that it takes several in a row.
fn note(target: &mut Target, seen: Health) {
    let same = std::mem::discriminant(&seen) == std::mem::discriminant(&target.health);
    target.streak = if same { 0 } else { target.streak + 1 };
    if same || target.health == Health::Initial || target.streak >= THRESHOLD {
        target.health = seen;
        target.streak = 0;
    }
}

/// Probes for as long as the lab lives.
pub async fn watch(elb: Arc<Elb>, client: Client) {
    loop {
        time::sleep(INTERVAL).await;
        probe_all(&elb, &client).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_turns_after_two_probes_in_a_row() {
        let sick = Health::Unhealthy("Target.FailedHealthChecks");
        let mut target = Target::new("127.0.0.1:1".parse().unwrap());
        let mut after = |seen| {
            note(&mut target, seen);
            target.health
        };
        assert_eq!(after(Health::Healthy), Health::Healthy);
        assert_eq!(after(sick), Health::Healthy);
        assert_eq!(after(Health::Healthy), Health::Healthy);
        assert_eq!(after(sick), Health::Healthy);
        assert_eq!(after(sick), sick);
        assert_eq!(after(Health::Healthy), sick);
        assert_eq!(after(Health::Healthy), Health::Healthy);
    }
}

//! Places of the router `nginx`: a real nginx on this machine, and two of them as a fleet behind a prefix.

use async_trait::async_trait;
use bgctl::plan::Split;
use bgctl::routers::{Access, Kind};
use serde_json::{Value, json};

use crate::common::site::{Bot, Fleet, Site};
use crate::router::{Place, suite};

/// The hosts of a site, and the bots behind them.
struct Hosts {
    fleet: Fleet,
    settings: Value,
    green: Bot,
    _blue: Bot,
}

impl Hosts {
    fn start(hosts: usize) -> Option<Hosts> {
        let (blue, green) = (Bot::start("blue"), Bot::start("green"));
        let fleet = Fleet::start(hosts, blue.address, green.address, "keepalive_timeout 0;")?;
        for site in &fleet.sites {
            // What others have in the file stays there.
            let text = site.read(&site.include());
            site.write(&site.include(), &format!("{text}# of the team\nmap \"\" $of_the_team {{ default 1; }}\n"));
            site.reload();
        }
        let settings = if hosts == 1 { fleet.sites[0].settings() } else { fleet.settings() };
        Some(Hosts { fleet, settings, green, _blue: blue })
    }

    fn sites(&self) -> &[Site] {
        &self.fleet.sites
    }
}

/// The weights that an include gives, as a person reads them.
fn weights(text: &str) -> Option<(u32, u32)> {
    let share = text.lines().find_map(|line| line.trim().strip_suffix("% bot_green;"));
    let green = match share {
        Some(share) => (share.parse::<f64>().ok()? * 10.0).round() as u32,
        None if text.contains("default bot_green;") => 1000,
        None => 0,
    };
    Some((1000 - green, green))
}

#[async_trait(?Send)]
impl Place for Hosts {
    fn settings(&self) -> Value {
        self.settings.clone()
    }

    fn one_call(&self) -> bool {
        self.sites().len() == 1
    }

    fn names_calls(&self) -> bool {
        true
    }

    /// What stands in the files, and for everybody on one side also who answers; nothing, where these do not agree.
    async fn witness(&self) -> (u32, u32) {
        let all: Vec<(u32, u32)> =
            self.sites().iter().filter_map(|site| weights(&site.read(&site.include()))).collect();
        let met = |site: &Site| match all[0].1 {
            0 => site.green(20) == 0,
            1000 => site.green(20) == 20,
            _ => true,
        };
        let agree = all.windows(2).all(|pair| pair[0] == pair[1]) && self.sites().iter().all(met);
        if agree { all[0] } else { (0, 0) }
    }

    fn everything_else(&self) -> Value {
        let rest = |site: &Site| {
            let text = site.read(&site.include());
            let (_, rest) = text.split_once("# of the team").expect("what the team wrote");
            json!([rest.trim(), site.read(&site.path("nginx.conf"))])
        };
        self.sites().iter().map(rest).collect()
    }

    /// By hand, and with a reload: the marks that bgctl left stay where they are.
    fn meddle(&self, _: u32, green: u32) {
        let by_hand = format!("split_clients $request_id $bgctl_web {{\n  {}% bot_green;\n  * bot_blue;\n}}", green);
        for site in self.sites() {
            let text = site.read(&site.include());
            let whole = "map \"\" $bgctl_web {\n    default bot_green;\n}";
            assert!(text.contains(whole), "{text}");
            site.write(&site.include(), &text.replace(whole, &by_hand));
            site.reload();
        }
    }

    fn empty_green(&self) {
        self.green.set_well(false);
    }
}

/// A host that has its include by hand, as a team begins.
pub async fn one_host(kind: &Kind) {
    let Some(hosts) = Hosts::start(1) else { return };
    suite(kind, &hosts).await;
}

/// A fleet that `bgctl prepare` has been to.
pub async fn two_hosts(kind: &Kind) {
    let Some(hosts) = Hosts::start(2) else { return };
    let router = (kind.open)(&hosts.settings(), &Access::default()).expect("good settings");
    let reading = router.read().await.expect("it reads");
    let lack = router.lacks(&reading).expect("no worker says what it runs");
    assert!(lack.line.contains("web-1, web-2"), "{lack:?}");
    assert_eq!(router.complete(&reading).await.expect("it completes").len(), 2);
    let reading = router.read().await.expect("it reads");
    assert_eq!((reading.split, router.lacks(&reading)), (Split::ALL_BLUE, None));
    suite(kind, &hosts).await;
}

//! The parts of the lab, put together: opens every port, starts every task, and waits until users can come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::bot::{Bot, GREEN_VERSION};
use super::dedup::{Store, Way};
use super::dice::Dice;
use super::elb::{ACCESS_KEY, Elb};
use super::elb_model::{Model, NAME};
use super::envelopes::Envelopes;
use super::fault::{Fault, Faults};
use super::ledger::Book;
use super::memory::Memory;
use super::meter::Meter;
use super::prometheus::Prometheus;
use super::proxy::{Proxy, Turn};
use super::server::Door;
use super::slack::Slack;
use super::slack_api::SlackApi;
use super::{Options, targets, time};
use crate::plan::Color;

/// Instances of each colour.
const INSTANCES: usize = 2;
/// From the first user on green to the end of the side that is to fail.
pub const BEFORE_DOWN: Duration = Duration::from_secs(2);

/// Everything that runs.
pub struct Stack {
    pub runtime: Handle,
    pub variables: BTreeMap<String, String>,
    pub environment: Vec<(String, String)>,
    pub slack_url: String,
    pub api: Arc<SlackApi>,
    pub book: Arc<Book>,
    pub source: Source,
}

/// Where events come from.
pub enum Source {
    Http(Arc<Slack>),
    Sockets(Arc<Envelopes>),
}

/// The store both bots share, right or wrong as the faults say.
pub fn store(faults: &Faults) -> Store {
    Store::new(match () {
        () if faults.wanted(Fault::NoDedup) => Way::Off,
        () if faults.wanted(Fault::ClaimOnlyDedup) => Way::ClaimOnly,
        () => Way::ClaimThenDone,
    })
}

/// One colour: its instances, each with the port it is served on.
struct Side {
    instances: Vec<(Arc<Bot>, Door)>,
}

impl Side {
    async fn open(bot: Arc<Bot>, memory: &Memory) -> anyhow::Result<Side> {
        let mut instances = vec![(Arc::clone(&bot), Door::open(memory).await.context("no free port for a bot")?)];
        while instances.len() < INSTANCES {
            instances.push((bot.twin(), Door::open(memory).await.context("no free port for a bot")?));
        }
        Ok(Side { instances })
    }

    fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.instances.iter().map(|(_, door)| door.address).collect()
    }

    fn url(&self) -> String {
        self.instances[0].1.url()
    }

    /// Serves; two seconds after the first user on green all instances end if `down` says so, and the last one is killed
    /// if `killed` does. Work of an instance that ends is done all the same, work of one that is killed is not.
    fn serve(self, down: Fault, killed: Option<Fault>, faults: &Arc<Faults>) {
        let all = faults.wanted(down);
        let one = killed.is_some_and(|fault| faults.wanted(fault));
        let last = self.instances.len() - 1;
        for (number, (bot, door)) in self.instances.into_iter().enumerate() {
            let answering = Arc::clone(&bot);
            let serving: JoinHandle<()> = door.serve(move |parts, body| Arc::clone(&answering).answer(parts, body));
            let ends = all || one && number == last;
            if !ends {
                continue;
            }
            let faults = Arc::clone(faults);
            tokio::spawn(async move {
                faults.first_user_on_green().await;
                time::sleep(BEFORE_DOWN).await;
                if all {
                    bot.down.store(true, Ordering::Relaxed)
                } else {
                    bot.kill()
                }
                serving.abort();
            });
        }
    }
}

/// Where a page or an announcement of a rehearsal goes: whoever is called for real is not.
pub fn webhook(slack: &str) -> String {
    format!("{slack}/services/T0LAB/B0LAB/pages")
}

impl Stack {
    pub async fn start(options: &Options) -> anyhow::Result<Arc<Stack>> {
        let dice = Arc::new(Dice::new(options.seed));
        let faults = Arc::new(Faults::new(options.faults.clone()));
        let (book, store) = (Arc::new(Book::default()), Arc::new(store(&faults)));
        let secret = dice.uuid().replace('-', "");
        let client = crate::https::client()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([])
            .build()
            .context("no HTTP client for the lab")?;

        let bot = |color| Bot::new(color, &secret, &store, &book, &faults, &dice);
        let memory = Arc::new(Memory::open(options.memory.clone()).context("the lab's memory")?);
        let blue = Side::open(bot(Color::Blue), &memory).await?;
        let green = Side::open(bot(Color::Green), &memory).await?;
        let mut doors = Vec::new();
        for name in ["the proxy", "the load balancer", "Prometheus", "Slack"] {
            doors.push(Door::open(&memory).await.with_context(|| format!("no free port for {name}"))?);
        }
        let [proxy_door, elb_door, prometheus_door, slack_door] =
            <[Door; 4]>::try_from(doors).unwrap_or_else(|_| panic!("BUG: four doors were opened"));

        let mut model = Model::new(proxy_door.address.port(), &blue.addresses(), &green.addresses());
        if let Some(forward) = memory.forward() {
            model.rules[0].send_to(forward);
        }
        memory.keep(model.rules[0].forward().expect("BUG: the served rule forwards"));
        let [rule, blue_group, green_group] =
            [&model.rules[0].arn, &model.groups[0].arn, &model.groups[1].arn].map(String::clone);
        let names = [&model.groups[0].name, &model.groups[1].name].map(String::clone);
        let [blue_name, green_name] = names;
        let variables = [
            ("rule_arn", rule),
            ("blue_target_group", blue_group),
            ("green_target_group", green_group),
            ("load_balancer", NAME.to_string()),
            ("listener_port", proxy_door.address.port().to_string()),
            ("blue_target_group_name", blue_name),
            ("green_target_group_name", green_name),
            ("public_url", proxy_door.url()),
            ("blue_url", blue.url()),
            ("green_url", green.url()),
            ("prometheus_url", prometheus_door.url()),
            ("release", GREEN_VERSION.to_string()),
        ];
        let access_secret = dice.uuid();
        let environment = [
            ("AWS_ENDPOINT_URL", elb_door.url()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_string()),
            ("AWS_SECRET_ACCESS_KEY", access_secret.clone()),
            ("AWS_REGION", "us-east-1".to_string()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_string()),
            ("SLACK_SIGNING_SECRET", secret.clone()),
            ("SLACK_WEBHOOK_URL", webhook(&slack_door.url())),
        ];
        let (public_url, slack_url) = (proxy_door.url(), slack_door.url());

        blue.serve(Fault::BlueDown, Some(Fault::BlueKilled), &faults);
        green.serve(Fault::GreenDown, None, &faults);
        let elb = Elb::new(model, &access_secret, Arc::clone(&faults), Arc::clone(&dice), memory);
        let (meter, prometheus) = (Arc::new(Meter::default()), Arc::new(Prometheus::default()));
        let proxy = Arc::new(Proxy {
            elb: Arc::clone(&elb),
            client: client.clone(),
            meter: Arc::clone(&meter),
            faults: Arc::clone(&faults),
            dice: Arc::clone(&dice),
            turn: Mutex::new(Turn::default()),
            spin: AtomicUsize::new(0),
        });
        let slack = Arc::new(Slack {
            client: client.clone(),
            public_url,
            secret,
            book: Arc::clone(&book),
            dice,
            quiet: AtomicBool::new(false),
            sequence: AtomicU64::new(0),
        });
        let api = Arc::new(SlackApi::default());
        {
            let (elb, prometheus, api) = (Arc::clone(&elb), Arc::clone(&prometheus), Arc::clone(&api));
            elb_door.serve(move |parts, body| Arc::clone(&elb).answer(parts, body));
            proxy_door.serve(move |parts, body| Arc::clone(&proxy).answer(parts, body));
            prometheus_door.serve(move |parts, body| Arc::clone(&prometheus).answer(parts, body));
            slack_door.serve(move |parts, body| Arc::clone(&api).answer(parts, body));
        }
        targets::probe_all(&elb, &client).await;
        tokio::spawn(targets::watch(elb, client));
        tokio::spawn(Arc::clone(&slack).send_all(options.events_per_second));
        tokio::spawn(prometheus.watch(meter, faults));
        // Two scrapes are what a rate needs; before that every gate would be unknown.
        time::sleep(time::ms(1_100)).await;
        Ok(Arc::new(Stack {
            runtime: Handle::current(),
            variables: variables.map(|(name, value)| (name.to_string(), value)).into(),
            environment: environment.map(|(name, value)| (name.to_string(), value)).into(),
            slack_url,
            api,
            book,
            source: Source::Http(slack),
        }))
    }

    /// Ends the sending and returns when nothing is under way, or when `limit` has passed.
    pub async fn fall_quiet(&self, limit: Duration) {
        match &self.source {
            Source::Http(slack) => slack.quiet.store(true, Ordering::Relaxed),
            Source::Sockets(envelopes) => envelopes.quiet.store(true, Ordering::Relaxed),
        }
        let _ = time::within(limit, async {
            // The sender may have one more event in hand when it is told.
            time::sleep(time::ms(100)).await;
            while !self.book.quiet() {
                time::sleep(time::ms(20)).await;
            }
        })
        .await;
    }
}

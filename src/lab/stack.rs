//! The parts of the lab, put together: opens every port, starts every task, and waits until users can come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::bot::Bot;
use super::dedup::Store;
use super::dice::Dice;
use super::elb::{ACCESS_KEY, Elb};
use super::elb_model::Model;
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
const BEFORE_DOWN: Duration = Duration::from_secs(2);

/// Everything that runs.
pub struct Stack {
    pub runtime: Handle,
    pub variables: BTreeMap<String, String>,
    pub environment: Vec<(String, String)>,
    pub slack_url: String,
    pub api: Arc<SlackApi>,
    pub book: Arc<Book>,
    slack: Arc<Slack>,
}

/// One colour: its bot, and the ports it is served on.
struct Side {
    bot: Arc<Bot>,
    doors: Vec<Door>,
}

impl Side {
    async fn open(bot: Arc<Bot>, memory: &Memory) -> anyhow::Result<Side> {
        let mut doors = Vec::new();
        for _ in 0..INSTANCES {
            doors.push(Door::open(memory).await.context("no free port for a bot")?);
        }
        Ok(Side { bot, doors })
    }

    fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.doors.iter().map(|door| door.address).collect()
    }

    /// Serves; ends two seconds after the first user on green if the fault says so. Work that was acked ends all the same.
    fn serve(self, fault: Fault, faults: &Arc<Faults>) {
        let serving = self.doors.into_iter().map(|door| {
            let bot = Arc::clone(&self.bot);
            door.serve(move |parts, body| Arc::clone(&bot).answer(parts, body))
        });
        let serving: Vec<JoinHandle<()>> = serving.collect();
        if faults.wanted(fault) {
            let (bot, faults) = (self.bot, Arc::clone(faults));
            tokio::spawn(async move {
                faults.first_user_on_green().await;
                time::sleep(BEFORE_DOWN).await;
                bot.down.store(true, Ordering::Relaxed);
                serving.iter().for_each(JoinHandle::abort);
            });
        }
    }
}

impl Stack {
    pub async fn start(options: &Options) -> anyhow::Result<Arc<Stack>> {
        let dice = Arc::new(Dice::new(options.seed));
        let faults = Arc::new(Faults::new(options.faults.clone()));
        let (book, store) = (Arc::new(Book::default()), Arc::new(Store::default()));
        let secret = dice.uuid().replace('-', "");
        let client = Client::builder()
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
        let variables = [
            ("rule_arn", rule),
            ("blue_target_group", blue_group),
            ("green_target_group", green_group),
            ("public_url", proxy_door.url()),
            ("blue_url", blue.doors[0].url()),
            ("green_url", green.doors[0].url()),
            ("prometheus_url", prometheus_door.url()),
        ];
        let access_secret = dice.uuid();
        let environment = [
            ("AWS_ENDPOINT_URL", elb_door.url()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_string()),
            ("AWS_SECRET_ACCESS_KEY", access_secret.clone()),
            ("AWS_REGION", "us-east-1".to_string()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_string()),
            ("SLACK_SIGNING_SECRET", secret.clone()),
        ];
        let (public_url, slack_url) = (proxy_door.url(), slack_door.url());

        blue.serve(Fault::BlueDown, &faults);
        green.serve(Fault::GreenDown, &faults);
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
            slack,
        }))
    }

    /// Ends the sending and returns when nothing is under way, or when `limit` has passed.
    pub async fn fall_quiet(&self, limit: Duration) {
        self.slack.quiet.store(true, Ordering::Relaxed);
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

//! The lab of a Socket Mode app: two fleets, Slack's gateway between them, and no load balancer, since there is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;

use super::bot::Bot;
use super::dice::Dice;
use super::envelopes::Envelopes;
use super::fault::{Fault, Faults};
use super::ledger::Book;
use super::memory::Memory;
use super::meter::Meter;
use super::prometheus::Prometheus;
use super::server::Door;
use super::slack_api::SlackApi;
use super::socket_bot::SocketBot;
use super::sockets::{Reason, Sockets};
use super::stack::{BEFORE_DOWN, Source, Stack, store, webhook};
use super::{Options, time};
use crate::plan::Color;

/// Instances of each fleet.
const INSTANCES: usize = 3;
/// Between two renewals of sockets, and from the warning to the end of the socket.
const RENEWALS: Duration = Duration::from_millis(300);
const WARNED: Duration = Duration::from_secs(5);
/// The token the lab's app has.
const APP_TOKEN: &str = "xapp-1-lab-A0LAB-socket";

/// Opens every port, starts both fleets, and returns when the live one holds its sockets and events flow.
pub async fn start(options: &Options) -> anyhow::Result<Arc<Stack>> {
    let dice = Arc::new(Dice::new(options.seed));
    let faults = Arc::new(Faults::new(options.faults.clone()));
    let (book, store) = (Arc::new(Book::default()), Arc::new(store(&faults)));
    let secret = dice.uuid().replace('-', "");
    let client = crate::https::client().no_proxy().tls_certs_only([]).build().context("no HTTP client for the lab")?;
    let memory = Arc::new(Memory::open(options.memory.clone()).context("the lab's memory")?);
    let mut doors = Vec::new();
    for name in ["Slack", "Slack's sockets", "Prometheus"] {
        doors.push(Door::open(&memory).await.with_context(|| format!("no free port for {name}"))?);
    }
    let [slack_door, line_door, prometheus_door] =
        <[Door; 3]>::try_from(doors).unwrap_or_else(|_| panic!("BUG: three doors were opened"));
    let (slack_url, prometheus_url) = (slack_door.url(), prometheus_door.url());
    let (sockets, _) = Sockets::serve(line_door.listener()).context("no sockets for Slack")?;
    let api = Arc::new(SlackApi::with_sockets(Arc::clone(&sockets), Arc::clone(&dice)));
    let (meter, prometheus) = (Arc::new(Meter::default()), Arc::new(Prometheus::default()));
    let envelopes = Envelopes::new(Arc::clone(&sockets), Arc::clone(&book), Arc::clone(&dice));

    let mut variables = BTreeMap::from([
        ("prometheus_url".to_string(), prometheus_url),
        ("slack_api_url".to_string(), format!("{slack_url}/api/")),
    ]);
    let before = memory.sockets().unwrap_or_else(|| [[true; INSTANCES], [false; INSTANCES]].concat());
    let mut fleet = Vec::new();
    for color in Color::BOTH {
        for number in 1..=INSTANCES {
            let door = Door::open(&memory).await.context("no free port for a bot")?;
            // Each instance counts its own work: what is left is asked of the one that gives up its socket.
            let bot = Bot::new(color, &secret, &store, &book, &faults, &dice);
            variables.insert(format!("{}_{number}_url", color.name()), door.url());
            let open = before.get(fleet.len()).copied().unwrap_or(false);
            let bot = SocketBot::new(bot, &meter, &client, &format!("{slack_url}/api/"), APP_TOKEN, open);
            fleet.push(Arc::clone(&bot));
            let serving = door.serve(move |parts, body| Arc::clone(&bot).answer(parts, body));
            let one = fleet.len() == 1 && faults.wanted(Fault::BlueKilled);
            let all = faults.wanted(if color == Color::Blue { Fault::BlueDown } else { Fault::GreenDown });
            if one || all {
                let (bot, faults) = (fleet.last().map(Arc::clone), Arc::clone(&faults));
                let bot = bot.expect("BUG: it was put there above");
                tokio::spawn(async move {
                    faults.first_user_on_green().await;
                    time::sleep(BEFORE_DOWN).await;
                    if all {
                        bot.bot.kill()
                    } else {
                        bot.bot.die_at_work().await
                    }
                    serving.abort();
                });
            }
        }
    }
    {
        let (api, prometheus) = (Arc::clone(&api), Arc::clone(&prometheus));
        slack_door.serve(move |parts, body| Arc::clone(&api).answer(parts, body));
        prometheus_door.serve(move |parts, body| Arc::clone(&prometheus).answer(parts, body));
    }
    for bot in &fleet {
        tokio::spawn(Arc::clone(bot).run());
    }
    tokio::spawn(remember(fleet.clone(), memory));
    let held = || fleet.iter().all(|bot| bot.holds() == *bot.wish.borrow());
    time::within(Duration::from_secs(10), async {
        while !held() {
            time::sleep(time::ms(10)).await;
        }
    })
    .await
    .context("the live fleet gets no sockets")?;
    if faults.wanted(Fault::SocketRefresh) {
        tokio::spawn(renew(Arc::clone(&sockets), Arc::clone(&faults)));
    }
    tokio::spawn(Arc::clone(&envelopes).send_all(options.events_per_second));
    tokio::spawn(prometheus.watch(meter, faults));
    // Two scrapes are what a rate needs; before that every gate would be unknown.
    time::sleep(time::ms(1_100)).await;
    let environment = [
        ("SLACK_SIGNING_SECRET", secret),
        ("SLACK_APP_TOKEN", APP_TOKEN.to_string()),
        ("SLACK_WEBHOOK_URL", webhook(&slack_url)),
    ];
    Ok(Arc::new(Stack {
        runtime: Handle::current(),
        variables,
        environment: environment.map(|(name, value)| (name.to_string(), value)).into(),
        slack_url,
        api,
        book,
        source: Source::Sockets(envelopes),
    }))
}

/// Keeps who holds a socket, so that a run whose process was killed finds it so again.
async fn remember(fleet: Vec<Arc<SocketBot>>, memory: Arc<Memory>) {
    let mut wishes: Vec<_> = fleet.iter().map(|bot| bot.wish.subscribe()).collect();
    loop {
        let now: Vec<bool> = wishes.iter_mut().map(|wish| *wish.borrow_and_update()).collect();
        memory.keep_sockets(&now);
        let changed = wishes.iter_mut().map(|wish| Box::pin(wish.changed()));
        let (first, _, _) = futures_util::future::select_all(changed).await;
        if first.is_err() {
            return;
        }
    }
}

/// Slack renews every socket there is when users have reached green.
async fn renew(sockets: Arc<Sockets>, faults: Arc<Faults>) {
    faults.first_user_on_green().await;
    for socket in sockets.open() {
        sockets.tell(socket, Reason::Warning);
        let sockets = Arc::clone(&sockets);
        tokio::spawn(async move {
            time::sleep(WARNED).await;
            sockets.close(socket);
        });
        time::sleep(RENEWALS).await;
    }
}

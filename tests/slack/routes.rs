//! A bot is more than its Slack routes, and its listeners keep their names when they are edited.

use std::process::Command;

use bgctl::plan::Color;
use serde_json::Value;

use super::MACHINE;
use super::common::bots::{Bolt, Bot, Redis, environment, get, interpreter, sources};
use super::common::peer;
use super::deliveries::{BOTH, command, mention, sent, sent_to};

/// The object in an answer, whose body may come in chunks.
fn object(answer: &str) -> &str {
    let (from, to) = (answer.find('{').expect("an object"), answer.rfind('}').expect("an object"));
    &answer[from..=to]
}

/// S6: pages, hooks and other request URLs of the bot answer as without the contract.
#[tokio::test]
async fn routes_of_the_bots_own_are_untouched() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    for (n, bolt) in BOTH.into_iter().enumerate() {
        let knobs = [("BOT", "bot_routes")];
        let Some(bot) = Bot::start(bolt, Color::Blue, "v1", &redis.url(n as u32), &knobs) else { return };
        let install = get(bot.address, "/slack/install");
        assert!(install.starts_with("HTTP/1.1 200") && install.contains("install me"), "{bolt:?}: {install}");
        assert!(get(bot.address, "/hooks/build").starts_with("HTTP/1.1 202"), "{bolt:?}");
        assert!(get(bot.address, "/nowhere").starts_with("HTTP/1.1 404"), "{bolt:?}");
        let version: Value = serde_json::from_str(object(&get(bot.address, "/version"))).unwrap();
        assert_eq!(version, serde_json::json!({ "version": "v1", "color": "blue", "contract": 2 }), "{bolt:?}");
        // A request URL of its own is counted as the others are.
        let answer = sent_to(&bot, "/slack/commands", &command("/standup", "t1"), 1).await;
        assert!(String::from_utf8_lossy(&answer.body).contains("noted by v1"), "{bolt:?}: {answer:?}");
        let metrics = get(bot.address, "/metrics");
        assert!(metrics.contains("slack_retries_total{color=\"blue\"} 1"), "{bolt:?}: {metrics}");
    }
}

/// S7: a listener without a name is told by its number, never by its source.
#[tokio::test]
async fn listeners_keep_their_names_when_their_code_is_edited() {
    let _shared = MACHINE.read().await;
    let Some(redis) = Redis::start(&[]) else { return };
    let mut lists = Vec::new();
    for edited in ["", "1"] {
        let knobs = [("BOT", "bot_routes"), ("EDITED", edited)];
        let Some(bot) = Bot::start(Bolt::JavaScript, Color::Blue, "v1", &redis.url(0), &knobs) else { return };
        lists.push(object(&get(bot.address, "/bgctl/handlers")).to_string());
    }
    let list: Value = serde_json::from_str(&lists[0]).unwrap();
    assert_eq!(list["messages"], serde_json::json!(["", "#2", "hello"]));
    assert_eq!(lists[0], lists[1]);
}

/// Runs some lines of Python beside the bots.
fn python(script: &str) {
    let (Some(python), Some(_)) = (interpreter(Bolt::Python), peer("uvicorn")) else { return };
    let mut command = Command::new(python);
    environment(&mut command, Bolt::Python);
    let done = command.arg("-c").arg(script).current_dir(sources(Bolt::Python)).output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What the contract is given can be tested by itself: the decorated function is the one that was written.
#[test]
fn a_decorated_function_can_be_called_as_it_was_written() {
    python(
        "
import common
app, contract = common.build()

@app.event('reaction_added')
def seen(event, say):
    return say(event['reaction'])

assert seen({'reaction': 'eyes'}, lambda text: f'said {text}') == 'said eyes'
assert seen.__name__ == 'seen'

import asyncio, bot_async

@bot_async.app.command('/later')
async def later(ack):
    return await ack('x')

async def ack(text):
    return f'acked {text}'

assert asyncio.run(later(ack)) == 'acked x'
",
    );
}

/// S6 in Socket Mode: the process may have pages of its own, and answers 404 where it has none.
#[test]
fn a_bot_on_sockets_keeps_its_own_routes_too() {
    python(
        "
import common
from bgctl_socket import Socket
app, contract = common.build()
socket = Socket(app, contract, 'xapp-lab', open=False)

def page(environ, start_response):
    start_response('202 Accepted', [])
    return [b'mine']

def asked(api, path):
    said = []
    body = b''.join(api({'REQUEST_METHOD': 'GET', 'PATH_INFO': path}, lambda status, head: said.append(status)))
    return said[0][:3], body

assert asked(socket.wsgi(page), '/mine') == ('202', b'mine')
assert asked(socket.wsgi(), '/mine')[0] == '404'
assert asked(socket.wsgi(page), '/bgctl/socket')[0] == '200'
assert asked(socket.wsgi(page), '/version')[1].endswith(b'\"contract\": 2}')
",
    );
}

/// The adapter for AWS Lambda of Bolt for JavaScript: claimed and done as over HTTP.
#[tokio::test]
async fn a_javascript_bot_on_lambda_keeps_the_contract() {
    let _shared = MACHINE.read().await;
    let Some(mut redis) = Redis::start(&[]) else { return };
    let store = redis.url(0);
    let Some(blue) = Bot::start(Bolt::JavaScript, Color::Blue, "v1", &store, &[("BOT", "bot_lambda")]) else { return };
    let Some(green) = Bot::start(Bolt::Python, Color::Green, "v2", &store, &[]) else { return };
    let smoked = super::suite::smoke(
        &super::suite::plan_of(&blue, &green),
        &store,
        serde_json::json!({ "stack": "green", "checks": ["version", "slash-command", "exactly-once", "dedup"] }),
    )
    .await;
    assert!(smoked.bad().is_empty(), "{:#?}\n{}", smoked.checks, blue.process.log());
    assert!(get(blue.address, "/metrics").contains("slack_retries_total{color=\"blue\"} 2"), "D5 and D8 repeat");
    // Lambda answers at the end, so Slack can still be told to come again.
    redis.process.kill();
    assert_eq!(sent(&blue, &mention("EvAway"), 0).await.status, 500);
}

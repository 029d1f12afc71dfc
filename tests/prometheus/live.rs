//! `bgctl check --live`: the real program names what a real Prometheus has in the place of what is asked for.

use std::process::Command;

use serde_json::{Value, json};

use super::exporter::Rig;

/// A runbook with one gate.
fn runbook(url: &str, gate: &Value) -> String {
    let document = json!({
        "bgctl": 1, "service": "bot", "environment": "test", "owners": ["a@example.com"],
        "stacks": {
            "blue": { "version": "v1", "url": "http://127.0.0.1:9" }, "green": { "version": "v2", "url": "http://127.0.0.1:10" },
        },
        "routes": { "web": { "alb": {
            "rule": "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b",
            "blue": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-blue/6d0ecf831eec9f09",
            "green": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/bot-green/73e2d6bc24d8a067",
        } } },
        "prometheus": url,
        "gates": { "it": gate },
        "steps": [
            { "id": "shift", "shift": { "route": "web", "green": "100%" } },
            { "id": "bake", "bake": { "for": "5m", "gates": ["it"] } },
        ],
        "rollback": { "owner": "a@example.com", "steps": [{ "id": "back", "shift": { "route": "web", "blue": "100%" } }] },
    });
    // JSON is YAML.
    document.to_string()
}

fn check(url: &str, gate: &Value) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("runbook.yaml");
    std::fs::write(&file, runbook(url, gate)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bgctl"));
    let output = command.args(["check", "--live"]).arg(&file).current_dir(dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

/// Asked while Prometheus has every sample of the last seconds: on a busy machine it misses one now and then, and rightly says
/// something else then.
async fn scraped(rig: &Rig, gate: &Value) -> (Option<i32>, String) {
    let whole = "min(count_over_time(queue_depth[5s]))";
    for _ in 0..10 {
        rig.until_raw(whole, |text| text == "5").await;
        let checked = check(&rig.url, gate);
        if rig.raw(whole).await.is_ok_and(|vector| vector.told() == "5") {
            return checked;
        }
    }
    panic!("Prometheus misses samples all the time");
}

#[tokio::test]
async fn what_does_exist_is_named() {
    let Some(rig) = Rig::shared() else { return };
    let ratio = r#"sum by (color) (rate(http_requests_total{status=~"5.."}[5s])) / sum by (color) (rate(http_requests_total[5s]))"#;
    let share = |text: &str| json!({ "prometheus": text, "max": "1%" });
    let table: Vec<(Value, i32, Vec<&str>)> = vec![
        (share(ratio), 0, vec!["! it", "now: blue 0", "max 1%; green breaks it now"]),
        // G11: blue itself breaks the limit; and green would never have the requests that a pass needs.
        (
            json!({ "prometheus": "max by (color) (queue_depth)", "max": 2 }),
            65,
            vec![
                "now: blue 3 · green 3 · max 2",
                "blue itself breaks this limit (max 2)",
                "a gate's limit does not fit",
            ],
        ),
        // What a counter has had so far breaks no limit of its growth; and each stack is called by its own name.
        (json!({ "prometheus": "sum by (color) (idle_requests_total)", "delta": true, "max": 0 }), 0, vec!["✓ it"]),
        (
            json!({ "prometheus": "max by (color) (broken_gauge)", "max": 5 }),
            0,
            vec!["blue has no number: the value of blue is NaN", "green has no number: the value of green is NaN"],
        ),
        (
            json!({ "prometheus": ratio, "max": "1%", "min_requests": 9_000_000 }),
            65,
            vec!["in `bake` green would have about", "9000000 are needed to pass"],
        ),
        // A name.
        (
            share(&ratio.replace("http_requests_total", "http_request_total")),
            65,
            vec!["no metric `http_request_total`; there is `http_requests_total`"],
        ),
        // A label, and a value of one.
        (
            share(&ratio.replace("status=", "code=")),
            65,
            vec!["no label `code`; it has color, instance, job, pod, status"],
        ),
        (
            json!({ "prometheus": r#"max by (color) (queue_depth{job="slackbot"})"#, "max": 5 }),
            65,
            vec![r#"no series of `queue_depth` has `job="slackbot"` now; `job` is one of bot"#],
        ),
        // The label that tells the stacks apart.
        (
            json!({ "prometheus": "max by (stack) (queue_depth)", "label": "stack", "max": 5 }),
            65,
            vec!["`queue_depth` has no label `stack`; it has color, instance, job"],
        ),
        // A service without errors is no mistake.
        (
            share(&ratio.replace("http_requests", "ok_requests")),
            0,
            vec!["! it", "`status` is one of 200", "✓ it", "every gate can have"],
        ),
        // A histogram that ends too early, and a range of one scrape.
        (
            json!({ "prometheus": "histogram_quantile(0.99, sum by (le, color) (rate(http_seconds_bucket[5s])))", "max": "2s" }),
            65,
            vec!["highest bucket, 1000ms"],
        ),
        (
            json!({ "prometheus": "sum by (color) (rate(http_requests_total[2s]))", "max": 500 }),
            65,
            vec!["the range 2s holds", "at least four are needed"],
        ),
        // What Prometheus itself refuses.
        (
            json!({ "prometheus": "max by (color) (http_requests_total * on (color) http_requests_total)", "max": 1 }),
            65,
            vec!["refused the query (422)"],
        ),
    ];
    for (gate, code, words) in table {
        let (exit, text) = scraped(&rig, &gate).await;
        assert_eq!(exit, Some(code), "{gate}: {text}");
        for word in words {
            assert!(text.contains(word), "{gate}: no `{word}` in {text}");
        }
    }
    let (exit, text) = check("http://127.0.0.1:1", &share(ratio));
    assert_eq!(exit, Some(69), "{text}");
    assert!(text.contains("a source does not answer"), "{text}");
}

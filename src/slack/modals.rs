//! C1 to C5: modals and buttons of one version, sent to the other. Each check sends what one version would have made; beside the
//! samples of the runbook everything goes to reserved names.

use serde_json::Value;

use super::check::Finding;
use super::continuity::Modal;
use super::suite::{Answer, Session, in_time, json, silent};
use super::views::{Press, Submission};
use crate::plan::Color;
use crate::run::Verdict;
use crate::world::Response;

/// One modal on its way to one stack.
struct Sent<'a> {
    modal: &'a Modal,
    to: Color,
    metadata: &'a str,
    view: &'a str,
    hash: &'a str,
}

impl Session<'_> {
    /// C1 and C2: a modal that one version opened, sent in to the other. C2 is the rollback rule: blue must read what green
    /// wrote, or users who are brought back meet a modal that cannot be sent.
    pub(super) async fn modals_from(&self, opened_on: Color) -> Vec<Finding> {
        let check = if opened_on == Color::Blue { "C1" } else { "C2" };
        let mut findings = Vec::new();
        for modal in self.suite.continuity.modals() {
            let (view, metadata) = (self.nonce(), modal.private_metadata.of(opened_on));
            let sent = Sent { modal: &modal, to: opened_on.other(), metadata, view: &view, hash: "1.aaaaaaaa" };
            let what = format!("`{}` opened on {}, sent to {}", modal.callback_id, opened_on.name(), sent.to.name());
            findings.push(match self.submit(&sent).await {
                Err(e) => silent(check, &e),
                Ok(answer) => {
                    let verdict = refusal(&modal, &answer, true);
                    let rule = match (&verdict, opened_on) {
                        (Err(_), Color::Green) => {
                            "; after a rollback users could not send it: blue must read what green wrote"
                        }
                        _ => "",
                    };
                    let (pass, words) = spoken(verdict);
                    in_time(check, pass, &answer, &format!("{what}: {words}{rule}"))
                }
            });
        }
        findings
    }

    /// C3: a button in a message of one version, pressed when the other one answers.
    pub(super) async fn stale_button(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for to in Color::BOTH {
            let from = to.other();
            let value = format!("posted on {}", from.name());
            findings.push(self.pressed(to, "bgctl_smoke", "bgctl_smoke", &value).await);
            for button in &self.suite.continuity.buttons {
                let block = button.block_id.as_ref().unwrap_or(&button.action_id);
                findings.push(self.pressed(to, &button.action_id, block, button.value.of(from)).await);
            }
        }
        findings
    }

    async fn pressed(&self, to: Color, action_id: &str, block_id: &str, value: &str) -> Finding {
        let posted_by = &self.suite.stack(to.other()).version;
        let body = self.suite.from.press(&self.nonce(), &Press { action_id, block_id, value, posted_by });
        let what = format!("button `{action_id}` of a message from {}, pressed on {}", to.other().name(), to.name());
        let request = self.signed(to, &body, self.now());
        // The same with a changed byte must not be acknowledged: a page that says yes to everything answers nobody.
        let mut changed = request.clone();
        changed.body.push(b'+');
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(e) => return silent("C3", &e),
        };
        let (pass, words) = match answer.status {
            200 if !answer.body.is_empty() => (false, "not acknowledged with an empty answer".to_string()),
            200 => match self.send(changed).await {
                Ok(other) if other.status == 200 => {
                    (false, "acknowledged, but so is one that was changed after signing".into())
                }
                Ok(_) => (true, "acknowledged".into()),
                Err(e) => return silent("C3", &e),
            },
            status => (false, unanswered(status)),
        };
        in_time("C3", pass, &answer, &format!("{what}: {words}"))
    }

    /// C4: metadata with a member this version does not know; and none at all, where a version writes none. It is answered, not
    /// crashed on.
    pub(super) async fn private_metadata(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for modal in self.suite.continuity.modals() {
            for to in Color::BOTH {
                let other = modal.private_metadata.of(to.other());
                let newer = match serde_json::from_str::<Value>(other) {
                    Ok(Value::Object(mut fields)) => {
                        fields.insert("bgctl_unknown".into(), true.into());
                        Value::Object(fields).to_string()
                    }
                    _ => other.to_string(),
                };
                let mut written = vec![("the other version's, with an unknown member", newer.as_str())];
                // A bot that always writes some need not read a modal that has none.
                let none = Color::BOTH.into_iter().any(|color| modal.private_metadata.of(color).is_empty());
                written.extend(none.then_some(("none", "")));
                for (name, metadata) in written {
                    let view = self.nonce();
                    let sent = Sent { modal: &modal, to, metadata, view: &view, hash: "1.aaaaaaaa" };
                    let what = format!("`{}` on {} with private_metadata {name}", modal.callback_id, to.name());
                    findings.push(match self.submit(&sent).await {
                        Err(e) => silent("C4", &e),
                        Ok(answer) => {
                            let (pass, words) = spoken(refusal(&modal, &answer, false));
                            in_time("C4", pass, &answer, &format!("{what}: {words}"))
                        }
                    });
                }
            }
        }
        findings
    }

    /// C5: after `response_action: errors` a user sends the same view with the same hash again, perhaps to the other stack;
    /// and a view that was updated meanwhile comes with an older hash. Each is a submission of its own.
    pub(super) async fn hash_conflict(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for modal in self.suite.continuity.modals() {
            let view = self.nonce();
            let mut worst: Option<Finding> = None;
            for (to, opened_on, hash, when) in [
                (Color::Blue, Color::Blue, "2.bbbbbbbb", "first"),
                (Color::Green, Color::Blue, "2.bbbbbbbb", "again with the same hash, as after an error"),
                (Color::Green, Color::Blue, "1.aaaaaaaa", "with the hash from before an update"),
            ] {
                let sent =
                    Sent { modal: &modal, to, metadata: modal.private_metadata.of(opened_on), view: &view, hash };
                let what = format!("`{}` sent to {} {when}", modal.callback_id, to.name());
                let finding = match self.submit(&sent).await {
                    Err(e) => silent("C5", &e),
                    Ok(answer) => {
                        let (pass, mut words) = spoken(refusal(&modal, &answer, true));
                        if answer.status == 200 && answer.body.is_empty() && when != "first" {
                            words = "dropped as if it had been handled, and the user's input with it: tell submissions apart \
                                     by `trigger_id`, not by view and hash"
                                .into();
                        }
                        in_time("C5", pass, &answer, &format!("{what}: {words}"))
                    }
                };
                if finding.verdict != Verdict::Pass {
                    worst.get_or_insert(finding);
                } else if worst.is_none() && when.ends_with("update") {
                    let line = format!("`{}` three times, one hash older: each answered by itself", modal.callback_id);
                    worst = Some(Finding { line, ..finding });
                }
            }
            findings.extend(worst);
        }
        findings
    }

    async fn submit(&self, sent: &Sent<'_>) -> Answer {
        let submission = Submission {
            callback_id: &sent.modal.callback_id,
            private_metadata: sent.metadata,
            values: &sent.modal.values,
            view: sent.view,
            hash: sent.hash,
        };
        let body = self.suite.from.submission(&self.nonce(), &submission);
        self.send(self.signed(sent.to, &body, self.now())).await
    }
}

/// Whether the answer refuses the submission at its block, and not because it cannot be read. With `exact` left out any
/// refusal will do: the answer counts, not its reason.
fn refusal(modal: &Modal, answer: &Response, exact: bool) -> Result<String, String> {
    if answer.status != 200 {
        return Err(unanswered(answer.status));
    }
    let body = json(answer)?;
    if body["response_action"] != "errors" {
        return Err(
            "not refused, so something may have been done: it is answered without `response_action: errors`".into()
        );
    }
    let said = |block: &str| body["errors"][block].as_str();
    if let (true, Some(words)) = (exact, &modal.unreadable) {
        let all = body["errors"].as_object().into_iter().flatten();
        if let Some(text) = all.filter_map(|(_, text)| text.as_str()).find(|text| text.contains(words.as_str())) {
            return Err(format!("it cannot be read there: `{text}`"));
        }
    }
    match said(&modal.refused_at) {
        Some(_) => Ok(format!("refused at `{}`, as declared", modal.refused_at)),
        None if !exact => Ok("answered with errors".into()),
        None => Err(format!("refused, but not at `{}`", modal.refused_at)),
    }
}

fn spoken(verdict: Result<String, String>) -> (bool, String) {
    match verdict {
        Ok(words) => (true, words),
        Err(words) => (false, words),
    }
}

fn unanswered(status: u16) -> String {
    match status {
        404 => "the listener is missing".into(),
        500.. => "it crashes on it".into(),
        401 | 403 => "refused as if Slack had not sent it".into(),
        _ => "not answered".into(),
    }
}

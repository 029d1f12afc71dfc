//! The app-level token, asked what it is. `auth.test` opens no socket and changes nothing.

use serde_json::Value;

use super::SocketMode;
use crate::routers::{Identity, RouterError, Trouble};

/// The only scope that a token for sockets needs.
const SCOPE: &str = "connections:write";
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The app that an app-level token is of: `xapp-1-A0123456789-…`.
pub fn app(token: &str) -> Option<&str> {
    let app = token.strip_prefix("xapp-")?.split('-').nth(1)?;
    let of_slack = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    (app.len() > 4 && app.starts_with('A') && app.chars().all(of_slack)).then_some(app)
}

impl SocketMode {
    /// Whose token it is, and that it can do nothing but open sockets.
    pub async fn app_token(&self) -> Result<Identity, RouterError> {
        if !self.app_token.expose().starts_with("xapp-") {
            return Err(RouterError::new(Trouble::NoCredentials, "the app token is not an app-level token")
                .cure("give `app_token` a token that begins with `xapp-` (Basic Information, App-Level Tokens)"));
        }
        let url = format!("{}/auth.test", self.settings.api.trim_end_matches('/'));
        let unreachable = |why: String| {
            RouterError::new(Trouble::Unreachable, format!("Slack does not say which app the token belongs to: {why}"))
        };
        let request = self.outside.post(url).bearer_auth(self.app_token.expose()).timeout(TIMEOUT);
        let answer = request.send().await.map_err(|e| unreachable(e.without_url().to_string()))?;
        let status = answer.status();
        if status.as_u16() == 429 {
            return Err(RouterError::new(Trouble::Throttled, "Slack throttles `auth.test`"));
        }
        let scopes = answer.headers().get("x-oauth-scopes").and_then(|v| v.to_str().ok()).map(String::from);
        let body = answer.bytes().await.map_err(|e| unreachable(e.without_url().to_string()))?;
        let said: Value = serde_json::from_slice(&body).map_err(|_| unreachable(format!("it answers {status}")))?;
        if said["ok"] != true {
            let error = said["error"].as_str().unwrap_or("no reason");
            return Err(RouterError::new(
                Trouble::NoCredentials,
                format!("Slack does not take the app token: `{error}`"),
            )
            .cure("make a new app-level token with `connections:write`, and give it to the bots too"));
        }
        let app = said["app_id"].as_str().unwrap_or("an app without an id");
        let Some(scopes) = scopes else {
            return Ok(Identity {
                line: format!("app token of {app}, scopes not told by Slack"),
                left: None,
                renews: true,
            });
        };
        let scopes: Vec<&str> = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty()).collect();
        if !scopes.contains(&SCOPE) {
            let what = format!("the app token lacks `{SCOPE}`: no bot can open a socket with it");
            return Err(RouterError::new(Trouble::Denied, what)
                .cure("make an app-level token with `connections:write` alone, and give it to the bots"));
        }
        let more: Vec<&str> = scopes.into_iter().filter(|scope| *scope != SCOPE).collect();
        if !more.is_empty() {
            let what = format!("the app token can do more than open sockets: {}", more.join(", "));
            return Err(RouterError::new(Trouble::Denied, what)
                .cure("make an app-level token with `connections:write` alone, and give it to the bots"));
        }
        Ok(Identity { line: format!("app token of {app}, {SCOPE} alone"), left: None, renews: true })
    }
}

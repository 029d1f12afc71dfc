//! Cutting what is still open to a side without a share: `shutdown sessions server`, sent once to each HAProxy.

use super::Haproxy;
use super::fleet::{said, silent};
use super::socket::lines;
use crate::clock::{Clock, SystemClock};
use crate::plan::Color;
use crate::routers::{Call, Cut, RouterError, Trouble};

impl Haproxy {
    /// Cuts every session to the servers of a side. Nothing is sent where one of them still gets users.
    pub async fn cut_sessions(&self, stack: Color) -> Result<Cut, RouterError> {
        let fleet = self.whole().await?;
        if let Some(serving) = fleet.found.iter().find(|instance| instance.split().weight(stack) > 0) {
            let what =
                format!("still sends users to {stack} at `{}` ({}), so nobody is cut", serving.at, serving.split());
            return Err(self.refuse(Trouble::Invalid, &what));
        }
        let mut cut = Cut { connections: fleet.open(stack), calls: Vec::new() };
        for (place, instance) in self.places.iter().zip(&fleet.found) {
            let names = instance.of(stack).filter(|server| server.connections > 0).map(|server| &server.weighed.name);
            let commands = names.map(|name| format!("shutdown sessions server {}/{name}", self.settings.backend));
            for line in lines(commands.collect()) {
                let begun = SystemClock.elapsed();
                let (code, error) = match place.address.ask(&line).await {
                    Ok(answers) => match answers.into_iter().find(|words| !words.is_empty()) {
                        None => ("ok".into(), None),
                        Some(words) => (words.join(" "), Some(said(&place.at, &words.join(" ")))),
                    },
                    Err(silence) => ("no answer".into(), Some(silent(&place.at, &silence))),
                };
                let (action, time) =
                    (format!("{} at {}", line.join("; "), place.at), SystemClock.elapsed().saturating_sub(begun));
                cut.calls.push(Call { action, request_id: None, code, time });
                if let Some(error) = error {
                    return Err(RouterError { calls: cut.calls, ..error });
                }
            }
        }
        Ok(cut)
    }
}

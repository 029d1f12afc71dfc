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
                let answer = match place.address.ask(&line).await {
                    Ok(answers) => answers
                        .into_iter()
                        .find(|said| !said.is_empty())
                        .map(|said| said.join(" "))
                        .map_or(Ok(()), |words| Err((words.clone(), said(&place.at, &words)))),
                    Err(silence) => Err(("no answer".into(), silent(&place.at, &silence))),
                };
                let code = answer.as_ref().err().map_or("ok".into(), |(code, _)| code.clone());
                let action = format!("{} at {}", line.join("; "), place.at);
                cut.calls.push(Call {
                    action,
                    request_id: None,
                    code,
                    time: SystemClock.elapsed().saturating_sub(begun),
                });
                if let Err((_, error)) = answer {
                    return Err(RouterError { calls: cut.calls, ..error });
                }
            }
        }
        Ok(cut)
    }
}

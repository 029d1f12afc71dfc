//! Which actions are changed: those of a rule, or those of a listener's default rule.

use super::arn::Arn;

/// Which actions are changed.
#[derive(Clone, Debug)]
pub enum Place {
    Rule(Arn),
    /// The default rule of this listener.
    Listener(Arn),
}

impl Place {
    pub fn arn(&self) -> &Arn {
        match self {
            Place::Rule(arn) | Place::Listener(arn) => arn,
        }
    }

    /// The key it stands under in settings.
    pub fn key(&self) -> &'static str {
        match self {
            Place::Rule(_) => "rule",
            Place::Listener(_) => "listener",
        }
    }

    /// One line a person recognises it by.
    pub fn line(&self) -> String {
        let arn = self.arn();
        match self {
            Place::Rule(_) => format!("alb rule {} of `{}` in {}", arn.id(), arn.name(), arn.region),
            Place::Listener(_) if arn.is_network() => {
                format!("nlb listener {} of `{}` in {}", arn.id(), arn.name(), arn.region)
            }
            Place::Listener(_) => {
                format!("alb default rule of listener {} of `{}` in {}", arn.id(), arn.name(), arn.region)
            }
        }
    }
}

//! What was found at the very end of a command: where users are on each route, and how both sides of it are. Sentences about
//! them are made of this and of nothing else; what was not asked or not answered is said as that.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::{Color, Plan, Split};
use crate::users::Side;

/// One route, asked just now.
#[derive(Clone, Debug)]
pub struct Place {
    /// An error: why it is not known.
    pub split: Result<Split, String>,
    pub blue: Side,
    pub green: Side,
}

/// All routes of a plan, by their names.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub routes: BTreeMap<String, Place>,
    /// For a side that is well while the other is not: the commands that send everybody there without bgctl.
    pub to_green: Vec<String>,
    /// How long users may take to follow what was read: resolvers and open flows keep them where they were.
    pub follow: Duration,
}

impl Place {
    fn side(&self, stack: Color) -> &Side {
        match stack {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }
}

impl Findings {
    /// `BLUE 90 GREEN 10`; each route with its name where there are several, and what is not known as that.
    pub fn line(&self, plan: &Plan) -> String {
        let one = |(name, place): (&String, &Place)| {
            let said = match &place.split {
                Ok(split) => match split.only() {
                    Some(stack) => format!("{split} (all on {stack} {})", plan.stack(stack).version),
                    None => split.to_string(),
                },
                Err(why) => {
                    let place = plan.routes.get(name).map_or(name.as_str(), |route| route.line.as_str());
                    format!("unknown at {place} ({why})")
                }
            };
            if self.routes.len() > 1 { format!("{name} {said}") } else { said }
        };
        self.routes.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// The side that all users of all routes were just read on.
    pub fn only(&self) -> Option<Color> {
        let mut sides = self.routes.values().map(|place| place.split.as_ref().ok().and_then(|split| split.only()));
        let first = sides.next()??;
        sides.all(|side| side == Some(first)).then_some(first)
    }

    /// The split of every route was read.
    pub fn known(&self) -> bool {
        !self.routes.is_empty() && self.routes.values().all(|place| place.split.is_ok())
    }

    /// Some route was read with users of a side on it.
    pub fn has_users(&self, stack: Color) -> bool {
        self.routes.values().any(|place| place.split.as_ref().is_ok_and(|split| split.weight(stack) > 0))
    }

    /// A route was read on which neither side has a share.
    pub fn nobody_has_a_share(&self) -> bool {
        let none = |place: &Place| place.split.as_ref().is_ok_and(|split| split.blue == 0 && split.green == 0);
        self.known() && self.routes.values().any(none)
    }

    /// A side over all routes: the worst answer, each with the name of its route where there are several.
    pub fn side(&self, stack: Color) -> Side {
        let of = |pick: fn(&Side) -> Option<&String>| {
            let told = self.routes.iter().filter_map(|(name, place)| {
                let said = pick(place.side(stack))?;
                Some(if self.routes.len() > 1 { format!("{name} {said}") } else { said.clone() })
            });
            told.collect::<Vec<_>>()
        };
        let ailing = of(|side| if let Side::Ailing(said) = side { Some(said) } else { None });
        let unknown = of(|side| if let Side::Unknown(said) = side { Some(said) } else { None });
        let well = of(|side| if let Side::Well(said) = side { Some(said) } else { None });
        match () {
            () if !ailing.is_empty() => Side::Ailing(ailing.join(", ")),
            () if !unknown.is_empty() => Side::Unknown(unknown.join(", ")),
            () if well.is_empty() || well.len() < self.routes.len() => Side::NotAsked,
            () => Side::Well(well.join(", ")),
        }
    }

    /// Green is well and blue is not, as both were just asked.
    pub fn green_is_the_healthy_side(&self) -> Option<(String, String)> {
        match (self.side(Color::Green), self.side(Color::Blue)) {
            (Side::Well(green), Side::Ailing(blue)) => Some((green, blue)),
            _ => None,
        }
    }
}

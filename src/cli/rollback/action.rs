//! What a rollback by a person does: one table over what was read, and nothing else. Pure.
//!
//! Where users are decides whether anybody is moved. The log decides only where that is written down.

use crate::plan::Color;
use crate::users::{Side, Users};

/// The log of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// No run is known.
    None,
    /// Open, and by its own word nobody has moved.
    NeverMoved,
    /// Open, with users moved.
    Split,
    /// Open, on the way back.
    InRollback,
    /// Open, with bytes behind its last seal.
    Torn,
    Ended,
    Halted,
    /// That of another run.
    Alien,
    Unreadable,
}

impl Log {
    /// A run can be gone on with in it.
    pub fn open(self) -> bool {
        matches!(self, Log::NeverMoved | Log::Split | Log::InRollback | Log::Torn)
    }
}

/// Where users are, over all routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    AllBlue,
    /// The same, and a change that was cut off lies there: whoever reloads the place moves users.
    Half,
    Split,
    AllGreen,
    /// No weight on either side of a route.
    Nobody,
    /// A route could not be read.
    Unknown,
}

/// Whether blue can take those who are not on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blue {
    Well,
    Ailing,
    Unknown,
}

/// Who holds the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    None,
    Alive,
    Stopped,
    /// Its name is still there, its lock is not.
    Dead,
}

/// Whether a run can be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Well,
    Full,
    ReadOnly,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    pub log: Log,
    pub live: Live,
    pub blue: Blue,
    pub holder: Holder,
    pub disk: Disk,
}

/// Where it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// There is nothing to write.
    Nothing,
    SameLog,
    OwnRun,
    /// Kept in memory until the end; a person agrees to it.
    Nowhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Everybody is sent to blue; otherwise nobody is moved.
    pub moves: bool,
    pub record: Record,
    /// The process that drives the run is asked first, and replaced when it does not answer.
    pub asks_holder: bool,
}

/// The one table.
pub fn plan_of_action(s: &Situation) -> Action {
    let held = matches!(s.holder, Holder::Alive | Holder::Stopped);
    let open = s.log.open();
    let writes = s.disk == Disk::Well;
    let record = match (s.live, writes) {
        // Whoever drives the run could move them on: it is asked to go back, or loses its lease.
        (Live::AllBlue, true) if held => Record::OwnRun,
        (Live::AllBlue, true) if open => Record::SameLog,
        (Live::AllBlue, _) => Record::Nothing,
        (_, false) => Record::Nowhere,
        (_, true) if open && !held => Record::SameLog,
        (_, true) => Record::OwnRun,
    };
    Action { moves: s.live != Live::AllBlue, record, asks_holder: held && writes }
}

impl Situation {
    /// What is said before anything is asked. Only of what was just read.
    pub fn says(&self) -> Vec<&'static str> {
        let action = plan_of_action(self);
        let mut says = Vec::new();
        says.push(match self.live {
            Live::AllBlue => "All users are on BLUE already.",
            Live::Half => "All users are on BLUE, and a change that was cut off lies there still: it is set right.",
            Live::Split => "Users are not all on BLUE.",
            Live::AllGreen => "All users are on GREEN.",
            Live::Nobody => "A route sends users to neither side.",
            Live::Unknown => "Where users are is not known at every route.",
        });
        if action.moves {
            says.extend(match self.blue {
                Blue::Well => None,
                Blue::Ailing => {
                    Some("BLUE cannot take users on every route now; it is checked again just before each move.")
                }
                Blue::Unknown => Some("The health of BLUE is not known; it is checked again just before each move."),
            });
        }
        says.extend(match self.holder {
            Holder::Alive | Holder::Stopped if action.asks_holder => {
                Some("Another process drives the run: it is asked to roll back, and replaced if it does not.")
            }
            Holder::Alive | Holder::Stopped => {
                Some("Another process drives the run and cannot be asked: it may move users after this.")
            }
            Holder::Dead => Some("The process that drove the run is gone."),
            Holder::None => None,
        });
        says.extend(match self.disk {
            Disk::Well => None,
            Disk::Full => Some("The disk is full: no run can be recorded."),
            Disk::ReadOnly => Some("The folder of runs cannot be written: no run can be recorded."),
            Disk::Gone => Some("The folder of runs is not there: no run can be recorded."),
        });
        says.extend(match action.record {
            Record::Nowhere => Some("The rollback goes on without a record on the disk, if a person confirms it."),
            Record::Nothing => Some("NO CHANGES."),
            Record::SameLog if !action.moves => Some("No users are moved; the open run is ended."),
            Record::OwnRun if !action.moves => Some("No users are moved, and that process will move none."),
            Record::SameLog | Record::OwnRun => None,
        });
        says
    }
}

impl Live {
    pub fn of(users: &Users) -> Live {
        if users.all_on(Color::Blue) {
            return if users.seen.iter().any(|seen| seen.half) { Live::Half } else { Live::AllBlue };
        }
        if !users.all_read() || users.seen.is_empty() {
            return Live::Unknown;
        }
        if users.all_on(Color::Green) {
            return Live::AllGreen;
        }
        let empty = |split: crate::plan::Split| split.blue == 0 && split.green == 0;
        if users.seen.iter().filter_map(|seen| seen.split()).any(empty) { Live::Nobody } else { Live::Split }
    }
}

impl Blue {
    /// Of the routes whose users are still to come to it.
    pub fn of(users: &Users) -> Blue {
        let away = users.seen.iter().filter(|seen| seen.split().and_then(|s| s.only()) != Some(Color::Blue));
        away.fold(Blue::Well, |so_far, seen| match (so_far, seen.side(Color::Blue)) {
            (_, Side::Ailing(_)) | (Blue::Ailing, _) => Blue::Ailing,
            (_, Side::Unknown(_) | Side::NotAsked) | (Blue::Unknown, _) => Blue::Unknown,
            (Blue::Well, Side::Well(_)) => Blue::Well,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::plan::{Capacity, Split};
    use crate::routers::{Health, Reading};
    use crate::users::{Seen, Unread};

    const LOGS: [Log; 9] = [
        Log::None,
        Log::NeverMoved,
        Log::Split,
        Log::InRollback,
        Log::Torn,
        Log::Ended,
        Log::Halted,
        Log::Alien,
        Log::Unreadable,
    ];
    const LIVES: [Live; 6] = [Live::AllBlue, Live::Half, Live::Split, Live::AllGreen, Live::Nobody, Live::Unknown];
    const BLUES: [Blue; 3] = [Blue::Well, Blue::Ailing, Blue::Unknown];
    const HOLDERS: [Holder; 4] = [Holder::None, Holder::Alive, Holder::Stopped, Holder::Dead];
    const DISKS: [Disk; 4] = [Disk::Well, Disk::Full, Disk::ReadOnly, Disk::Gone];

    fn all() -> impl Iterator<Item = Situation> {
        LOGS.into_iter().flat_map(|log| {
            LIVES.into_iter().flat_map(move |live| {
                BLUES.into_iter().flat_map(move |blue| {
                    HOLDERS.into_iter().flat_map(move |holder| {
                        DISKS.into_iter().map(move |disk| Situation { log, live, blue, holder, disk })
                    })
                })
            })
        })
    }

    /// Every row, with what it does and says; rows of one log that do and say the same stand behind each other in one line.
    fn table() -> String {
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        for s in all() {
            let Action { moves, record, asks_holder } = plan_of_action(&s);
            let does = format!(
                "{} · record {record:?} · {}\n    {}",
                if moves { "moves to BLUE" } else { "moves nobody" },
                if asks_holder { "asks the holder, 15 s" } else { "waits for nobody" },
                s.says().join(" ")
            );
            let row = format!("{:?}/{:?}/{:?}/{:?}/{:?}", s.log, s.live, s.blue, s.holder, s.disk);
            match rows.iter_mut().find(|(known, _)| *known == does) {
                Some((_, those)) => those.push(row),
                None => rows.push((does, vec![row])),
            }
        }
        let mut text = String::from("# log/live/blue/holder/disk, grouped by what `bgctl rollback` does and says\n");
        for (does, those) in rows {
            writeln!(text, "\n{does}").unwrap();
            those.chunks(4).for_each(|some| writeln!(text, "  {}", some.join("  ")).unwrap());
        }
        text
    }

    #[test]
    fn every_row_is_pinned() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rollback.txt");
        let found = table();
        if std::fs::read_to_string(path).ok().as_deref() != Some(&found) {
            let new = std::env::temp_dir().join("rollback.txt");
            std::fs::write(&new, &found).unwrap();
            panic!("{path} is not what the table says; what it says is in {}", new.display());
        }
    }

    fn users(routes: &[(Option<Split>, Option<u32>)]) -> Users {
        let seen = routes.iter().enumerate().map(|(n, (split, healthy))| Seen {
            name: format!("r{n}"),
            line: format!("alb rule {n}"),
            reading: split
                .map(|split| Reading { split, exact: serde_json::Value::Null, remarks: Vec::new() })
                .ok_or_else(|| Unread { why: "denied".into(), asked: true }),
            half: false,
            health: [
                Some(healthy.map(|healthy| Health { healthy, total: 2, ..Health::default() }).ok_or("denied".into())),
                None,
            ],
            needs: 2,
            capacity: Capacity::default(),
        });
        Users { seen: seen.collect(), ..Users::default() }
    }

    /// The rows are worth what is read into them: what was not read is unknown, and an ill blue counts where users are to come.
    #[test]
    fn r32_the_row_is_the_one_that_was_read() {
        let (home, half, green) = (Some(Split::ALL_BLUE), Some(Split::of_green(500)), Some(Split::ALL_GREEN));
        let nobody = Some(Split { blue: 0, green: 0 });
        let lives = [
            (vec![home, home], Live::AllBlue),
            (vec![home, half], Live::Split),
            (vec![home, green], Live::Split),
            (vec![green, green], Live::AllGreen),
            (vec![half, nobody], Live::Nobody),
            (vec![home, None], Live::Unknown),
            (vec![half, None], Live::Unknown),
            (vec![green, None], Live::Unknown),
            (vec![nobody, None], Live::Unknown),
            (vec![], Live::Unknown),
        ];
        for (splits, live) in lives {
            let routes: Vec<_> = splits.iter().map(|split| (*split, Some(2))).collect();
            assert_eq!(Live::of(&users(&routes)), live, "{splits:?}");
            // What a change that was cut off has left is set right where users are home; elsewhere they are sent home anyway.
            let mut half = users(&routes);
            half.seen.iter_mut().take(1).for_each(|seen| seen.half = true);
            assert_eq!(Live::of(&half), if live == Live::AllBlue { Live::Half } else { live }, "{splits:?}");
        }
        let (well, ill, dark) = (Some(2), Some(1), None);
        let blues = [
            (vec![(half, well), (green, well)], Blue::Well),
            (vec![(half, well), (green, ill)], Blue::Ailing),
            (vec![(half, ill), (green, dark)], Blue::Ailing),
            (vec![(half, dark), (green, ill)], Blue::Ailing),
            (vec![(half, dark), (green, well)], Blue::Unknown),
            (vec![(None, ill), (green, well)], Blue::Ailing),
            // Whoever is home is not sent anywhere.
            (vec![(home, ill), (half, well)], Blue::Well),
            (vec![(home, dark), (half, well)], Blue::Well),
        ];
        for (routes, blue) in blues {
            assert_eq!(Blue::of(&users(&routes)), blue, "{routes:?}");
        }
    }

    #[test]
    fn no_row_says_what_its_reading_does_not() {
        let mut rows = 0;
        for s in all() {
            let action = plan_of_action(&s);
            let says = s.says().join(" ");
            let has = |words: &str| says.contains(words);
            assert_eq!(has("All users are on BLUE"), matches!(s.live, Live::AllBlue | Live::Half), "{s:?}: {says}");
            assert_eq!(has("All users are on GREEN"), s.live == Live::AllGreen, "{s:?}: {says}");
            assert_eq!(has("is not known at every route"), s.live == Live::Unknown, "{s:?}: {says}");
            assert_eq!(action.moves, s.live != Live::AllBlue, "{s:?}: users who may be elsewhere are sent home");
            assert!(!has("NO CHANGES") || s.live == Live::AllBlue && action.record == Record::Nothing, "{s:?}: {says}");
            assert_eq!(has("BLUE cannot take"), action.moves && s.blue == Blue::Ailing, "{s:?}: {says}");
            assert_eq!(has("without a record"), action.moves && s.disk != Disk::Well, "{s:?}: {says}");
            assert!(action.record != Record::Nowhere || s.disk != Disk::Well, "{s:?}: a log that can be written is");
            let held = matches!(s.holder, Holder::Alive | Holder::Stopped);
            assert_eq!(has("Another process"), held, "{s:?}: {says}");
            assert_eq!(has("is gone"), s.holder == Holder::Dead, "{s:?}: {says}");
            let usable = matches!(s.log, Log::NeverMoved | Log::Split | Log::InRollback | Log::Torn);
            assert!(
                action.record != Record::SameLog || usable && !held,
                "{s:?}: only a log that can be gone on with is"
            );
            rows += 1;
        }
        assert_eq!(rows, 9 * 6 * 3 * 4 * 4);
    }
}

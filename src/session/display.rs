//! Who looks on while a run goes: the reporters, and the terminal where somebody can answer.

use std::rc::Rc;

use crate::people::{Board, View, tty::Keyboard};
use crate::report::{About, Chorus, GoingBack, Jsonl, Live, Plain, Reporter};
use crate::shell::{Context, Output};

/// Whoever looks on: reporters, and the terminal where somebody can answer.
pub struct Display {
    pub chorus: Chorus,
    pub live: Option<Live>,
    pub board: Board,
    pub keyboard: Option<Rc<Keyboard>>,
    going_back: GoingBack,
}

impl Display {
    pub fn new(cx: &Context, about: About) -> Self {
        let keyboard = if cx.style.interactive { keyboard() } else { None };
        let going_back = GoingBack::default();
        let mut voices: Vec<Box<dyn Reporter>> = vec![Box::new(going_back.clone())];
        let mut live = None;
        let err = cx.style.err;
        let board = if cx.style.live {
            let view = Live::new(cx.screen(), about.clone(), err, cx.width(), cx.clock.clone(), keyboard.is_some());
            live = Some(view.clone());
            voices.push(Box::new(view.clone()));
            let say = view.clone();
            // The panel is laid out in columns, where a secret could be cut in two before the stream's own mask sees it.
            let (asked, said) = (cx.known.clone(), cx.known.clone());
            let panel = move |lines: &[String]| {
                let secrets = asked.secrets();
                view.panel(&lines.iter().map(|line| secrets.mask(line)).collect::<Vec<_>>());
            };
            Board::new(panel, move |line| say.say(&said.mask(line)))
        } else {
            let with = if keyboard.is_some() { "somebody at the keyboard" } else { "no input" };
            let plain = Plain::new(cx.screen(), about.clone(), err, cx.style.viewer, cx.clock.clone(), with);
            voices.push(Box::new(plain));
            Board::on(cx.screen())
        };
        if cx.output == Output::Jsonl {
            voices.push(Box::new(Jsonl::new(cx.stdout(), about.run.clone())));
        }
        Display { chorus: Chorus::new(about, voices), live, board, keyboard, going_back }
    }

    /// What the operator sees of the run.
    pub fn view(&self) -> impl View + use<> {
        Glance { live: self.live.clone(), going_back: self.going_back.clone() }
    }
}

struct Glance {
    live: Option<Live>,
    going_back: GoingBack,
}

impl View for Glance {
    fn status(&self) {
        self.live.iter().for_each(Live::status);
    }

    fn going_back(&self) -> Option<String> {
        self.going_back.words()
    }
}

/// The terminal's keyboard, if there is a terminal.
pub fn keyboard() -> Option<Rc<Keyboard>> {
    let tty = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    Keyboard::open(tty.into()).ok()
}

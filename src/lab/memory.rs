//! What a lab remembers of itself in a file, so that a run whose process was killed can go on in the same world: the real
//! provider would not have forgotten its weights either.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::elb_rules::Forward;
use super::locked;

/// The ports in the order they were opened, and where users go: the weights of the rule that is served, or who holds sockets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct World {
    ports: Vec<u16>,
    weights: Vec<(String, u32)>,
    sticky_s: Option<u32>,
    /// Which instances of a Socket Mode app hold a socket, blue's first.
    #[serde(default)]
    sockets: Vec<bool>,
}

/// The file, and what is in it. Without a file nothing is remembered.
#[derive(Debug, Default)]
pub struct Memory {
    file: Option<PathBuf>,
    world: Mutex<World>,
    /// The ports of the lab that was here before, still to be opened.
    before: Mutex<std::collections::VecDeque<u16>>,
}

impl Memory {
    /// Remembers the lab that was here before, if there was one.
    pub fn open(file: Option<PathBuf>) -> anyhow::Result<Memory> {
        let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let Some(text) = text else { return Ok(Memory { file, ..Memory::default() }) };
        let world: World = serde_json::from_str(&text)?;
        let before = Mutex::new(world.ports.iter().copied().collect());
        Ok(Memory { file, world: Mutex::new(World { ports: Vec::new(), ..world }), before })
    }

    /// The port the next door had before; 0, any, in a new lab.
    pub fn next_port(&self) -> u16 {
        locked(&self.before).pop_front().unwrap_or(0)
    }

    pub fn opened(&self, port: u16) {
        locked(&self.world).ports.push(port);
    }

    /// Where the rule sent to before.
    pub fn forward(&self) -> Option<Forward> {
        let world = locked(&self.world);
        (!world.weights.is_empty()).then(|| Forward { groups: world.weights.clone(), sticky_s: world.sticky_s })
    }

    /// Which instances held a socket before.
    pub fn sockets(&self) -> Option<Vec<bool>> {
        let world = locked(&self.world);
        (!world.sockets.is_empty()).then(|| world.sockets.clone())
    }

    /// Keeps which instances hold a socket.
    pub fn keep_sockets(&self, sockets: &[bool]) {
        let mut world = locked(&self.world);
        world.sockets = sockets.to_vec();
        self.write(&world);
    }

    /// Keeps the weights, from the moment the API has taken them.
    pub fn keep(&self, forward: &Forward) {
        let mut world = locked(&self.world);
        world.weights = forward.groups.clone();
        world.sticky_s = forward.sticky_s;
        self.write(&world);
    }

    fn write(&self, world: &World) {
        let Some(file) = &self.file else { return };
        let text = serde_json::to_string(world).expect("BUG: a lab's memory is plain data");
        let draft = file.with_extension("tmp");
        // A lab that cannot remember is a lab all the same: only a killed run could tell.
        let private = |folder| DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let _ = file.parent().map_or(Ok(()), private);
        let _ = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, file));
    }
}

//! Programs of the simulated world: `ready` and `unready` change what a load balancer thinks of a stack, all others leave a mark.

use std::rc::Rc;

use async_trait::async_trait;

use super::Sim;
use crate::world::{self, Processes};

pub(super) struct SimProcesses {
    pub(super) sim: Rc<Sim>,
}

#[async_trait(?Send)]
impl Processes for SimProcesses {
    async fn run(
        &self,
        command: &world::Command,
        _output: &mut dyn for<'a> FnMut(world::Stream, &'a [u8]),
    ) -> std::io::Result<world::Exit> {
        self.sim.clock.boundary().await;
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let status = match words.as_slice() {
            ["ready", _] if self.sim.scenario.ready_fails => 1,
            ["ready", stack] => {
                self.sim.taken.borrow_mut().remove(*stack);
                0
            }
            ["unready", stack] => {
                self.sim.taken.borrow_mut().insert((*stack).into());
                0
            }
            _ => {
                self.sim.effects.borrow_mut().push(words.join(" "));
                0
            }
        };
        self.sim.clock.boundary().await;
        Ok(world::Exit::Status(status))
    }
}

//! The programs a run starts, as a step may ask for them.

use std::io;

use async_trait::async_trait;

use crate::child::Children;
use crate::world::{Command, Exit, Processes, Stream};

#[async_trait(?Send)]
impl Processes for Children {
    async fn run(&self, command: &Command, output: &mut dyn for<'a> FnMut(Stream, &'a [u8])) -> io::Result<Exit> {
        Children::run(self, command, output).await
    }
}

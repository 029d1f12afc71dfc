//! Between a process of ours and the shell that started it: environment, folders, streams, the flags every command takes, and
//! exit codes. Read once at the start and handed on. Nothing of runs or users is known here.

mod context;
mod crash;
mod exit;
mod flags;
mod style;

pub use context::{Context, refusal_json};
pub use crash::leaves_no_core;
pub use exit::Exit;
pub use flags::Global;
pub use style::{Output, Style, When, ci};

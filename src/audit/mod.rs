//! The log as somebody else reads it: is it whole, who signed it, were the rules of its run kept?
//!
//! [`verify()`] gives the verdict; [`redact`] makes a copy that may be published; [`anchors`] keep heads of logs where their
//! owner cannot change them; [`exports`] say a log in the words of other tools. Logs are only read here; what an anchor
//! keeps is the one thing written, and whether a run may go on without it is for the session.

pub mod anchors;
mod approval;
pub mod exports;
mod redact;
mod request;
mod rules;
mod script;
mod shape;
mod verify;
mod witness;

pub use approval::Approved;
pub use redact::{BESIDE, Copy, CopyError, Publishing, Redaction, copy, verify_copy};
pub use rules::Breach;
pub use script::SCRIPT;
pub use verify::{Owner, Report, Verdict, verify};

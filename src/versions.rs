//! The version that each stack says it runs: what a plan is made from where the runbook leaves it open, and what is held against
//! the plan before anybody is moved. It asks, and decides nothing.

use std::time::Duration;

use crate::plan::{Color, Plan, Stack, VersionAt};
use crate::world::{Request, World, address};

/// The longest a stack may take to say it.
const WITHIN: Duration = Duration::from_secs(5);

/// The longest version that is taken for one, in bytes.
const LONGEST: usize = 200;

/// What both stacks say at this moment, blue's first; an error is a fragment: `http://…/version answers 503`.
pub async fn answered(plan: &Plan, at: &VersionAt, world: &World) -> [Result<String, String>; 2] {
    let (blue, green) = tokio::join!(one(&plan.blue, at, world), one(&plan.green, at, world));
    [blue, green]
}

/// What one stack says, as [`answered`] gives it.
pub async fn of(color: Color, stack: &Stack, at: &VersionAt, world: &World) -> Result<String, String> {
    one(stack, at, world).await.map_err(|why| format!("{color}: {why}"))
}

async fn one(stack: &Stack, at: &VersionAt, world: &World) -> Result<String, String> {
    let url = address(&stack.url, &at.path);
    // A stack may be asked at the address of a load balancer: a connection of its own is the stack's of now.
    let request = Request { fresh: true, ..Request::to_stack(stack, &at.path, WITHIN, &world.secrets) };
    let answer = world.web.exchange(request).await.map_err(|error| world.secrets.mask(&error.what))?;
    if !(200..300).contains(&answer.status) {
        return Err(format!("{url} answers {}", answer.status));
    }
    let Some(version) = answer.header(&at.header) else {
        return Err(format!("{url} answers without the header `{}`", at.header));
    };
    let readable = !version.is_empty() && version.len() <= LONGEST && version.chars().all(|c| c.is_ascii_graphic());
    match readable {
        true => Ok(version.into()),
        false => Err(format!("{url} answers with `{}`, and what it says is no version", at.header)),
    }
}

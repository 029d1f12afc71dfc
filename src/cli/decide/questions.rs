//! The questions, at a terminal. None has a deadline and none is about live users, so dialoguer asks them.
//!
//! Their words are those of the flags and of the file: nobody has to learn two.

use std::io;

use clap::{Args as _, ValueEnum};
use dialoguer::{Confirm, Input, Select};

use super::answers::Answers;
use crate::scalar::Duration;

/// Asks for what is still missing, in the order of the flags. Esc or Ctrl-C ends it.
pub fn ask(answers: &mut Answers) -> io::Result<()> {
    let texts = clap::Command::new("context");
    let texts = Answers::augment_args(texts);
    let text = |name: &str| -> String {
        let help = texts.get_arguments().find(|a| a.get_id() == name).and_then(|a| a.get_help());
        help.map_or_else(|| name.to_string(), ToString::to_string)
    };
    choose(&text("runs_on"), &mut answers.runs_on)?;
    answers.follow();
    choose(&text("ingress"), &mut answers.ingress)?;
    choose(&text("outbound"), &mut answers.outbound)?;
    choose(&text("distribution"), &mut answers.distribution)?;
    answers.follow();
    choose(&text("distribution_later"), &mut answers.distribution_later)?;
    number(&text("processes"), &mut answers.processes, 1..=10_000)?;
    if answers.autoscaling.is_none() {
        let asked = Confirm::new().with_prompt("Does their number follow the load?").interact();
        answers.autoscaling = Some(asked.map_err(stopped)?);
    }
    number(&text("peak_per_second"), &mut answers.peak_per_second, 0..=100_000)?;
    choose(&text("latency"), &mut answers.latency)?;
    if answers.cold_start.is_none() {
        let check = |typed: &String| Duration::parse(typed).map(drop);
        let asked = Input::<String>::new().with_prompt(text("cold_start")).validate_with(check).interact_text();
        answers.cold_start = Some(Duration::parse(&asked.map_err(stopped)?).map_err(io::Error::other)?);
    }
    choose(&text("framework"), &mut answers.framework)?;
    choose(&text("front"), &mut answers.front)
}

fn choose<T: ValueEnum + Copy>(question: &str, answer: &mut Option<T>) -> io::Result<()> {
    if answer.is_some() {
        return Ok(());
    }
    let values: Vec<_> = T::value_variants().iter().filter_map(|v| Some((*v, v.to_possible_value()?))).collect();
    let items: Vec<String> = values
        .iter()
        .map(|(_, value)| match value.get_help() {
            Some(help) => format!("{:<20} {help}", value.get_name()),
            None => value.get_name().to_string(),
        })
        .collect();
    let at = Select::new().with_prompt(question).items(&items).default(0).interact_opt().map_err(stopped)?;
    let at = at.ok_or_else(|| io::Error::from(io::ErrorKind::Interrupted))?;
    *answer = Some(values[at].0);
    Ok(())
}

fn number(question: &str, answer: &mut Option<u32>, range: std::ops::RangeInclusive<u32>) -> io::Result<()> {
    if answer.is_some() {
        return Ok(());
    }
    let check = |typed: &u32| match range.contains(typed) {
        true => Ok(()),
        false => Err(format!("{} to {}", range.start(), range.end())),
    };
    *answer = Some(Input::new().with_prompt(question).validate_with(check).interact_text().map_err(stopped)?);
    Ok(())
}

fn stopped(error: dialoguer::Error) -> io::Error {
    match error {
        dialoguer::Error::IO(error) => error,
    }
}

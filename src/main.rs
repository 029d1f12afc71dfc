//! `bgctl`; everything is in the library. Here the commands are handed the lab, which nothing else of them knows.

fn main() -> std::process::ExitCode {
    bgctl::cli::main(std::rc::Rc::new(bgctl::lab::Labs))
}

//! `bgctl`; everything is in the library.

fn main() -> std::process::ExitCode {
    bgctl::cli::main()
}

//! The command line: one module for each command.

mod pretrain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Personalize a text-to-image model for several subjects at once, without mixing them up (MuDI, NeurIPS 2024).
#[derive(Parser)]
#[command(name = "mudi", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pretrain(pretrain::Arguments),
}

/// What a command fails with; its text is shown to the user.
type Failure = Box<dyn std::error::Error>;

/// Exit code of a failure that the user can mend: a file, a flag, the disk.
const BAD_INPUT: u8 = 2;

pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Pretrain(arguments) => pretrain::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mudi: {failure}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

//! MuDI Studio: personalize a text-to-image model for several subjects without mixing them up.

mod allocator;
mod cli;

fn main() -> std::process::ExitCode {
    allocator::keep_freed_memory();
    cli::main()
}

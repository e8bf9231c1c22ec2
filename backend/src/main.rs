//! MuDI Studio: personalize a text-to-image model for several subjects without mixing them up.

mod cli;

fn main() -> std::process::ExitCode {
    mudi::allocator::keep_freed_memory();
    cli::main()
}

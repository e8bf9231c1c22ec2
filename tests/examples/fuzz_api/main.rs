//! Has schemathesis send what fits the OpenAPI document, and what does not, to a server with something in every table, and
//! looks whether anything is lost. `cargo xtask fuzz-api` calls it with the folder of schemathesis' programs and the seconds
//! that it may take.

mod contents;
mod parts;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use stage::Stage;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let programs = words.next().map(PathBuf::from).expect("the folder of schemathesis' programs");
    let seconds: f64 = words.next().and_then(|word| word.parse().ok()).expect("the seconds that it may take");
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Stage::set(folder.path(), programs);
    let mut faults = Vec::new();
    for part in &parts::PARTS {
        faults.extend(parts::play(&stage, part, (seconds * part.share).round() as u64));
    }
    parts::look_again(&stage);
    if faults.is_empty() {
        println!("\nNo answer was a fault of the server, and nothing is lost.");
        return ExitCode::SUCCESS;
    }
    println!("\n{}", faults.join("\n"));
    ExitCode::FAILURE
}

//! Encodes texts with the tokenizer of a folder: a JSON string a line in, a JSON list of ids a line out.
//!
//! `cargo run -p mudi-tests --example tokenize -- FOLDER < texts`

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

use mudi_diffusion::tokenizer::Tokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the tokenizer's folder")?);
    let text = |name: &str| std::fs::read_to_string(folder.join(name));
    let config = text("tokenizer_config.json")?;
    let tokenizer = Tokenizer::from_json(&text("vocab.json")?, &text("merges.txt")?, Some(&config))?;
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        writeln!(out, "{}", serde_json::to_string(&tokenizer.encode(&text)?.ids)?)?;
    }
    Ok(())
}

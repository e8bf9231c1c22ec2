//! Writes inputs to begin with to `corpus/<target>`, where cargo-fuzz looks for them.

use std::path::Path;

use mudi_tests::outside::{TARGETS, seeds::seeds};

fn main() -> std::io::Result<()> {
    for (name, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        std::fs::create_dir_all(&folder)?;
        for (index, seed) in seeds(name).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{index}")), seed)?;
        }
        println!("{}", folder.display());
    }
    Ok(())
}

//! A whole project as one file: to keep it, to carry it to another server, to copy it.
//!
//! A zip of `project.json` (the project's rows), `files/` (photos, masks and images, by the digests of their bytes) and
//! `runs/<run>/` (what training wrote). Links and passwords are not in it. A project that is unpacked gets new ids, so it can
//! stand beside the one that it was made from.

mod check;
mod pack;
mod unpack;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(in crate::server) use pack::pack;
pub(in crate::server) use unpack::unpack;

use crate::server::store::ProjectRows;

/// The name of the text in the archive.
const MANIFEST: &str = "project.json";
/// What an archive says it is.
const FORMAT: &str = "mudi-project";
/// What this program writes, and the newest that it reads. Since version 2 jobs say how many pictures they have made,
/// since version 3 photos say their numbers.
const VERSION: u32 = 3;
/// The folder of photos, masks and images.
const FILES: &str = "files";
/// The folder of runs.
const RUNS: &str = "runs";

/// `project.json`.
#[derive(Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    name: String,
    rows: ProjectRows,
    /// Files of the runs.
    trained: Vec<Trained>,
}

/// What every version's `project.json` has.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// A file of a run.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trained {
    run: Uuid,
    /// Its path below what training wrote, with `/`.
    path: String,
}

impl Trained {
    /// Its name in the archive.
    fn name(&self) -> String {
        format!("{RUNS}/{}/{}", self.run, self.path)
    }
}

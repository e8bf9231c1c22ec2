//! Whom schemathesis plays, and what is looked at after each part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mudi_tests::served::{Client, Server, text};
use serde_json::Value;

use crate::contents::{broken, changed, contents};
use crate::stage::{Stage, behind_the_proxy, items};

/// What every answer is held against. Left out are checks of what a document's types cannot say: that whatever fits them is
/// accepted (a name may be taken), and that each route asks for a session (on this machine none is needed).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,unsupported_method";

/// Somebody who sends requests.
pub(crate) struct Part {
    name: &'static str,
    /// The access of the link by which they came; the owner's on this machine needs none.
    link: Option<&'static str>,
    /// Whether they may change the project.
    changes: bool,
    /// The share of the time.
    pub(crate) share: f64,
}

/// Everybody. The viewer is first, when no job changes the project.
pub(crate) const PARTS: [Part; 3] = [
    Part { name: "a viewer", link: Some("viewer"), changes: false, share: 0.15 },
    Part { name: "an editor", link: Some("editor"), changes: true, share: 0.25 },
    Part { name: "the owner", link: None, changes: true, share: 0.6 },
];

/// Plays a part for so many seconds; what was wrong.
pub(crate) fn play(stage: &Stage, part: &Part, seconds: u64) -> Vec<String> {
    println!("\nAs {}, for {seconds} s:", part.name);
    // At a proxy's back the limits are by the address that it names, which the fuzzer changes each time.
    let server = stage.start(if part.link.is_some() { &["--proxy", "true"] } else { &[] });
    let (owner, cookie) = match part.link {
        Some(_) => {
            let cookie = stage.owner(&server);
            (behind_the_proxy(&server, &cookie), cookie)
        }
        None => (server.client(), String::new()),
    };
    let caller = part.link.map(|access| stage.guest(&server, &owner, access)).unwrap_or_default();
    let look = |project: &str| contents(&owner, project);
    let (untouched, before) = (look(&stage.untouched), look(&stage.project));

    let begin = Instant::now();
    let fine = schemathesis(stage, &server, [&cookie, &caller], seconds);
    let took = begin.elapsed().as_secs_f64();

    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(format!("As {}: {text}.", part.name));
    if !fine {
        fault("schemathesis has found what it shows above".to_owned());
    }
    if owner.get("/healthz").status != 200 {
        fault("the server is not well afterwards".to_owned());
    }
    for failed in told(&owner, took) {
        fault(failed);
    }
    let after = look(&stage.project);
    let lost = if part.changes { broken(&before, &after) } else { changed(&before, &after) };
    for place in changed(&untouched, &look(&stage.untouched)).into_iter().chain(lost) {
        fault(format!("{place} is not what it was"));
    }
    let status = server.stop();
    if !status.success() {
        fault(format!("the server has ended with {status}"));
    }
    faults.extend(sound(stage));
    faults
}

/// Whether schemathesis has nothing to say against the server's answers.
fn schemathesis(stage: &Stage, server: &Server, [owner, caller]: [&str; 2], seconds: u64) -> bool {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let address = format!("http://{}", server.address);
    let mut run = Command::new(stage.programs.join("schemathesis"));
    run.arg("run").arg(description());
    run.args(["--url", &address, "--checks", CHECKS, "--max-time", &seconds.to_string()]);
    // Two at a time, as people do who share a project.
    run.args(["--workers", "2"]);
    // Jobs are many; what schemathesis thinks of slow answers and of what it could not reach is not asked.
    run.args([
        "--request-timeout",
        "60",
        "--continue-on-failure",
        "--suppress-health-check",
        "all",
        "--warnings",
        "off",
    ]);
    // The cookie is the part's own, and nobody's on this machine.
    run.args(["--generation-with-security-parameters", "false"]);
    run.args(["--no-color", "--generation-database", "none", "--max-failures", "200"]);
    run.current_dir(&stage.folder)
        .env("PYTHONPATH", tests.join("api"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("MUDI_FUZZ_SERVER", &address)
        .env("MUDI_FUZZ_OWNER", owner)
        .env("MUDI_FUZZ_CALLER", caller)
        .env("MUDI_FUZZ_PROJECT", &stage.project)
        .env("MUDI_FUZZ_UNTOUCHED", &stage.untouched)
        .env("MUDI_FUZZ_FILES", stage.files());
    run.status().expect("schemathesis starts").success()
}

/// Prints what the server has counted; operations that have failed.
fn told(owner: &Client, took: f64) -> Vec<String> {
    let metrics = String::from_utf8(owner.get("/metrics").well().bytes).expect("metrics are text");
    let mut statuses = BTreeMap::<u16, u64>::new();
    let mut operations = BTreeMap::<String, BTreeMap<u16, u64>>::new();
    for (name, status, count) in metrics.lines().filter_map(counted) {
        *statuses.entry(status).or_default() += count;
        operations.entry(name).or_default().insert(status, count);
    }
    let all: u64 = statuses.values().sum();
    println!("{all} requests in {took:.0} s, by status: {statuses:?}");
    let described = described();
    let done = |name: &&String| {
        operations.get(*name).is_some_and(|counts| counts.keys().any(|status| *status < 400))
    };
    let (done, others): (Vec<&String>, Vec<&String>) = described.iter().partition(done);
    println!("{} of {} operations were done; the others: {others:?}", done.len(), described.len());
    let failed = |counts: &BTreeMap<u16, u64>| counts.get(&500).copied();
    let failures = operations.iter().filter_map(|(name, counts)| Some((name, failed(counts)?)));
    failures.map(|(name, count)| format!("{name} has failed {count} times")).collect()
}

/// The operations of the description.
fn described() -> Vec<String> {
    let text = std::fs::read(description()).expect("the description");
    let document: Value = serde_json::from_slice(&text).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().expect("operations").keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

fn description() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

/// An operation, a status, and how often that was answered, of a line of the metrics.
fn counted(line: &str) -> Option<(String, u16, u64)> {
    let (labels, count) = line.strip_prefix("mudi_requests_total{")?.split_once("} ")?;
    let label = |name: &str| labels.split_once(&format!("{name}=\""))?.1.split_once('"').map(|found| found.0);
    let path = label("path").filter(|path| path.starts_with('/'))?;
    Some((format!("{} {path}", label("method")?), label("status")?.parse().ok()?, count.parse().ok()?))
}

/// Whether the database is sound, when the server has ended.
fn sound(stage: &Stage) -> Vec<String> {
    const LOOK: &str = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); \
                        print(base.execute('PRAGMA integrity_check').fetchall(), base.execute('PRAGMA foreign_key_check').fetchall())";
    let mut look = Command::new(stage.programs.join("python"));
    let output = look.args(["-c", LOOK]).arg(stage.folder.join("data/mudi.sqlite")).output();
    let said = String::from_utf8_lossy(&output.expect("Python starts").stdout).trim().to_owned();
    let fault = format!("The database is not sound: {said}.");
    (said != "[('ok',)] []").then_some(fault).into_iter().collect()
}

/// Starts the server once more: whatever its lists name in any project must be there.
///
/// # Panics
/// Where something is not.
pub(crate) fn look_again(stage: &Stage) {
    let server = stage.start(&[]);
    let client = server.client();
    let projects = items(&client, "/api/projects");
    let found: usize = projects.iter().map(|project| contents(&client, &text(&project["id"])).len()).sum();
    println!("\nAfter a restart {} projects with {found} lists and files are there.", projects.len());
}

//! A server that is killed at any moment, or whose disk fills up, loses nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mudi_tests::served::Server;
use mudi_tests::workshop::program;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::studio::{SUBJECTS, Studio, photo, text};

/// Steps of a run for each time that the server is killed meanwhile: enough that it is seldom done before.
const STEPS: u32 = 80;
/// Images of a job, during which the server is killed once.
const IMAGES: u32 = 24;

#[test]
fn killed_in_uploads_training_and_generation_it_ends_as_if_undisturbed() {
    disturbed(2, 3, 2);
}

/// The same at fifty moments: `cargo test -p mudi-tests --test server -- --ignored fifty`.
#[test]
#[ignore = "takes some minutes"]
fn killed_at_fifty_moments() {
    disturbed(16, 18, 16);
}

/// What does not depend on when things happened: the weights, the metrics and the images.
fn results(studio: &Studio, run: &str, job: &str) -> Vec<Vec<u8>> {
    let mut results =
        vec![studio.bytes(&format!("runs/{run}/weights")), studio.bytes(&format!("runs/{run}/metrics"))];
    let images = studio.list(&format!("images?job={job}"));
    for number in 0..IMAGES {
        let same: Vec<_> = images.iter().filter(|image| image["number"] == number).collect();
        assert_eq!(same.len(), 1, "image {number} is there once");
        results.push(studio.bytes(&format!("images/{}/picture", text(&same[0]["id"]))));
    }
    results
}

fn disturbed(uploads: u32, trainings: u32, generations: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let (quiet, data) = (folder.path().join("quiet"), folder.path().join("data"));
    let mut random = StdRng::seed_from_u64(6);
    let (steps, mut hits) = (STEPS * trainings, 0);
    let expected = {
        let server = Server::start(&quiet, &[]);
        let studio = Studio::full(server.client());
        let run = studio.train(steps, &json!({}));
        studio.done(&run["job"]);
        let id = text(&run["id"]);
        let job = studio.generate(&id, IMAGES);
        studio.done(&job["id"]);
        results(&studio, &id, &text(&job["id"]))
    };

    for _ in 0..uploads {
        killed_in_uploads(&data, &mut random);
    }
    let server = Server::start(&data, &[]);
    let mut studio = Studio::full(server.client());
    let run = studio.train(steps, &json!({}));
    let mut server = killed(server, &data, &mut studio, &run["job"], trainings, &mut random, &mut hits);
    studio.done(&run["job"]);
    let id = text(&run["id"]);
    for _ in 0..generations {
        let job = studio.generate(&id, IMAGES);
        server = killed(server, &data, &mut studio, &job["id"], 1, &mut random, &mut hits);
        studio.done(&job["id"]);
        let found = results(&studio, &id, &text(&job["id"]));
        assert!(found == expected, "a result differs from that of a quiet server");
    }
    drop(server);
    whole(&data);
    println!(
        "{uploads} uploads, {trainings} trainings and {generations} generations disturbed, {hits} jobs while they ran"
    );
    assert!(2 * hits > trainings + generations, "the server was killed while nothing happened");
}

/// Kills the server so often while it is at `job`, and starts it again.
fn killed(
    mut server: Server,
    data: &Path,
    studio: &mut Studio,
    job: &Value,
    times: u32,
    random: &mut StdRng,
    hits: &mut u32,
) -> Server {
    for _ in 0..times {
        std::thread::sleep(Duration::from_millis(random.random_range(0..500)));
        let path = format!("jobs/{}", text(job));
        *hits += u32::from(studio.get(&path)["state"] == "running");
        server.kill();
        server = Server::start(data, &[]);
        whole(data);
        studio.client = server.client();
        let job = studio.get(&path);
        let state = text(&job["state"]);
        if state == "failed" {
            // Too often in a row before it had got further; somebody lets it go on.
            assert_eq!(job["fault"]["code"], "crashed", "{job}");
            studio.post(&format!("{path}/resume"), &Value::Null);
            continue;
        }
        assert!(["queued", "running", "done"].contains(&state.as_str()), "{state}");
    }
    server
}

/// Uploads photos until the server is killed; what it has answered for is there afterwards.
fn killed_in_uploads(data: &Path, random: &mut StdRng) {
    let server = Server::start(data, &[]);
    let mut studio = Studio::new(server.client());
    for (id, name) in SUBJECTS {
        studio.post("subjects", &json!({ "id": id, "name": name }));
    }
    let path = |subject: usize, number: u32| {
        studio.path(&format!("subjects/{}/photos?name={number}.png", SUBJECTS[subject].0))
    };
    let paths: Vec<_> =
        (0..40).map(|index| (path(index % 2, index as u32), photo(index % 2, index as u32 / 2))).collect();
    let client = server.client();
    let moment = Duration::from_millis(random.random_range(0..300));
    let answered = std::thread::scope(|scope| {
        let uploader = scope.spawn(|| {
            let mut answered = Vec::new();
            for (path, bytes) in &paths {
                match client.try_send("POST", path, Some(bytes)) {
                    Ok(answer) => answered.push(text(&answer.value()["id"])),
                    Err(_) => break,
                }
            }
            answered
        });
        std::thread::sleep(moment);
        server.kill();
        uploader.join().expect("the uploader")
    });
    let server = Server::start(data, &[]);
    whole(data);
    studio.client = server.client();
    let ids =
        |studio: &Studio| studio.list("photos").iter().map(|photo| text(&photo["id"])).collect::<Vec<_>>();
    let kept = ids(&studio);
    assert!(answered.iter().all(|id| kept.contains(id)), "a photo that was answered for is gone");
    // The upload is repeated from its start: nothing is there twice.
    for (path, bytes) in &paths {
        studio.client.send("POST", path, Some(bytes)).well();
    }
    assert_eq!(studio.list("photos").len(), paths.len());
    for id in ids(&studio) {
        assert!(image::load_from_memory(&studio.bytes(&format!("photos/{id}/image"))).is_ok());
        assert!(image::load_from_memory(&studio.bytes(&format!("photos/{id}/thumbnail"))).is_ok());
    }
    studio.client.delete(&format!("/api/projects/{}", studio.id));
}

/// Every file holds what its name says, and none is half written.
fn whole(data: &Path) {
    for project in std::fs::read_dir(data.join("projects")).expect("a folder").flatten() {
        for file in std::fs::read_dir(project.path().join("files")).into_iter().flatten().flatten() {
            let name = file.file_name().display().to_string();
            // The worker may be writing while this looks, beside the file's place.
            let Some((stem, extension)) = name.split_once('.') else { panic!("{name}") };
            if extension.contains('#') {
                continue;
            }
            let bytes = std::fs::read(file.path()).expect("a file");
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(stem, digest, "{name} is damaged");
        }
    }
}

/// Whoever listens hears the end of a job that was cancelled in the step in which the server was killed.
#[test]
fn a_cancelled_job_ends_though_the_server_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let mut studio = Studio::full(server.client());
    let job = text(&studio.train(100_000, &json!({}))["job"]);
    let path = studio.path(&format!("jobs/{job}"));
    studio.client.until(&path, |job| job["step"].as_u64() > Some(0));
    studio.post(&format!("jobs/{job}/cancel"), &Value::Null);
    server.kill();

    let server = Server::start(&data, &[]);
    studio.client = server.client();
    let cancelled = studio.client.get(&path).value();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    assert!(cancelled["finished"].is_i64(), "{cancelled}");
    let events: Vec<(i64, Value)> = studio.client.events(&format!("{path}/events")).collect();
    let (last, event) = events.last().expect("events");
    assert_eq!(*event, json!({ "event": "state", "state": "cancelled" }));
    let over = studio.client.with("last-event-id", last.to_string()).get(&format!("{path}/events"));
    assert_eq!(over.status, 204);
}

/// A checkpoint that does not fit is waited for, and the run goes on when it does.
#[cfg(target_os = "linux")]
#[test]
fn a_job_waits_for_room_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    // No file may be larger than this: the database and its log are smaller, the checkpoint is larger.
    const ROOM: &str = "1000";
    let mut command = Command::new("bash");
    let script = r#"trap "" XFSZ && ulimit -S -f "$1" && shift && exec "$@""#;
    command.args(["-c", script, "bash", ROOM]).arg(program());
    let server = Server::start_as(command, &folder.path().join("data"), &[]);
    let studio = Studio::full(server.client());
    let run = studio.train(6, &json!({ "rank": 64 }));
    let path = studio.path(&format!("jobs/{}", text(&run["job"])));
    let job = studio.client.until(&path, |job| job["state"] != "queued" && job["state"] != "running");
    assert_eq!((&job["state"], &job["fault"]["code"]), (&json!("waiting"), &json!("disk_full")), "{job}");
    let detail = text(&job["fault"]["detail"]);
    assert!(detail.contains("full") && detail.contains("nothing was lost"), "{detail}");
    let room =
        Command::new("prlimit").args(["--pid", &server.pid().to_string(), "--fsize=unlimited"]).status();
    assert!(room.expect("prlimit runs").success());
    studio.post(&format!("jobs/{}/resume", text(&run["job"])), &Value::Null);
    let done = studio.done(&run["job"]);
    assert!(done.get("fault").is_none(), "{done}");

    let again = studio.train(6, &json!({ "rank": 64 }));
    studio.done(&again["job"]);
    let weights = |run: &Value| studio.bytes(&format!("runs/{}/weights", text(&run["id"])));
    assert!(weights(&run) == weights(&again), "the result is that of a run that never waited");
}

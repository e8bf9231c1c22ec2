//! Whoever looks on while pictures are made gets their latents, decodes them, and sees what the pictures will be.

use std::path::Path;
use std::time::{Duration, Instant};

use image::RgbImage;
use image::imageops::{FilterType, resize};
use mudi_domain::api::Latents;
use mudi_engine_candle::CandleEngine;
use mudi_preview::{Files, LatentDecoder};
use mudi_tests::patience::finished;
use mudi_tests::pictures::psnr;
use mudi_tests::served::Server;
use mudi_tests::workshop::{models, shipped};
use serde_json::{Value, json};

use super::studio::{Studio, text};

/// Steps of a picture: enough to be seen on the way.
const STEPS: u32 = 60;

/// A project on a server with the models of this repository.
fn studio(data: &Path, further: &[&str]) -> (Server, Studio) {
    let server = Server::start(data, &[&["--models", &models()], further].concat());
    let studio = Studio::new(server.client());
    (server, studio)
}

/// Asks for two pictures by the base alone; the job.
fn begun(studio: &Studio, steps: u32) -> String {
    let prompt = "A photo of a red bear and a blue cat.";
    let wish = json!({ "base": "pocket", "prompt": prompt, "steps": steps, "count": 2, "seed": 3 });
    text(&studio.post("images", &wish)["id"])
}

/// The job's latents, again and again until it is over: those that differ.
fn watched(studio: &Studio, job: &str) -> Vec<Latents> {
    let path = studio.path(&format!("jobs/{job}/latents"));
    let (mut seen, mut tag, begin) = (Vec::new(), String::new(), Instant::now());
    loop {
        let answer = studio.client.with("if-none-match", &tag).get(&path);
        match answer.status {
            200 => {
                assert_eq!(answer.header("content-type"), "application/octet-stream");
                assert_eq!(answer.header("cache-control"), "private, no-cache");
                answer.header("etag").clone_into(&mut tag);
                seen.push(Latents::from_bytes(&answer.bytes).expect("latents"));
            }
            304 => assert!(answer.bytes.is_empty()),
            _ => {
                answer.problem(404, "missing");
                let job = studio.get(&format!("jobs/{job}"));
                if !["queued", "running"].contains(&job["state"].as_str().unwrap_or_default()) {
                    return seen;
                }
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(200), "the job does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The pictures of the project, in the order of their making.
fn pictures(studio: &Studio) -> Vec<RgbImage> {
    let of = |image: &Value| {
        let bytes = studio.bytes(&format!("images/{}/picture", text(&image["id"])));
        image::load_from_memory(&bytes).expect("a picture").into_rgb8()
    };
    studio.list("images").iter().map(of).collect()
}

#[test]
fn pictures_are_seen_while_they_are_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, studio) = studio(&folder.path().join("data"), &[]);
    let job = begun(&studio, STEPS);
    let seen = watched(&studio, &job);
    assert!(seen.len() > 1, "{} times something was seen", seen.len());
    assert!(seen.windows(2).all(|pair| pair[0].step < pair[1].step), "steps go on");
    let side = seen[0].shape[1];
    assert!(seen.iter().all(|latents| latents.shape == [2, side, side, 4] && latents.steps == STEPS));
    assert!(seen.iter().all(|latents| latents.preview), "pocket is the model for previews");
    studio.client.get(&studio.path(&format!("jobs/{job}/latents"))).problem(404, "missing");

    let made = pictures(&studio);
    let last = seen.last().expect("latents");
    let (late, early) = (near(last, &made), near(&seen[0], &made));
    println!("step {} of {STEPS}: {late:?} dB; step {}: {early:?} dB", last.step, seen[0].step);
    assert!(last.step > STEPS / 2, "only {} of {STEPS} steps were seen", last.step);
    for (late, early) in late.iter().zip(early) {
        assert!(late.decoded > 20.0 && late.decoded > early.decoded, "{late:?} {early:?}");
        assert!(late.colours > 14.0, "{late:?}");
    }
}

/// How near what is seen comes to a picture, in dB.
#[derive(Debug)]
struct Near {
    decoded: f64,
    colours: f64,
}

fn near(latents: &Latents, made: &[RgbImage]) -> Vec<Near> {
    let pocket = shipped("pocket");
    let pocket = Path::new(&pocket);
    let needed = ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"];
    assert!(needed.iter().all(|name| LatentDecoder::<CandleEngine>::needs(name)));
    let files =
        needed.iter().map(|name| ((*name).to_owned(), std::fs::read(pocket.join(name)).expect("a file")));
    let decoder = LatentDecoder::load(CandleEngine::cpu(), files.collect::<Files>()).expect("a decoder");
    let decoded = finished(decoder.decode(&latents.values, latents.shape)).expect("pictures");
    let [_, height, width, _] = latents.shape;
    let all = decoded.iter().zip(latents.pixels()).zip(made);
    all.map(|((decoded, colours), made)| {
        let small = resize(made, width as u32, height as u32, FilterType::Triangle);
        Near { decoded: psnr(&decoded.pixels, made.as_raw()), colours: psnr(&colours, small.as_raw()) }
    })
    .collect()
}

#[test]
fn latents_are_those_of_the_job_that_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    // The model for previews is another one: its decoder knows nothing of these.
    let (_server, studio) = studio(&folder.path().join("data"), &["--preview", ""]);
    let job = begun(&studio, 500);
    let path = studio.path(&format!("jobs/{job}"));
    studio.client.until(&path, |job| job["step"].as_u64() > Some(0));
    let latents = studio.client.get(&format!("{path}/latents")).well();
    assert!(!Latents::from_bytes(&latents.bytes).expect("latents").preview);
    // Of another job, and from another project, there is nothing to be seen.
    let waiting = begun(&studio, 5);
    studio.client.get(&studio.path(&format!("jobs/{waiting}/latents"))).problem(404, "missing");
    let other = Studio::new(studio.client.clone());
    studio.client.get(&other.path(&format!("jobs/{job}/latents"))).problem(404, "missing");
    studio.post(&format!("jobs/{job}/cancel"), &Value::Null);
    studio.client.until(&path, |job| job["state"] == "cancelled");
    studio.client.get(&format!("{path}/latents")).problem(404, "missing");
    studio.done(&json!(waiting));
}

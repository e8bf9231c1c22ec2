//! Previews in the browser, by WebGPU and by the processor.

use std::path::Path;

use mudi_tests::browser::Browser;
use mudi_tests::golden::fixture;
use mudi_tests::patience::until;
use mudi_tests::pictures::psnr;
use mudi_tests::workshop::{copy_folder, models};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::layouts::Desk;
use super::room::{CONTROL, Room};

/// Steps of a preview here: an emulated GPU is slow.
const STEPS: u32 = 3;

fn finish(room: &Room, job: &Value) {
    let path = room.api(&format!("jobs/{}", job.as_str().expect("a job")));
    let done = room.client.until(&path, |job| {
        ["done", "failed", "cancelled"].contains(&job["state"].as_str().unwrap_or_default())
    });
    assert_eq!(done["state"], "done", "{done}");
}

/// A desk whose project has a run of two steps on pocket, with previews turned on.
pub(crate) fn previewing(open: fn(&str) -> Browser) -> (Desk, Value) {
    let desk = Desk::in_room(Room::with(open, &["--models", &models()], 1400, 1000));
    let recipe = json!({ "steps": 2, "batch": 1, "regularization": "none" });
    let new = json!({ "name": "Short", "base": "pocket", "recipe": recipe });
    let run = desk.room.client.post(&desk.room.api("runs"), &new);
    finish(&desk.room, &run["job"]);
    desk.open();
    let browser = &desk.room.browser;
    browser.sees("With your subjects as");
    browser.press("Turn on");
    // The steps' own field.
    let set = "const field = [...document.querySelectorAll('.live input')].find((input) => input.type === 'number' && input.max === '30');
         field.value = arguments[0];
         field.dispatchEvent(new Event('input', { bubbles: true }));
         field.dispatchEvent(new Event('change', { bubbles: true }));";
    browser.until_true("[...document.querySelectorAll('.live input')].some((input) => input.max === '30')");
    let _ = browser.run_with(set, &json!([STEPS]));
    (desk, run)
}

/// Waits until a picture is finished that comes after what was last forgotten.
pub(crate) fn painted(browser: &Browser) {
    browser.until_true(&format!(
        "document.querySelector('.live-status').innerText.startsWith('Step {STEPS} of {STEPS},')"
    ));
}

/// The picture's pixels.
fn seen(desk: &Desk) -> Vec<u8> {
    desk.room.pixels(".live canvas")
}

/// What the server makes of the same wish.
fn made(desk: &Desk, run: &Value) -> Vec<u8> {
    let room = &desk.room;
    let prompt = room.browser.run("return document.querySelector('#live-prompt').value");
    let wish = json!({
        "run": run["id"], "prompt": prompt, "steps": STEPS, "count": 1, "seed": 0, "gamma": 2.0,
        "layout": { "fixed": desk.stored()["value"] },
    });
    let job = room.client.post(&room.api("images"), &wish);
    finish(room, &job["id"]);
    let images = room.client.get(&room.api("images")).value();
    let id = images["items"].as_array().and_then(|images| images.last()).expect("an image")["id"].clone();
    let path = room.api(&format!("images/{}/picture", id.as_str().expect("an id")));
    image::load_from_memory(&room.client.get(&path).well().bytes).expect("a picture").into_rgb8().into_raw()
}

#[test]
fn the_gpu_paints_what_the_server_makes_and_is_set_up_again_when_it_is_lost() {
    let (desk, run) = previewing(Browser::open_with_gpu);
    let browser = &desk.room.browser;
    painted(browser);
    browser.sees("a GPU emulated by your processor");
    let (ours, servers) = (seen(&desk), made(&desk, &run));
    let near = psnr(&ours, &servers);
    assert!(near > 35.0, "{near:.1} dB");

    // Another seed, another picture; and the worker is asked to lose its GPU in the middle of it.
    let _ = browser.run("document.dispatchEvent(new Event('mudi-lose-gpu'))");
    browser.press("Another");
    browser.sees("the GPU was lost and set up again");
    painted(browser);
    assert!(psnr(&seen(&desk), &servers) < near, "another seed is another picture");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn without_a_gpu_the_processor_paints_the_same() {
    let (desk, run) = previewing(Browser::open);
    let browser = &desk.room.browser;
    painted(browser);
    browser.sees("on your processor");
    let near = psnr(&seen(&desk), &made(&desk, &run));
    assert!(near > 45.0, "{near:.1} dB");

    // What is moved is painted again.
    let before = seen(&desk);
    browser.drag(mudi_tests::hands::Kind::Mouse, &[desk.at((0.275, 0.43)), desk.at((0.45, 0.6))]);
    until(|| "it is not painted again".to_owned(), || (seen(&desk) != before).then_some(()));
    painted(browser);

    // The prompt names what is on the canvas, and nothing is shown of what is not there any more.
    let prompt = |words: &str| {
        browser.until_true(&format!("document.querySelector('#live-prompt').value === '{words}'"));
    };
    prompt("A photo of a olis brown bear and a hta blue robot.");
    browser.keys("\u{e017}");
    prompt("A photo of a hta blue robot.");
    browser.keys_with(CONTROL, "a");
    browser.keys("\u{e017}");
    browser.sees("Put a subject on the canvas.");
    assert_eq!(browser.run("return document.querySelector('.live canvas').width"), 1);
    browser.keys_with(CONTROL, "z");
    browser.keys_with(CONTROL, "z");
    prompt("A photo of a olis brown bear and a hta blue robot.");
    painted(browser);

    // A landscape is one in both.
    desk.shape("4:3");
    browser.until_true("document.querySelector('.live canvas').width === 112");
    painted(browser);
    desk.room.settled();
    let near = psnr(&seen(&desk), &made(&desk, &run));
    assert!(near > 45.0, "a landscape: {near:.1} dB");
    browser.press("Turn off");
    browser.sees("A small model paints this layout in your browser");
}

const PASSWORD: &str = "correct horse battery";

/// A browser on another machine, where the owner has signed in.
fn signed_in_from_afar(address: &str) -> Browser {
    let browser = Browser::open_from_afar(address);
    browser.go("/");
    browser.sees("Sign in");
    browser.write("#password", PASSWORD);
    browser.press("Sign in");
    browser.sees("New project");
    browser
}

/// Pages that come by plain http from another machine have no WebGPU, and no place to keep the model in.
#[test]
fn without_tls_the_processor_paints_what_is_loaded_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let (models, file) = (models(), file.display().to_string());
    let flags = ["--models", &models, "--password-file", &file];
    let desk = Desk::in_room(Room::with(signed_in_from_afar, &flags, 1400, 1000));
    let browser = &desk.room.browser;
    assert_eq!(browser.run("return [isSecureContext, typeof caches]"), json!([false, "undefined"]));
    browser.press("Turn on");
    browser.until_true("/^Step \\d+ of /.test(document.querySelector('.live-status')?.innerText)");
    browser.sees("browsers keep it from pages that do not come by https");
    assert!(fetched(&desk) > 0);
}

/// The tests' model, made so large that it has to be asked for: by a tensor that nobody reads.
fn pad(model: &Path) {
    let path = model.join("unet/diffusion_pytorch_model.safetensors");
    let bytes = std::fs::read(&path).expect("weights");
    let nothing = vec![0; 101_000_000];
    let mut tensors = SafeTensors::deserialize(&bytes).expect("weights").tensors();
    let padding = TensorView::new(Dtype::U8, vec![nothing.len()], &nothing).expect("a tensor");
    tensors.push(("padding".to_owned(), padding));
    std::fs::write(path, safetensors::serialize(tensors, None).expect("a file")).expect("a file");
}

/// How often a file of the model has been fetched.
fn fetched(desk: &Desk) -> usize {
    let metrics = desk.room.client.get("/metrics").well().bytes;
    String::from_utf8_lossy(&metrics).matches("preview/files").count()
}

#[test]
fn what_does_not_fit_and_what_is_large_is_told_before_it_is_fetched() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("tiny");
    copy_folder(&fixture("sdxl-tiny"), &model);
    pad(&model);
    let config = model.join("text_encoder/config.json");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let mut huge: Value = serde_json::from_str(&text).expect("JSON");
    huge["vocab_size"] = json!(1_000_000_000);
    std::fs::write(&config, huge.to_string()).expect("a file");
    let flags = ["--models", &folder.path().display().to_string(), "--preview", "tiny"];
    let desk = Desk::in_room(Room::with(Browser::open_with_gpu, &flags, 1400, 1000));
    let browser = &desk.room.browser;

    browser.press("Turn on");
    browser.sees("“tiny” does not fit here: its largest tensor takes");
    browser.sees("ask whoever hosts this server for a smaller model");
    // There is nothing to try again.
    assert!(!browser.text().contains("Try again"));

    // What the GPU cannot read at once the processor can.
    huge["vocab_size"] = json!(20_000_000);
    std::fs::write(&config, huge.to_string()).expect("a file");
    browser.reload();
    browser.sees(" GB of memory.");

    std::fs::write(&config, text).expect("a file");
    browser.reload();
    browser.sees(" MB to load, which the browser keeps. While it paints it takes about");
    assert_eq!(fetched(&desk), 0);
    browser.press("Load 1");
    browser.until_true("document.querySelector('.live-status').innerText.startsWith('Step 12 of 12,')");
    assert!(fetched(&desk) > 0);

    // What is here is not asked for.
    browser.reload();
    browser.until_true("document.querySelector('.live-status')?.innerText.startsWith('Step 12 of 12,')");

    // After a page that the browser has ended while it loaded the model, somebody has to ask for it.
    browser.go(&desk.room.address("photos"));
    let _ = browser.run("sessionStorage.setItem('mudi-preview-loading', 'yes')");
    desk.open();
    browser.sees("The browser ended this page while the model was being prepared");
    browser.sees("Paint with the processor");
    browser.press("Try again");
    browser.until_true("document.querySelector('.live-status')?.innerText.startsWith('Step 12 of 12,')");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}
